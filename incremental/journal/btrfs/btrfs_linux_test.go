package btrfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

var (
	_ journal.Journal = (*Volume)(nil)
	_ journal.Holder  = (*Volume)(nil)
)

// mounted makes a btrfs of so many bytes in memory and mounts it.
func mounted(t testing.TB, size int64, options ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir, err := os.MkdirTemp("/dev/shm", "waybill-btrfs-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	ok(t, os.WriteFile(image, nil, 0o600))
	ok(t, os.Truncate(image, size))
	ok(t, os.Mkdir(at, 0o755))
	if out, err := exec.Command("mkfs.btrfs", "-q", "-f", image).CombinedOutput(); err != nil {
		t.Skipf("this needs mkfs.btrfs: %v, %s", err, out)
	}
	mount(t, at, image, options...)
	return at
}

func mount(t testing.TB, at, image string, options ...string) {
	t.Helper()
	with := strings.Join(append(options, "loop"), ",")
	if out, err := exec.Command("mount", "-o", with, image, at).CombinedOutput(); err != nil {
		t.Skipf("this needs loop devices and btrfs: %v, %s", err, out)
	}
	t.Cleanup(func() {
		if unix.Unmount(at, 0) != nil {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
				t.Errorf("unmounting %s: %v", at, err)
			}
		}
	})
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	ok(t, os.MkdirAll(filepath.Dir(path), 0o755))
	ok(t, os.WriteFile(path, content, 0o644))
}

func run(t testing.TB, command string, args ...string) {
	t.Helper()
	if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v, %s", command, args, err, out)
	}
}

func opened(t testing.TB, path string) *Volume {
	t.Helper()
	v, err := Open(path, Options{})
	ok(t, err)
	t.Cleanup(func() { v.Close() })
	return v
}

// A moment is a held volume, looked at.
type moment struct {
	cursor *journal.Cursor
	tree   tops
}

// tops are all entries of a tree by their directory's inode and their name.
type tops map[place]entry

type place struct {
	dir  uint64
	name string
}

type entry struct {
	path    string
	inode   uint64
	isDir   bool
	stat    string // all that a backup has of it but the content
	content [32]byte
}

// hold looks at the volume in a snapshot, and has the changes since a moment, if there is one.
func hold(t testing.TB, v *Volume, since *moment) (now *moment, d *journal.Dirty) {
	t.Helper()
	dir, release, err := v.Hold(t.Context())
	ok(t, err)
	defer func() { ok(t, release()) }()
	now = &moment{}
	now.cursor, err = v.Now(t.Context())
	ok(t, err)
	if since != nil {
		d = &journal.Dirty{}
		ok(t, v.Changes(t.Context(), since.cursor, now.cursor, d))
	}
	now.tree = survey(t, dir)
	return now, d
}

func survey(t testing.TB, root string) tops {
	t.Helper()
	all := tops{{0, "/"}: describe(t, root, "/")}
	ok(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		dir := describe(t, filepath.Dir(path), "")
		rel := strings.TrimPrefix(path, root)
		all[place{dir.inode, e.Name()}] = describe(t, path, rel)
		if rel == "/"+DefaultPlace {
			return fs.SkipDir
		}
		return nil
	}))
	return all
}

func describe(t testing.TB, path, rel string) entry {
	t.Helper()
	var st syscall.Stat_t
	ok(t, syscall.Lstat(path, &st))
	e := entry{path: rel, inode: st.Ino, isDir: st.Mode&syscall.S_IFMT == syscall.S_IFDIR}
	e.stat = fmt.Sprint(st.Mode, st.Uid, st.Gid, st.Rdev, st.Nlink, st.Mtim, st.Ctim, st.Size, attributes(path))
	if st.Mode&syscall.S_IFMT == syscall.S_IFREG {
		b, err := os.ReadFile(path)
		ok(t, err)
		e.content = sha256.Sum256(b)
	}
	return e
}

func attributes(path string) string {
	b := make([]byte, 4096)
	n, _ := unix.Llistxattr(path, b)
	text := ""
	for _, name := range strings.FieldsFunc(string(b[:max(n, 0)]), func(r rune) bool { return r == 0 }) {
		value := make([]byte, 4096)
		n, _ := unix.Lgetxattr(path, name, value)
		text += fmt.Sprintf("%s=%x ", name, value[:max(n, 0)])
	}
	return text
}

