package fanotify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRecords(t *testing.T) {
	list := []record{
		{changes: created | written, dir: "\x01\x00\x00\x00dir", name: "name", file: "\x01\x00\x00\x00file"},
		{changes: metadata, dir: "\x01\x00\x00\x00dir"},
		{changes: metadata, file: "\x01\x00\x00\x00file"},
		{},
	}
	var b []byte
	for i := range list {
		b = list[i].append(b)
	}
	var got []record
	for rest := b; len(rest) > 0; {
		var r record
		var err error
		if r, rest, err = parseRecord(rest); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if !slices.Equal(got, list) {
		t.Errorf("got %+v, want %+v", got, list)
	}
}

func FuzzParseRecord(f *testing.F) {
	r := record{changes: created | written, dir: "\x01\x00\x00\x00dir", name: "name", file: "\x01\x00\x00\x00file"}
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := parseRecord(b)
		if err != nil {
			return
		}
		again, none, err := parseRecord(r.append(nil))
		if err != nil || len(none) != 0 || again != r || len(rest) >= len(b) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

// What is read between two positions is what was appended between them, as long as it is there.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	l, err := newLog(dir, "j", 4096)
	if err != nil {
		t.Fatal(err)
	}
	ends := []uint64{0}
	for i := range 500 {
		if i%100 == 99 { // as another agent would
			if err := l.close(); err != nil {
				t.Fatal(err)
			}
			if l, err = resumeLog(dir, "j", 4096); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.append(fmt.Appendf(nil, "payload %d", i)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.next)
	}
	if held := l.next - l.first(); held > 4096 || held < 3000 {
		t.Errorf("a log of at most 4096 bytes has %d", held)
	}
	for i, from := range ends {
		var got []string
		err := readLog(dir, "j", from, l.next, func(p []byte) error {
			got = append(got, string(p))
			return nil
		})
		switch {
		case from < l.first():
			if !errors.Is(err, errWrapped) {
				t.Fatalf("from %d: %v", from, err)
			}
		case err != nil:
			t.Fatal(err)
		case len(got) != 500-i || len(got) > 0 && got[0] != fmt.Sprintf("payload %d", i):
			t.Fatalf("from frame %d there are %d", i, len(got))
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := newLog(dir, "k", 4096); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "/j-*"); len(left) != 0 {
		t.Errorf("a new log leaves %q", left)
	}
}

// A segment is another log's, or at another place, by mistake of whoever copied files around.
func TestLogMisplaced(t *testing.T) {
	dir := t.TempDir()
	l, err := newLog(dir, "j", 4096)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.append([]byte("payload")); err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, segmentName("j", 0)))
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]uint64{segmentName("k", 0): 0, segmentName("j", 100): 100} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := readSegment(filepath.Join(dir, name), name[:1], at, at, at+l.next, func([]byte) error { return nil }); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
