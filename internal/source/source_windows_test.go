package source

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// These run on Windows and, with what it has, under Wine, see internal/winetest.

func TestRoots(t *testing.T) {
	root := t.TempDir() // with a drive letter
	write(t, filepath.Join(root, "f"), []byte("content"))
	for _, path := range []string{root, "/" + filepath.ToSlash(root), filepath.ToSlash(root) + "/", `\\?\` + root} {
		if got := names(listed(t, open(t, path))); len(got) != 1 || got[0] != "f" {
			t.Errorf("%s lists %q", path, got)
		}
	}
	for _, path := range []string{"/", `\`} {
		top := open(t, path)
		if _, ok := listed(t, top).Find([]byte(root[:2])); !ok {
			t.Errorf("%s doesn't list %s", path, root[:2])
		}
		d := top
		for part := range strings.SplitSeq(filepath.ToSlash(root), "/") {
			next, err := d.OpenDir([]byte(part))
			if err != nil {
				t.Fatal(err)
			}
			defer next.Close()
			d = next
		}
		if got := names(listed(t, d)); len(got) != 1 || got[0] != "f" {
			t.Errorf("from %s on: %q", path, got)
		}
	}
	if _, err := OpenDir(filepath.Join(root, "f")); err == nil {
		t.Error("opened a file as a directory")
	}
	if d, err := OpenDir(filepath.Join(root, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opened what isn't there: %v, %v", d, err)
	}
}

func TestRootPath(t *testing.T) {
	for path, want := range map[string]string{`C:\a`: `\\?\C:\a`, `/C:/a/b`: `\\?\C:\a\b`, `C:`: `\\?\C:\`, `/C:`: `\\?\C:\`, `/C:/`: `\\?\C:\`, `\\s\h\a`: `\\?\UNC\s\h\a`, `\\?\C:\x`: `\\?\C:\x`} {
		if got, err := rootPath(path); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", path, got, err, want)
		}
	}
}

func listed(t *testing.T, d *Dir) *Listing {
	t.Helper()
	var l Listing
	if err := d.List(&l); err != nil {
		t.Fatal(err)
	}
	return &l
}

func TestWindowsStat(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "f")
	write(t, path, []byte("content"))
	when := time.Unix(1234567890, 123456700)
	if err := errors.Join(os.Chtimes(path, when, when), os.Link(path, filepath.Join(root, "g")), os.Chmod(path, 0o444)); err != nil {
		t.Fatal(err)
	}
	d := open(t, root)
	l := listed(t, d)
	var f, g Stat
	if err := errors.Join(d.Stat(l, 0, &f), d.Stat(l, 1, &g)); err != nil {
		t.Fatal(err)
	}
	if f != g || f.Inode == 0 || f.Inode != l.Inode(0) || f.Nlink != 2 || f.Dev == 0 {
		t.Errorf("two names of a file: %+v, %+v", f, g)
	}
	if f.Size != 7 || f.Mode != 0o444 || f.MtimeSec != when.Unix() || f.MtimeNsec != 123456700 || time.Since(time.Unix(f.CtimeSec, 0)).Abs() > time.Hour {
		t.Errorf("file: %+v", f)
	}
	if self, err := d.Self(); err != nil || self.Kind != Directory || self.Dev != f.Dev || self.Inode == f.Inode || self.Mode != 0o755 {
		t.Errorf("directory: %+v, %v", self, err)
	}
	if fs, err := d.FileSystem(); err != nil || fs.Name == "" || fs.Slack == 0 {
		t.Errorf("file system: %+v, %v", fs, err)
	}
	os.Chmod(path, 0o644) // else it can't be removed
}

func TestWindowsXattrs(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "f")
	write(t, path, []byte("content"))
	p, err := windows.UTF16PtrFromString(path)
	if err == nil {
		err = windows.SetFileAttributes(p, windows.FILE_ATTRIBUTE_HIDDEN|windows.FILE_ATTRIBUTE_ARCHIVE)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, root)
	file, err := d.Open([]byte("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	byFile, err1 := file.Xattrs(nil)
	byName, err2 := d.Xattrs([]byte("f"), nil)
	self, err3 := d.SelfXattrs(nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]Xattr{byFile, byName, self} {
		got := map[string][]byte{}
		for _, x := range list {
			got[string(x.Name)] = x.Value
		}
		attrib := binary.LittleEndian.Uint32(got[NTFSAttrib])
		if dir := attrib&windows.FILE_ATTRIBUTE_DIRECTORY != 0; !dir && attrib&windows.FILE_ATTRIBUTE_HIDDEN == 0 {
			t.Errorf("attributes %#x", attrib)
		}
		sec, _ := unixTime(int64(binary.LittleEndian.Uint64(got[NTFSCrtime])))
		if time.Since(time.Unix(sec, 0)).Abs() > time.Hour {
			t.Errorf("created at %d", sec)
		}
		if acl := got[NTFSACL]; len(acl) < 20 || acl[0] != 1 || acl[3]&0x80 == 0 {
			t.Errorf("security descriptor %x", acl)
		}
	}
}

func TestLongPath(t *testing.T) {
	root := t.TempDir()
	path := root
	for range 8 {
		path = filepath.Join(path, strings.Repeat("long", 20))
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(path, "f"), nil)
	if got := names(listed(t, open(t, path))); len(got) != 1 {
		t.Errorf("listed %q", got)
	}
}

func TestStreams(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "f")
	write(t, path, []byte("content"))
	write(t, path+":other", []byte("beside it"))
	d := open(t, root)
	l := listed(t, d)
	i, ok := l.Find([]byte("f:other"))
	if !ok {
		t.Skipf("no streams here: %q", names(l))
	}
	var file, stream Stat
	if err := errors.Join(d.StatName([]byte("f"), &file), d.Stat(l, i, &stream)); err != nil {
		t.Fatal(err)
	}
	if stream.Size != 9 || stream.Kind != Regular || stream.Nlink != 1 {
		t.Errorf("stream: %+v", stream)
	}
	f, err := d.Open([]byte("f:other"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 9)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "beside it" {
		t.Errorf("read %q, %v", b, err)
	}
	if list, err := f.Xattrs(nil); err != nil || len(list) != 0 {
		t.Errorf("attributes %q, %v", list, err)
	}
}