// covered fails unless all that differs between two moments is in d, and d leads there.
func covered(t testing.TB, before, after *moment, d *journal.Dirty) {
	t.Helper()
	dirs := map[uint64]uint64{firstInode: 0} // of the tree as it is now, each with the one above
	for at, e := range after.tree {
		if e.isDir {
			dirs[e.inode] = at.dir
		}
	}
	was := map[uint64]bool{}
	for _, e := range before.tree {
		was[e.inode] = true
	}
	for at, now := range after.tree {
		old, had := before.tree[at]
		if at.dir == 0 {
			if old.stat != now.stat && d.Dirs[now.inode] == nil {
				t.Error("the root's own change is not named")
			}
			continue
		}
		if had && old.inode == now.inode && old.stat == now.stat && old.content == now.content {
			continue
		}
		if was[at.dir] && !told(d, at, !had || old.inode != now.inode) {
			t.Errorf("%s changed or is new, and is not named", now.path)
		}
		if had && old.inode == now.inode && old.content != now.content && old.stat == now.stat && (d.Files[now.inode] == nil || !d.Files[now.inode].Read) {
			t.Errorf("%s has another content and the same stat, which isn't said", now.path)
		}
	}
	for at, old := range before.tree {
		_, stays := dirs[at.dir]
		if _, has := after.tree[at]; !has && stays && at.dir != 0 && !told(d, at, true) {
			t.Errorf("%s is gone, and is not named", old.path)
		}
	}
	for id := range d.Dirs {
		for at, ok := id, false; at != firstInode; {
			if at, ok = dirs[at]; !ok {
				t.Errorf("directory %d, which is named, is not there", id)
				break
			}
			if !d.Leads(at) {
				t.Errorf("nothing leads to directory %d, at %d", id, at)
			}
		}
	}
}

// told tells whether a name is looked at, which turned or not.
func told(d *journal.Dirty, at place, turned bool) bool {
	dir := d.Dirs[at.dir]
	return dir.Has([]byte(at.name)) || turned && dir != nil && dir.Turns
}

