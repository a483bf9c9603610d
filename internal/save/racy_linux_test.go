package save_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
	"waybill/internal/save"
)

// at is a clock that stands.
func at(when time.Time) func(*save.Config) {
	return func(c *save.Config) { c.Now = func() time.Time { return when } }
}

func ctime(t *testing.T, path string) time.Time {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return time.Unix(st.Ctim.Unix())
}

// A file that was changed shortly before a backup began may have been changed once more while it was read, in the same
// tick of the file system's clock. So its stat proves nothing to the next backup.
func TestYoungFilesAreReadAgain(t *testing.T) {
	for _, test := range []struct {
		age   time.Duration // of the file when the first backup began
		reads bool
	}{{-time.Second, true}, {0, true}, {10 * time.Millisecond, true}, {30 * time.Millisecond, false}, {time.Hour, false}} {
		m, root := newMemory(t), t.TempDir()
		write(t, root+"/file", noise(1000, 1))
		m.save(at(ctime(t, root+"/file").Add(test.age)), root)
		s := m.save(at(ctime(t, root+"/file").Add(2*time.Hour)), root).Point.Stats
		if reads := s.ReadBytes > 0; reads != test.reads || s.NewBytes != 0 {
			t.Errorf("a file that was %v old when the first backup began: %+v", test.age, s)
		}
		// By now it is old for any backup.
		if s := m.save(nil, root).Point.Stats; s.ReadBytes != 0 {
			t.Errorf("a file of %v, the third time: %+v", test.age, s)
		}
	}
}

// The same for a volume that was held still before the backup began: what was young then may have changed right after.
func TestYoungFilesOfASnapshot(t *testing.T) {
	m, root := newMemory(t), t.TempDir()
	write(t, root+"/file", noise(1000, 1))
	born := ctime(t, root+"/file")
	taken := &catalog.JournalCursor{Kind: "test", Taken: born.Add(10 * time.Millisecond)}
	m.save(func(c *save.Config) {
		at(born.Add(time.Hour))(c)
		c.Volumes = []save.Volume{{Path: root, Record: catalog.Volume{Cursor: taken}}}
	}, root)
	if s := m.save(at(born.Add(2*time.Hour)), root).Point.Stats; s.ReadBytes == 0 {
		t.Errorf("it was not read again: %+v", s)
	}
}

// The same for the part of a large file that a checkpoint has.
func TestYoungPartsAreReadAgain(t *testing.T) {
	for _, test := range []struct {
		age   time.Duration
		reads bool
	}{{0, true}, {10 * time.Millisecond, true}, {time.Hour, false}} {
		m, root := newMemory(t), t.TempDir()
		const size = 8 << 20
		write(t, root+"/file", noise(size, 1))
		m.publishing = func(c save.Commit) error {
			if c.Manifest.Sequence == 2 {
				return errRefused
			}
			return nil
		}
		clock := at(ctime(t, root+"/file").Add(test.age))
		if _, err := m.try(t.Context(), func(c *save.Config) { clock(c); c.CheckpointBytes, c.Readers = 2<<20, 1 }, root); err == nil || m.last == nil {
			t.Fatal("it was not interrupted")
		}
		m.publishing = nil
		s := m.save(at(ctime(t, root+"/file").Add(2*time.Hour)), root).Point.Stats
		if all := s.ReadBytes == size; all != test.reads {
			t.Errorf("a file that was %v old: of %d bytes %d were read again", test.age, size, s.ReadBytes)
		}
	}
}

// Changed in place right after a backup, to the same size: the next one has what it is now.
func TestChangesRightAfterABackup(t *testing.T) {
	m, root := newMemory(t), t.TempDir()
	path := root + "/file"
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 200 {
		content := bytes.Repeat([]byte{'a' + byte(i%26)}, 5000)
		if _, err := f.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		if got := m.files(m.save(nil, root).Point, root)["file"]; got.content != string(content) {
			t.Fatalf("round %d: %q... was saved, the file has %q...", i, got.content[:8], content[:8])
		}
	}
}
