package save_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
	"waybill/internal/save"
)

// A file with many names is read once, wherever the names are, and they share its identity in the point.
func TestHardLinks(t *testing.T) {
	m, top := newMemory(t), t.TempDir()
	const size = 300 << 10
	write(t, top+"/a/one", noise(size, 1))
	for _, name := range []string{"a/two", "b/three", "b/deep/er/four"} {
		mkdir(t, top+"/b/deep/er")
		if err := os.Link(top+"/a/one", top+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	symlink(t, "target", top+"/a/soft")
	if err := unix.Linkat(unix.AT_FDCWD, top+"/a/soft", unix.AT_FDCWD, top+"/b/soft", 0); err != nil {
		t.Fatal(err)
	}
	r := m.save(func(c *save.Config) { c.Readers = 1 }, top)
	if s := r.Point.Stats; s.ReadBytes != size || s.Files != 4 {
		t.Errorf("%+v", s)
	}
	got := m.files(r.Point, top)
	for _, name := range []string{"a/one", "a/two", "b/three", "b/deep/er/four", "b/soft"} {
		if it, first := got[name], got["a/one"]; name == "b/soft" {
			if it.Inode != got["a/soft"].Inode || it.Flags&catalog.HardLinked == 0 {
				t.Errorf("%s: %+v", name, it.Entry)
			}
		} else if it.Inode != first.Inode || it.Flags&catalog.HardLinked == 0 || it.content != first.content {
			t.Errorf("%s: %+v", name, it.Entry)
		}
	}
	m.same(r.Point, top)

	// One name less, one more, and changed through another.
	os.Remove(top + "/a/one")
	os.Link(top+"/b/three", top+"/c")
	add(t, top+"/a/two", "changed")
	r = m.save(nil, top)
	m.same(r.Point, top)
	// Only one is left: it is no hard link any more.
	for _, name := range []string{"c", "b/three", "b/deep/er/four"} {
		os.Remove(top + "/" + name)
	}
	if it := m.files(m.save(nil, top).Point, top)["a/two"]; it.Flags&catalog.HardLinked != 0 {
		t.Errorf("one name: %+v", it.Entry)
	}
}

// Holes are neither read nor stored, wherever they are.
func TestSparseFiles(t *testing.T) {
	const block = 1 << 20
	for name, at := range map[string][]int64{ // where there is a block of data; the last is where the file ends
		"nothing but a hole":   {64 * block},
		"hole first":           {10 * block, 11 * block},
		"hole last":            {0, 64 * block},
		"hole amid":            {0, 20 * block, 21 * block},
		"many":                 {3 * block, 7 * block, 11 * block, 15 * block, 19 * block, 23 * block, 27 * block, 31 * block, 35 * block, 39 * block, 50 * block},
		"small, at the end":    {4096, 4096 + 100},
		"a hole of odd length": {block, 2*block + 12345},
	} {
		t.Run(name, func(t *testing.T) {
			m, top := newMemory(t), t.TempDir()
			f, err := os.Create(top + "/file")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			size, data := at[len(at)-1], int64(0)
			for i, off := range at[:len(at)-1] {
				b := noise(int(min(block, size-off)), uint64(i))
				if _, err := f.WriteAt(b, off); err != nil {
					t.Fatal(err)
				}
				data += int64(len(b))
			}
			truncate(t, f.Name(), size)
			r := m.save(nil, top)
			m.same(r.Point, top)
			if got := m.files(r.Point, top)["file"]; got.holes != size-data || r.Point.Stats.ReadBytes != data {
				t.Errorf("of %d bytes %d are data; %d were read, holes are %d bytes", size, data, r.Point.Stats.ReadBytes, got.holes)
			}
			// A hole filled, data punched out: the next point has it.
			if _, err := f.WriteAt([]byte("here"), size/2); err != nil {
				t.Fatal(err)
			}
			if len(at) > 1 {
				if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at[0], 8192); err != nil {
					t.Skipf("this file system can't punch holes: %v", err)
				}
			}
			m.same(m.save(nil, top).Point, top)
		})
	}
}

// Any name that Linux allows, any kind of entry.
func TestNamesAndKinds(t *testing.T) {
	m, top := newMemory(t), t.TempDir()
	names := []string{"\xff\xfe", "new\nline", strings.Repeat("n", 255), " ", "*", "\\x41", "-rf", "a", "a.", "a-", "\x01", "é", "e\u0301"}
	for i, name := range names {
		write(t, top+"/"+name, fmt.Appendf(nil, "%d", i))
	}
	write(t, top+"/empty", nil)
	mkdir(t, top+"/dir")
	symlink(t, strings.Repeat("x/", 2000)+"\xff\n", top+"/link")
	if err := unix.Mkfifo(top+"/fifo", 0o640); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: top + "/socket"})
		unix.Close(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	device := unix.Mknod(top+"/device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 7))) == nil
	r := m.save(nil, top)
	m.same(r.Point, top)
	got := m.files(r.Point, top)
	if r.Point.ProblemCount != 0 || got["fifo"].Kind != catalog.Fifo || got["fifo"].Mode != 0o640 || got["socket"].Kind != catalog.Socket ||
		!bytes.HasSuffix(got["link"].Target, []byte("x/\xff\n")) || got["dir"].Kind != catalog.Directory {
		t.Errorf("%+v", got)
	}
	if d := got["device"]; device && (d.Kind != catalog.CharDevice || d.Major != 1 || d.Minor != 7) {
		t.Errorf("%+v", d)
	}
	if again := m.save(nil, top); !bytes.Equal(again.Point.Root, r.Point.Root) && again.Point.Stats.NewChunks > 10 {
		t.Errorf("nothing changed: %+v", again.Point.Stats)
	}
}