// Each change is told, and little beside it.
func TestChanges(t *testing.T) {
	top := mounted(t, 512<<20)
	v := opened(t, top)
	data := bytes.Repeat([]byte("data"), 5000)
	var a string // a directory of the case's own
	in := func(name string) string { return filepath.Join(a, "b", name) }
	for name, do := range map[string]func(t *testing.T){
		"nothing":       func(*testing.T) {},
		"chmod":         func(t *testing.T) { ok(t, os.Chmod(in("file"), 0o600)) },
		"chown":         func(t *testing.T) { ok(t, os.Chown(in("file"), 5, 6)) },
		"utimes":        func(t *testing.T) { run(t, "touch", "-d", "2001-01-01", in("file")) },
		"chmod of root": func(t *testing.T) { ok(t, os.Chmod(top, 0o750)); ok(t, os.Chmod(top, 0o755)) },
		"chmod of dir":  func(t *testing.T) { ok(t, os.Chmod(in(""), 0o700)) },
		"xattr":         func(t *testing.T) { ok(t, unix.Setxattr(in("file"), "user.x", []byte("y"), 0)) },
		"xattr removed": func(t *testing.T) { ok(t, unix.Removexattr(in("file"), "user.had")) },
		"xattr of dir":  func(t *testing.T) { ok(t, unix.Setxattr(in(""), "user.x", []byte("y"), 0)) },
		"flags":         func(t *testing.T) { run(t, "chattr", "+A", in("file")) },
		"append": func(t *testing.T) {
			f, err := os.OpenFile(in("file"), os.O_APPEND|os.O_WRONLY, 0)
			ok(t, err)
			_, err = f.WriteString("more")
			ok(t, err)
			ok(t, f.Close())
		},
		"in place": func(t *testing.T) { overwrite(t, in("file"), 9000, "in place") },
		"in place, times kept": func(t *testing.T) {
			overwrite(t, in("file"), 9000, "in place")
			run(t, "touch", "-r", in("old"), in("file"))
		},
		"mmap": func(t *testing.T) {
			f, err := os.OpenFile(in("file"), os.O_RDWR, 0)
			ok(t, err)
			defer f.Close()
			m, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			ok(t, err)
			copy(m[5000:], "mapped")
			ok(t, unix.Munmap(m))
		},
		"direct": func(t *testing.T) {
			f, err := os.OpenFile(in("file"), os.O_WRONLY|unix.O_DIRECT, 0)
			ok(t, err)
			defer f.Close()
			page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			ok(t, err)
			defer unix.Munmap(page)
			copy(page, "direct")
			_, err = f.WriteAt(page, 4096)
			ok(t, err)
		},
		"truncate": func(t *testing.T) { ok(t, os.Truncate(in("file"), 100)) },
		"grow":     func(t *testing.T) { ok(t, os.Truncate(in("file"), 1<<20)) },
		"punch": func(t *testing.T) {
			fallocate(t, in("file"), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 4096, 4096)
		},
		"zero range":   func(t *testing.T) { fallocate(t, in("file"), unix.FALLOC_FL_ZERO_RANGE, 4096, 8192) },
		"prealloc":     func(t *testing.T) { fallocate(t, in("file"), unix.FALLOC_FL_KEEP_SIZE, 1<<20, 1<<20) },
		"reflink":      func(t *testing.T) { run(t, "cp", "--reflink=always", in("old"), in("file")) },
		"create":       func(t *testing.T) { write(t, in("new"), data) },
		"create empty": func(t *testing.T) { write(t, in("new"), nil) },
		"mkdir with many files": func(t *testing.T) {
			for i := range 300 {
				write(t, fmt.Sprintf("%s/new/%d/%d", a, i%7, i), nil)
			}
			ok(t, os.Rename(in("sub"), a+"/new/5/old"))
			overwrite(t, a+"/new/5/old/below/deep", 3, "changed")
		},
		"mkdir with file": func(t *testing.T) { write(t, in("new/dir/file"), data) },
		"symlink":         func(t *testing.T) { ok(t, os.Symlink("there", in("new"))) },
		"fifo":            func(t *testing.T) { ok(t, unix.Mkfifo(in("new"), 0o600)) },
		"unlink":          func(t *testing.T) { ok(t, os.Remove(in("file"))) },
		"unlink, open":    func(t *testing.T) { unlinkOpen(t, in("file")) },
		"rmdir":           func(t *testing.T) { ok(t, os.RemoveAll(in("sub"))) },
		"rename":          func(t *testing.T) { ok(t, os.Rename(in("file"), in("new"))) },
		"rename over":     func(t *testing.T) { ok(t, os.Rename(in("file"), in("old"))) },
		"rename away":     func(t *testing.T) { ok(t, os.Rename(in("file"), a+"/new")) },
		"exchange": func(t *testing.T) {
			ok(t, unix.Renameat2(unix.AT_FDCWD, in("file"), unix.AT_FDCWD, in("sub/below/deep"), unix.RENAME_EXCHANGE))
		},
		"swap": func(t *testing.T) {
			ok(t, os.Rename(in("file"), in("x")))
			ok(t, os.Rename(in("old"), in("file")))
			ok(t, os.Rename(in("x"), in("old")))
		},
		"rename of dir": func(t *testing.T) { ok(t, os.Rename(in("sub"), a+"/moved")) },
		"rename of dir with a change inside": func(t *testing.T) {
			overwrite(t, in("sub/below/deep"), 3, "changed")
			ok(t, os.Rename(in("sub"), a+"/moved"))
		},
		"rename of dir above": func(t *testing.T) {
			overwrite(t, in("sub/below/deep"), 3, "changed")
			ok(t, os.Rename(a, a+"z"))
		},
		"link":                            func(t *testing.T) { ok(t, os.Link(in("file"), in("sub/link"))) },
		"unlink of one":                   func(t *testing.T) { ok(t, os.Remove(in("sub/linked"))) },
		"write by the other name":         func(t *testing.T) { overwrite(t, in("sub/linked"), 10, "changed") },
		"write by one of very many names": func(t *testing.T) { overwrite(t, in("many/7"), 10, "changed") },
		"delete and create again": func(t *testing.T) {
			ok(t, os.Remove(in("file")))
			write(t, in("file"), data)
		},
		"temporary that gets a name": func(t *testing.T) {
			fd, err := unix.Open(in(""), unix.O_TMPFILE|unix.O_WRONLY, 0o600)
			ok(t, err)
			defer unix.Close(fd)
			ok(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, in("new"), unix.AT_SYMLINK_FOLLOW))
		},
		"subvolume":         func(t *testing.T) { run(t, "btrfs", "subvolume", "create", in("new")) },
		"subvolume deleted": func(t *testing.T) { run(t, "btrfs", "subvolume", "delete", in("nested")) },
		"compressed": func(t *testing.T) {
			run(t, "btrfs", "property", "set", in("file"), "compression", "zstd")
			overwrite(t, in("file"), 4096, strings.Repeat("compress", 1000))
		},
		"defragmented": func(t *testing.T) { run(t, "btrfs", "filesystem", "defragment", "-czstd", in("file")) },
		"balanced":     func(t *testing.T) { run(t, "btrfs", "balance", "start", "--full-balance", top) },
		"read": func(t *testing.T) {
			_, err := os.ReadFile(in("file"))
			ok(t, err)
			_, err = os.ReadDir(in(""))
			ok(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a = filepath.Join(top, "case "+name)
			defer func() { run(t, "rm", "-rf", a, a+"z") }()
			write(t, in("file"), data)
			ok(t, unix.Setxattr(in("file"), "user.had", []byte("y"), 0))
			write(t, in("old"), data)
			write(t, in("sub/below/deep"), data)
			write(t, a+"/other", data)
			if strings.Contains(name, "subvolume") {
				run(t, "btrfs", "subvolume", "create", in("nested"))
			}
			ok(t, os.Link(in("old"), in("sub/linked")))
			if strings.Contains(name, "many names") {
				write(t, in("many/0"), data)
				for i := range 200 { // more than one item has room for
					ok(t, os.Link(in("many/0"), fmt.Sprintf("%s%d-%s", in("many/"), i+1, strings.Repeat("long", 50))))
				}
				ok(t, os.Link(in("many/0"), in("many/7")))
			}
			run(t, "sync", "-f", top)
			before, _ := hold(t, v, nil)
			do(t)
			after, d := hold(t, v, before)
			covered(t, before, after, d)
			for _, e := range before.tree {
				if dir := d.Dirs[e.inode]; dir != nil && dir.All {
					t.Errorf("all of directory %s is looked at", e.path)
				}
			}
			for at, e := range after.tree { // no change above concerns it, but when a is written itself
				if e.path == "/case "+name+"/other" && d.Dirs[at.dir].Has([]byte(at.name)) && !strings.Contains(name, "rename") {
					t.Error("what didn't change is named too")
				}
			}
			if n := names(d); n > 210 {
				t.Errorf("%d names", n)
			}
			f := d.Files[before.at("/case "+name+"/b/file").inode]
			if want, known := written[name]; known && (f != nil && f.Read) != want {
				t.Errorf("of the file is said: %+v", f)
			}
		})
	}
}

