package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/internal/treetest"
)

// TestWholeTree reads random trees by this package and by plain system calls.
func TestWholeTree(t *testing.T) {
	for seed := range uint64(10) {
		root := t.TempDir()
		t.Cleanup(func() { treetest.RemoveAll(root) })
		if err := treetest.Make(root, seed, treetest.Options{}); err != nil {
			t.Fatal(err)
		}
		top := open(t, root)
		var wg sync.WaitGroup
		for range 2 { // at once, for the race detector
			d, err := OpenDir(root)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer d.Close()
				if n := checkDir(t, d); n < 100 {
					t.Errorf("seed %d: %d entries", seed, n)
				}
			})
		}
		wg.Wait()
		if _, err := top.Self(); err != nil {
			t.Error(err)
		}
	}
}

func checkDir(t *testing.T, d *Dir) (entries int) {
	var l Listing
	if err := d.List(&l); err != nil {
		t.Error(err)
		return 0
	}
	for i := range l.Len() {
		checkEntry(t, d, &l, i)
		entries++
		if l.Kind(i) != Directory {
			continue
		}
		sub, err := d.OpenDir(l.Name(i))
		if err != nil {
			t.Error(err)
			continue
		}
		entries += checkDir(t, sub)
		byName, err1 := d.Xattrs(l.Name(i), nil)
		own, err2 := sub.SelfXattrs(nil)
		if err1 != nil || err2 != nil || !equalXattrs(byName, own) {
			t.Errorf("%q: attributes by name %q, %v, own %q, %v", l.Name(i), byName, err1, own, err2)
		}
		sub.Close()
	}
	return entries
}

func checkEntry(t *testing.T, d *Dir, l *Listing, i int) {
	name := l.Name(i)
	path := fmt.Sprintf("/proc/self/fd/%d/%s", d.sys.fd, name)
	var st Stat
	var want unix.Stat_t
	if err := errors.Join(d.Stat(l, i, &st), unix.Lstat(path, &want)); err != nil {
		t.Error(err)
		return
	}
	if st.Inode != want.Ino || st.Size != want.Size || time.Unix(st.MtimeSec, int64(st.MtimeNsec)) != time.Unix(want.Mtim.Unix()) ||
		st.UID != want.Uid || st.Mode != want.Mode&0o7777 || st.Nlink != uint64(want.Nlink) || unix.Mkdev(st.RdevMajor, st.RdevMinor) != uint64(want.Rdev) {
		t.Errorf("%q: %+v, want %+v", name, st, want)
	}
	if l.Kind(i) != st.Kind || l.Inode(i) != st.Inode {
		t.Errorf("%q: listed as %d, inode %d, is %d, %d", name, l.Kind(i), l.Inode(i), st.Kind, st.Inode)
	}
	attrs, err := d.Xattrs(name, nil)
	old, errOld := readXattrs(xattrTarget{fd: d.sys.fd}.byProc(name), nil)
	if err != nil || errOld != nil || !equalXattrs(attrs, old) {
		t.Errorf("%q: attributes %q, %v; the old way %q, %v", name, attrs, err, old, errOld)
	}
	switch st.Kind {
	case Regular:
		checkFile(t, d, name, attrs)
	case Symlink:
		target, err := d.Readlink(name)
		if want, _ := os.Readlink(path); err != nil || string(target) != want {
			t.Errorf("%q: links to %q, %v, want %q", name, target, err, want)
		}
		fallthrough
	default:
		if _, err := d.Open(name); st.Kind != Directory && !errors.Is(err, ErrReplaced) {
			t.Errorf("%q of kind %d: opened, %v", name, st.Kind, err)
		}
	}
}

