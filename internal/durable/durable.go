// Package durable is a directory tree in which files are created once and survive
// power loss.
//
// A file is written under a temporary name, synced, and then published under its final
// name without ever replacing another; the directories that changed are synced last. So a name
// is either absent or has its whole content. [Dir.Put] does it in one go,
// [Dir.Create] for what is streamed.
//
// Names are relative, of the characters [a-z0-9._/-], as manifest/FORMAT.md section 1 has them;
// all access goes through an os.Root, so no name leads outside. The package gives no
// meaning to what it stores.
package durable

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// ErrFull says that the file system has no room left.
var ErrFull = errors.New("no space left")

// A Dir is a directory tree. It is safe for concurrent use, by several processes too.
type Dir struct {
	path string
	root *os.Root
	open handles
}

// Open opens the tree in an existing directory.
func Open(dir string) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Dir{path: dir, root: root}, nil
}

// Path is the directory's path.
func (d *Dir) Path() string { return d.path }

// Close releases the tree's handles.
func (d *Dir) Close() error {
	d.open.close()
	return d.root.Close()
}

const tempPrefix = ".tmp-"

// CheckName refuses what is no name in a tree; fs.ErrInvalid.
func CheckName(name string) error {
	ok := len(name) < 200 && fs.ValidPath(name) && name != "."
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-' || c == '/'
	}
	if !ok && name != "README.txt" && name != "SHA256SUMS" || strings.HasPrefix(path.Base(name), tempPrefix) {
		return &fs.PathError{Op: "name", Path: name, Err: fs.ErrInvalid}
	}
	return nil
}

// A File is being written and not visible yet. One goroutine at a time may use it.
type File struct {
	dir  *Dir
	f    *os.File
	temp string
}

// Create begins a file that will be published in the given directory of the tree, or below it.
func (d *Dir) Create(dir string) (*File, error) {
	if dir != "." {
		if err := CheckName(dir); err != nil {
			return nil, err
		}
		if err := d.makeDirs(dir); err != nil {
			return nil, err
		}
	}
	var r [8]byte
	rand.Read(r[:])
	temp := path.Join(dir, tempPrefix+hex.EncodeToString(r[:]))
	f, err := d.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
	if err != nil {
		return nil, full(err)
	}
	return &File{d, f, temp}, nil
}

// Write appends.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	return n, full(err)
}

// Commit makes the content durable and publishes it under name. When the name exists it fails with
// fs.ErrExist and nothing has changed. The file is done with, whatever the outcome.
func (f *File) Commit(name string) error {
	err := CheckName(name)
	if err == nil {
		err = f.f.Sync()
	}
	if cerr := f.f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = f.dir.makeDirs(path.Dir(name))
	}
	if err == nil {
		err = publish(f.dir.root, f.temp, name)
	}
	if err != nil {
		f.dir.root.Remove(f.temp) // it would be swept later anyway
		return full(err)
	}
	return f.dir.syncDir(path.Dir(name))
}

// Abort drops the file.
func (f *File) Abort() {
	f.f.Close()
	f.dir.root.Remove(f.temp)
}

// Put creates name with body's whole content, durable on return. fs.ErrExist when the name exists.
func (d *Dir) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if _, err := d.root.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f, err := d.Create(path.Dir(name))
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(f, onlyReader{ctx, body}, make([]byte, 1<<20)); err != nil {
		f.Abort()
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return f.Commit(name)
}

// Replace puts b in the place of whatever has the name. It is for a disk's own label files alone.
func (d *Dir) Replace(name string, b []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	f, err := d.Create(path.Dir(name))
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.f.Sync()
	}
	if cerr := f.f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.root.Rename(f.temp, name)
	}
	if err != nil {
		d.root.Remove(f.temp)
		return full(err)
	}
	return d.syncDir(path.Dir(name))
}

// Remove removes a file; fs.ErrNotExist when it isn't there.
func (d *Dir) Remove(_ context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	d.open.drop(name)
	if err := d.root.Remove(name); err != nil {
		return err
	}
	return d.syncDir(path.Dir(name))
}

// makeDirs creates a directory with its parents, each durable in the one above.
func (d *Dir) makeDirs(dir string) error {
	if dir == "." {
		return nil
	}
	if _, err := d.root.Stat(dir); err == nil {
		return nil
	}
	if err := d.makeDirs(path.Dir(dir)); err != nil {
		return err
	}
	if err := d.root.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return full(err)
	}
	return d.syncDir(path.Dir(dir))
}

// full marks the errors of a file system that has no room.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || isQuota(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// onlyReader stops a copy when the context does, and hides shortcuts that would not.
type onlyReader struct {
	ctx context.Context
	r   io.Reader
}

func (o onlyReader) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	return o.r.Read(p)
}