func names(d *journal.Dirty) (n int) {
	for _, dir := range d.Dirs {
		n += len(dir.Names)
	}
	return n
}

// written tells changes that write to the file from those that certainly don't.
var written = map[string]bool{"append": true, "in place": true, "in place, times kept": true, "mmap": true, "direct": true, "compressed": true, "defragmented": true,
	"nothing": false, "chmod": false, "xattr": false, "rename": false, "link": false, "read": false, "balanced": false}

// All names are told, however many.
func TestRefs(t *testing.T) {
	top := mounted(t, 256<<20)
	write(t, top+"/first", nil)
	write(t, top+"/file", nil)
	for i := range 5000 {
		ok(t, os.Link(top+"/file", fmt.Sprintf("%s/%d-%s", top, i, strings.Repeat("long", 50))))
	}
	write(t, top+"/last", nil)
	v := opened(t, top)
	_, err := commit(v.root)
	ok(t, err)
	first := describe(t, top+"/first", "").inode
	got := map[uint64]int{}
	for _, wanted := range [][]uint64{{first, first + 1, first + 2}, {first + 1}, {first - 200, first + 1, first + 900}} {
		ok(t, v.tree().refs(wanted, func(r ref) { got[r.inode]++ }))
	}
	if got[first] != 1 || got[first+1] != 3*5001 || got[first+2] != 1 || len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func (m *moment) at(path string) entry {
	for _, e := range m.tree {
		if e.path == path {
			return e
		}
	}
	return entry{}
}

func overwrite(t testing.TB, path string, off int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	ok(t, err)
	_, err = f.WriteAt([]byte(text), off)
	ok(t, err)
	ok(t, f.Close())
}

func fallocate(t testing.TB, path string, mode uint32, off, length int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	ok(t, unix.Fallocate(int(f.Fd()), mode, off, length))
	ok(t, f.Close())
}

// unlinkOpen leaves an inode without a name until the test ends.
func unlinkOpen(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	ok(t, err)
	t.Cleanup(func() { f.Close() })
	ok(t, os.Remove(path))
}