// checkFile reads a file whole, and by its data alone.
func checkFile(t *testing.T, d *Dir, name []byte, attrs []Xattr) {
	f, err := d.Open(name)
	if err != nil {
		t.Errorf("%q: %v", name, err)
		return
	}
	defer f.Close()
	own, err := f.Xattrs(nil)
	if err != nil || !equalXattrs(own, attrs) {
		t.Errorf("%q: attributes of the open file %q, %v, by name %q", name, own, err, attrs)
	}
	whole, err := io.ReadAll(f)
	if err != nil || int64(len(whole)) != f.Opened().Size {
		t.Errorf("%q: %d bytes, %v", name, len(whole), err)
	}
	sparse := make([]byte, len(whole))
	data := 0
	for off := int64(0); ; {
		start, end, err := f.NextData(off)
		if err == io.EOF {
			break
		}
		if err != nil || start < off || end <= start || end > int64(len(whole)) {
			t.Errorf("%q: data from %d to %d, looked from %d: %v", name, start, end, off, err)
			return
		}
		if _, err := f.ReadAt(sparse[start:end], start); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		data += int(end - start)
		off = end
	}
	if !bytes.Equal(whole, sparse) {
		t.Errorf("%q: content by data differs", name)
	}
	if !f.Opened().Sparse() && data != len(whole) && f.Opened().Blocks*512 < int64(len(whole)) {
		t.Errorf("%q: %d of %d bytes are data, but it isn't sparse", name, data, len(whole))
	}
}

func equalXattrs(a, b []Xattr) bool {
	return slices.EqualFunc(a, b, func(x, y Xattr) bool { return bytes.Equal(x.Name, y.Name) && bytes.Equal(x.Value, y.Value) })
}

func TestXattrs(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "f")
	write(t, path, nil)
	d := open(t, root)
	f, err := d.Open([]byte("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b XattrBuffer
	if list, err := f.Xattrs(&b); err != nil || len(list) != 0 {
		t.Fatalf("%q, %v", list, err)
	}
	want := map[string]string{"user.z": "last", "user.empty": "", "user.large": string(bytes.Repeat([]byte("large"), 700)), "user.bytes": "\x00\xff"}
	for i := range 40 { // more names than the first buffer takes
		want[fmt.Sprintf("user.name-%030d", i)] = fmt.Sprint(i)
	}
	for name, value := range want {
		if err := unix.Setxattr(path, name, []byte(value), 0); err != nil {
			t.Skip(err)
		}
	}
	for range 2 {
		list, err := f.Xattrs(&b)
		if err != nil || len(list) != len(want) {
			t.Fatalf("%d attributes, %v, want %d", len(list), err, len(want))
		}
		last := ""
		for _, x := range list {
			if value, ok := want[string(x.Name)]; !ok || value != string(x.Value) || string(x.Name) <= last {
				t.Errorf("%s = %q after %s", x.Name, x.Value, last)
			}
			last = string(x.Name)
		}
	}
	if _, err := d.Xattrs([]byte("none"), &b); !errors.Is(err, unix.ENOENT) {
		t.Errorf("attributes of nothing: %v", err)
	}
}

// TestXattrsOfOldSystems goes the way of systems before Linux 6.13.
func TestXattrsOfOldSystems(t *testing.T) {
	defer noXattrAt.Store(noXattrAt.Load())
	noXattrAt.Store(true)
	TestXattrs(t)
}

// TestLeasedFile: file servers hold leases; opening must wait for them and not fail.
func TestLeasedFile(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "f")
	write(t, path, []byte("leased"))
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip(err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	}()
	f, err := open(t, root).Open([]byte("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "leased" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestNamesAreOnePart(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{"", ".", "..", "/", "/etc", "a/b", "../x", "a\x00b"} {
		_, dir := d.OpenDir([]byte(name))
		_, file := d.Open([]byte(name))
		for _, err := range []error{dir, file, d.StatName([]byte(name), new(Stat))} {
			if !errors.Is(err, os.ErrInvalid) {
				t.Errorf("name %q: %v", name, err)
			}
		}
	}
	if err := d.StatName(bytes.Repeat([]byte("x"), 1000), new(Stat)); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("long name: %v", err)
	}
}

func TestClosedFile(t *testing.T) {
	if err := new(File).Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closing what was never opened: %v", err)
	}
	root := t.TempDir()
	write(t, filepath.Join(root, "f"), []byte("x"))
	d := open(t, root)
	var f File
	for range 2 {
		if err := d.OpenInto([]byte("f"), &f); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(&f); err != nil || string(b) != "x" {
			t.Errorf("%q, %v", b, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("closing twice: %v", err)
		}
	}
}
