package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// A File is being written and not visible yet. One goroutine at a time may use it.
type File struct {
	dir     *Dir
	f       *os.File
	temp    string
	promise int64 // bytes that Free counts as used, and that are not written yet
	size    int64
	ahead   int64 // up to here the system was told to write to the medium
	err     error // of the first Write that failed
}

// CreateSized is Create for a file that will have at most size bytes. Until it is done, Free doesn't count what is set aside for
// it. That is a promise among the writers of this Dir; others may still fill the disk.
func (d *Dir) CreateSized(size int64) (*File, error) {
	f, err := d.Create()
	if err == nil {
		f.promise = size
		d.promised.Add(size)
	}
	return f, err
}

// Create begins a file. It holds a lock, so that Sweep knows that its writer is alive, until Commit or Abort.
func (d *Dir) Create() (*File, error) {
	for {
		temp := tempPrefix + hex.EncodeToString(random(8))
		f, err := d.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
		if err != nil {
			return nil, full(fmt.Errorf("creating a file: %w", err))
		}
		if alive, err := d.hold(f, temp); !alive {
			f.Close()
			if err != nil {
				d.root.Remove(temp) // or Sweep will
				return nil, fmt.Errorf("creating a file: %w", err)
			}
			continue
		}
		d.did("create %s", temp)
		return &File{dir: d, f: f, temp: temp}, nil
	}
}

// hold locks a new file. It is false when Sweep was faster and took the file for a dead writer's.
func (d *Dir) hold(f *os.File, temp string) (bool, error) {
	if err := lock(f); err != nil {
		return false, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := d.root.Lstat(temp)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, there), err
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// Write appends. After it has failed the file can't be committed.
func (f *File) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.f.Write(p)
	f.err = full(err)
	f.redeem(min(int64(n), f.promise))
	f.size += int64(n)
	if f.size-f.ahead >= writeAhead { // or Commit would have to wait for everything
		startWriting(f.f, f.ahead, f.size-f.ahead)
		f.ahead = f.size
	}
	return n, f.err
}

// writeAhead is how many bytes are left to the system's caches before it is told to write them.
const writeAhead = 8 << 20

// redeem takes back that part of the promise.
func (f *File) redeem(n int64) {
	f.promise -= n
	f.dir.promised.Add(-n)
}

// Commit makes the content durable and publishes it under name. When the name exists it fails with
// fs.ErrExist, when there is no room with ErrFull, and nothing has changed. The file is done with,
// whatever the outcome. After any other error the name may be there or not; if it is, its content is whole.
func (f *File) Commit(name string) error {
	if err := f.ready(name); err != nil {
		f.Abort()
		return err
	}
	if err := publish(f.dir.root, f.temp, name); err != nil {
		f.Abort()
		return full(err)
	}
	f.dir.did("publish %s as %s", f.temp, name)
	return f.settle(name)
}

// replace is Commit in place of whatever has the name.
func (f *File) replace(name string) error {
	if err := f.ready(name); err != nil {
		f.Abort()
		return err
	}
	if err := f.dir.root.Rename(f.temp, name); err != nil {
		f.Abort()
		return full(err)
	}
	f.dir.did("rename %s to %s", f.temp, name)
	return f.settle(name)
}

// ready is all that must be durable before the name is.
func (f *File) ready(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	f.redeem(f.promise)
	if f.err != nil {
		return f.err
	}
	if err := f.f.Sync(); err != nil {
		return full(err)
	}
	f.dir.did("sync %s", f.temp)
	return f.dir.makeDirs(path.Dir(name))
}

// settle makes the name durable.
func (f *File) settle(name string) error {
	err := settle(f.f)
	if cerr := f.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return f.dir.syncDir(path.Dir(name))
}

// Abort drops the file. After Commit it does nothing.
func (f *File) Abort() {
	f.redeem(f.promise)
	if f.f.Close() != nil {
		return // done with already
	}
	if f.dir.root.Remove(f.temp) == nil { // else Sweep will
		f.dir.did("remove %s", f.temp)
	}
}
