package fanotify

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel told of mknod(2), rename(2), chmod(2) of the directory and unlink(2) on a tmpfs, and an overflow.
const (
	toldCreate   = "\\\x00\x00\x00\x03\x00\x18\x00\b\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xa8a\x00\x00\x02\x00$\x006\xb6?&\xa9d&\xbd\f\x00\x00\x00\x01\x00\x00\x00\xb4;\x13@+'\x06\x00\x00\x00\x00\x00pr\x00\x00\x01\x00 \x006\xb6?&\xa9d&\xbd\f\x00\x00\x00\x01\x00\x00\x00o)d],'\x06\x00\x00\x00\x00\x00"
	toldRename   = "\x80\x00\x00\x00\x03\x00\x18\x00\x00\x00\x00\x10\x00\x00\x00\x00\xff\xff\xff\xff\xa8a\x00\x00\n\x00$\x006\xb6?&\xa9d&\xbd\f\x00\x00\x00\x01\x00\x00\x00\xb4;\x13@+'\x06\x00\x00\x00\x00\x00pr\x00\x00\f\x00$\x006\xb6?&\xa9d&\xbd\f\x00\x00\x00\x01\x00\x00\x00\xb4;\x13@+'\x06\x00\x00\x00\x00\x00pr2\x00\x01\x00 \x006\xb6?&\xa9d&\xbd\f\x00\x00\x00\x01\x00\x00\x00o)d],'\x06\x00\x00\x00\x00\x00"
	toldSelf     = "<\x00\x00\x00\x03\x00\x18\x00\x04\x00\x00@\x00\x00\x00\x00\xff\xff\xff\xff\xa8a\x00\x00\x02\x00$\x006\xb6?&\xa9d&\xbd\f\x00\x00\x00\x01\x00\x00\x00\xb4;\x13@+'\x06\x00\x00\x00\x00\x00.\x00\x00\x00"
	toldNameless = "8\x00\x00\x00\x03\x00\x18\x00\x04\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xa8a\x00\x00\x01\x00 \x006\xb6?&\xa9d&\xbd\f\x00\x00\x00\x01\x00\x00\x00o)d],'\x06\x00\x00\x00\x00\x00"
	toldOverflow = "\x18\x00\x00\x00\x03\x00\x18\x00\x00\x40\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00"

	dirHandle  = handle("\x01\x00\x00\x00\xb4;\x13@+'\x06\x00\x00\x00\x00\x00")
	fileHandle = handle("\x01\x00\x00\x00o)d],'\x06\x00\x00\x00\x00\x00")
)

func TestParseEvent(t *testing.T) {
	b := []byte(toldCreate + toldRename + toldSelf + toldNameless + toldOverflow)
	for i, want := range []struct {
		mask    uint64
		records []record
	}{
		{unix.FAN_CREATE | unix.FAN_CLOSE_WRITE, []record{{created | closed, dirHandle, "pr", fileHandle}}},
		{unix.FAN_RENAME, []record{{moved, dirHandle, "pr2", fileHandle}, {moved, dirHandle, "pr", fileHandle}}},
		{unix.FAN_ATTRIB | unix.FAN_ONDIR, []record{{metadata | directory, dirHandle, "", ""}}},
		{unix.FAN_ATTRIB, []record{{metadata, "", "", fileHandle}}},
		{unix.FAN_Q_OVERFLOW, []record{{}}},
	} {
		e, rest, err := parseEvent(b)
		if err != nil {
			t.Fatal(err)
		}
		if e.mask != want.mask || e.n != len(want.records) {
			t.Errorf("event %d is %+v", i, e)
		}
		for k, r := range want.records {
			if e.records[k] != r {
				t.Errorf("record %d of event %d is %+v, want %+v", k, i, e.records[k], r)
			}
		}
		b = rest
	}
	if len(b) != 0 {
		t.Errorf("%d bytes are left", len(b))
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, s := range []string{toldCreate, toldRename, toldSelf, toldNameless, toldOverflow} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			_, rest, err := parseEvent(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			b = rest
		}
	})
}
