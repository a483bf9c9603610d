// Package durable is a directory tree in which files are created once and survive
// power loss.
//
// A file is written under a temporary name, synced, and then published under its final
// name without ever replacing another; the directories that changed are synced last. So a name
// is either absent or has its whole content, whenever the machine stops. [Dir.Put] does it in one
// go, [Dir.Create] for what is streamed. [Dir.Sweep] removes what writers left behind that are no more.
//
// Names are relative, of the characters [a-z0-9._/-], as manifest/FORMAT.md section 1 has them. All access goes
// through an os.Root, so neither a name nor a symbolic link leads outside. The package gives no
// meaning to what it stores.
//
// On Linux and Windows a name is published by one call that can't replace. Where the file system
// has no such call, a hard link does it; where it has none either (exFAT by FUSE), a rename under a lock that
// other writers on the same machine respect. Windows journals directories itself and
// lets no one sync them. Other systems compile, and can't write.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// ErrFull says that the file system has no room left, or the user no quota.
var ErrFull = errors.New("no space left")

// A Dir is a directory tree. It is safe for concurrent use, by several processes too.
type Dir struct {
	path    string
	root    *os.Root
	open    handles
	buffers sync.Pool // of *[]byte, for copying
	trace   func(op string)

	promised atomic.Int64 // bytes set aside for files being written

	mu   sync.Mutex
	made map[string]bool // directories known to be durable in the one above; guarded by mu
}

// Open opens the tree in an existing directory.
func Open(dir string) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: dir, root: root, made: map[string]bool{".": true}}
	d.buffers.New = func() any { b := make([]byte, 1<<20); return &b }
	return d, nil
}

// Path is the directory's path.
func (d *Dir) Path() string { return d.path }

// Close releases the tree's handles.
func (d *Dir) Close() error {
	d.open.close()
	return d.root.Close()
}

// Trace makes the tree tell each of its operations on the file system after it succeeded, in their order. It is for
// tests that pin that order, and must be called before anything else.
func (d *Dir) Trace(each func(op string)) { d.trace = each }

func (d *Dir) did(format string, args ...any) {
	if d.trace != nil {
		d.trace(fmt.Sprintf(format, args...))
	}
}

const tempPrefix = ".tmp-"

// CheckName refuses what is no name in a tree: fs.ErrInvalid. The upper-case names are those that disks have.
func CheckName(name string) error {
	if name == "README.txt" || name == "SHA256SUMS" {
		return nil
	}
	ok := len(name) < 200 && fs.ValidPath(name) && name != "."
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-' || c == '/'
	}
	for part := range strings.SplitSeq(name, "/") {
		ok = ok && !strings.HasPrefix(part, tempPrefix) && !strings.HasSuffix(part, ".") // Windows drops a last dot
	}
	if !ok {
		return &fs.PathError{Op: "name", Path: name, Err: fs.ErrInvalid}
	}
	return nil
}

// Free is how many bytes an ordinary user may still write, beside what CreateSized has set aside.
func (d *Dir) Free() (int64, error) {
	free, err := d.free()
	return max(free-d.promised.Load(), 0), err
}

// makeDirs makes sure that a directory and all above it exist and survive power loss. A directory that
// was there may have been made by a process that stopped before it could sync, so it is synced once, too.
func (d *Dir) makeDirs(dir string) error {
	d.mu.Lock()
	made := d.made[dir]
	d.mu.Unlock()
	if made {
		return nil
	}
	above := path.Dir(dir)
	if err := d.makeDirs(above); err != nil {
		return err
	}
	switch err := d.root.Mkdir(dir, 0o777); {
	case err == nil:
		d.did("mkdir %s", dir)
	case !errors.Is(err, fs.ErrExist):
		return full(err)
	}
	if err := d.syncDir(above); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made[dir] = true
	return nil
}

func (d *Dir) syncDir(dir string) error {
	if err := syncDir(d.root, dir); err != nil {
		return full(err)
	}
	d.did("sync directory %s", dir)
	return nil
}

// full marks the errors of a file system that has no room.
func full(err error) error {
	if err != nil && isFull(err) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
