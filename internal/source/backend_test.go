package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// memDir is a tree in memory: directories, and files with their content.
type memDir struct {
	children map[string]any // memDir or string
	bare     bool           // it lists without metadata
	stats    *int           // calls of Stat
	closed   *int
}

func (m memDir) stat(name string) (Stat, error) {
	switch c := m.children[name].(type) {
	case memDir:
		return c.Self()
	case string:
		return Stat{Kind: Regular, Mode: 0o640, Dev: 7, Inode: uint64(len(name)), Nlink: 2, Size: int64(len(c)), Blocks: 1, MtimeSec: -5, MtimeNsec: 6,
			CtimeSec: 7, CtimeNsec: 8, UID: 9, GID: 10, RdevMajor: 11, RdevMinor: 12}, nil
	}
	return Stat{}, fs.ErrNotExist
}

func (m memDir) Self() (Stat, error) { return Stat{Kind: Directory, Mode: 0o755, Nlink: 1}, nil }

func (m memDir) List(l *Listing) error {
	for name := range m.children {
		st, err := m.stat(name)
		if m.bare {
			err = l.Add([]byte(name), Unknown, 0)
		} else if err == nil {
			err = l.AddStat([]byte(name), &st)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(l.Add([]byte("."), Directory, 0), l.Add([]byte(".."), Directory, 0))
}

func (m memDir) Stat(name []byte) (Stat, error) {
	*m.stats++
	return m.stat(string(name))
}

func (m memDir) OpenDir(name []byte) (*Dir, error) {
	switch c := m.children[string(name)].(type) {
	case memDir:
		return NewDir(c), nil
	case string:
		return nil, ErrReplaced
	}
	return nil, fs.ErrNotExist
}

func (m memDir) Open(name []byte) (FileBackend, error) {
	st, err := m.stat(string(name))
	content, _ := m.children[string(name)].(string)
	return memFile{strings.NewReader(content), st, m.closed}, err
}

func (m memDir) Readlink([]byte) ([]byte, error) { return nil, ErrReplaced }

func (m memDir) Xattrs(name []byte, add func(string, []byte)) error {
	add("user.z", []byte("last"))
	add("user.a", name)
	return errors.New("one could not be read")
}

func (m memDir) FileSystem() (FileSystem, error) { return FileSystem{Name: "mem"}, nil }

func (m memDir) Close() error { *m.closed++; return nil }

type memFile struct {
	*strings.Reader
	st     Stat
	closed *int
}

func (f memFile) Stat() (Stat, error)                              { return f.st, nil }
func (f memFile) NextData(off int64) (start, end int64, err error) { return off, f.st.Size, nil }
func (f memFile) Xattrs(add func(string, []byte)) error            { add("user.b", nil); return nil }
func (f memFile) FileSystem() (FileSystem, error)                  { return FileSystem{Name: "mem"}, nil }
func (f memFile) Close() error                                     { *f.closed++; return nil }

func newMemDir(bare bool, children map[string]any) memDir {
	return memDir{children, bare, new(int), new(int)}
}

func TestBackend(t *testing.T) {
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprintf("bare=%v", bare), func(t *testing.T) {
			m := newMemDir(bare, map[string]any{"file": "content", "dir": newMemDir(false, nil), "a name longer than a few words of a key": ""})
			d := NewDir(m)
			var l Listing
			for range 2 {
				if err := d.List(&l); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := names(&l), slices.Sorted(maps.Keys(m.children)); !slices.Equal(got, want) {
				t.Fatalf("listed %q, want %q", got, want)
			}
			for i := range l.Len() {
				var st, byName Stat
				if err := errors.Join(d.Stat(&l, i, &st), d.StatName(l.Name(i), &byName)); err != nil || st != byName {
					t.Errorf("%s: %+v, by name %+v, %v", l.Name(i), st, byName, err)
				}
			}
			if want := map[bool]int{false: 3, true: 6}[bare]; *m.stats != want {
				t.Errorf("asked for metadata %d times, want %d", *m.stats, want)
			}
		})
	}
}

func TestBackendFile(t *testing.T) {
	m := newMemDir(false, map[string]any{"file": "content", "dir": newMemDir(false, nil)})
	d := NewDir(m)
	var f File
	if err := d.OpenInto([]byte("dir"), &f); !errors.Is(err, ErrReplaced) || *m.closed != 1 {
		t.Errorf("opened a directory as a file: %v, %d closed", err, *m.closed)
	}
	if err := d.OpenInto([]byte("file"), &f); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(&f)
	if err != nil || string(all) != "content" || f.Opened().Size != 7 {
		t.Errorf("read %q, %v", all, err)
	}
	p := make([]byte, 5)
	if n, err := f.ReadAt(p, 4); n != 3 || err != io.EOF {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if fs, err := f.FileSystem(); err != nil || fs.Name != "mem" {
		t.Errorf("file system %+v, %v", fs, err)
	}
	if err := f.Close(); err != nil || *m.closed != 2 {
		t.Errorf("closing: %v, %d closed", err, *m.closed)
	}
	if err := d.OpenInto([]byte("none"), &f); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened what isn't there: %v", err)
	}
	// The same File, for a file of the system.
	root := t.TempDir()
	write(t, root+"/f", []byte("other"))
	if err := open(t, root).OpenInto([]byte("f"), &f); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if all, err := io.ReadAll(&f); string(all) != "other" {
		t.Errorf("read %q, %v", all, err)
	}
}

func TestBackendXattrs(t *testing.T) {
	d := NewDir(newMemDir(false, nil))
	for _, b := range []*XattrBuffer{nil, new(XattrBuffer)} {
		for range 2 {
			list, err := d.Xattrs([]byte("x"), b)
			if err == nil || len(list) != 2 || string(list[0].Name) != "user.a" || string(list[0].Value) != "x" || string(list[1].Value) != "last" {
				t.Errorf("attributes %q, %v", list, err)
			}
		}
	}
	if list, err := d.SelfXattrs(nil); err == nil || len(list) != 2 || len(list[0].Value) != 0 {
		t.Errorf("the directory's attributes %q, %v", list, err)
	}
}

// TestAddMany crosses blocks.
func TestAddMany(t *testing.T) {
	var l Listing
	const n = 5000
	for i := range n {
		st := Stat{Kind: Regular, Inode: uint64(i), Size: int64(i) << 40}
		if err := l.AddStat(fmt.Appendf(bytes.Repeat([]byte{'x'}, i%700), "-%05d", i), &st); err != nil {
			t.Fatal(err)
		}
	}
	l.sort()
	if l.Len() != n {
		t.Fatalf("%d entries, want %d", l.Len(), n)
	}
	for i := range n {
		var st Stat
		ok := l.stat(i, &st)
		if want := fmt.Sprintf("-%05d", st.Inode); !ok || !bytes.HasSuffix(l.Name(i), []byte(want)) || st.Size != int64(st.Inode)<<40 || l.Inode(i) != st.Inode {
			t.Fatalf("%s: %+v, %v", l.Name(i), st, ok)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 5000)} {
		if l.Add([]byte(name), Regular, 0) == nil {
			t.Errorf("a name of %d bytes was added", len(name))
		}
	}
}

func TestVirtual(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/f", []byte("of the system"))
	broken := errors.New("broken")
	d := Virtual(map[string]func() (*Dir, error){
		"D:": func() (*Dir, error) { return OpenDir(root) },
		"C:": func() (*Dir, error) { return NewDir(newMemDir(false, nil)), nil },
		"E:": func() (*Dir, error) { return nil, broken },
	})
	defer d.Close()
	var l Listing
	if err := d.List(&l); err != nil || fmt.Sprint(names(&l)) != "[C: D: E:]" {
		t.Fatalf("listed %q, %v", names(&l), err)
	}
	for i, want := range []error{nil, nil, broken} {
		var st Stat
		if err := d.Stat(&l, i, &st); err != want || err == nil && st.Kind != Directory {
			t.Errorf("%s: %+v, %v, want %v", l.Name(i), st, err, want)
		}
	}
	sub, err := d.OpenDir([]byte("D:"))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	f, err := sub.Open([]byte("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); string(b) != "of the system" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := d.OpenDir([]byte("F:")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened what isn't there: %v", err)
	}
	if _, err := d.Open([]byte("C:")); !errors.Is(err, ErrReplaced) {
		t.Errorf("opened a tree as a file: %v", err)
	}
	if st, err := d.Self(); err != nil || st.Kind != Directory {
		t.Errorf("itself: %+v, %v", st, err)
	}
}
