package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A Disk is a mounted directory that shows another one, with faults: a FUSE file system, served by this process. Nothing of
// it is cached, neither names nor bytes. It is safe for concurrent use.
type Disk struct {
	control
	Dir     string // where it is mounted
	Backing string // what it shows; what is done there meets no faults

	server *fuse.Server

	mu    sync.Mutex       // guards what follows, and keeps writes apart that change it
	used  int64            // bytes of all files; -1 when it must be counted
	undo  map[uint64]*undo // by inode
	flash flash
}

// Available tells whether a Disk can be mounted here: whether this process may use FUSE.
func Available() bool {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// Mount mounts the directory backing on the empty directory dir. Close it after use, when no file on it is open any more.
func Mount(backing, dir string, f Faults) (*Disk, error) {
	root, err := fs.NewLoopbackRoot(backing)
	if err != nil {
		return nil, err
	}
	d := &Disk{Dir: dir, Backing: backing, used: -1, undo: map[uint64]*undo{}}
	d.Set(f)
	options := &fs.Options{MountOptions: fuse.MountOptions{FsName: "waybill-fault", Name: "fault", DirectMount: true,
		MaxWrite: 1 << 20, DisableSplice: true}}
	d.server, err = fs.Mount(dir, &node{LoopbackNode: root.(*fs.LoopbackNode), d: d}, options)
	return d, err
}

// Close unmounts the disk. What it shows stays.
func (d *Disk) Close() error {
	err := d.server.Unmount()
	if err != nil { // a file is still open
		if derr := unix.Unmount(d.Dir, unix.MNT_DETACH); derr != nil {
			return errors.Join(err, derr)
		}
		return fmt.Errorf("%s was in use: %w", d.Dir, err)
	}
	d.server.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.forget(d.undo)
}

// PowerCut takes away what Faults.Lose says, counted from when that was set. Open files stay open.
func (d *Disk) PowerCut() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = -1
	var errs []error
	for _, u := range d.undo {
		errs = append(errs, u.apply())
	}
	return errors.Join(append(errs, d.forget(d.undo))...)
}

// check is the error of a disk that is gone.
func (d *Disk) check() syscall.Errno {
	if d.faults.Load().Gone {
		return syscall.EIO
	}
	return fs.OK
}

// uncount has the bytes of all files counted again when they are needed.
func (d *Disk) uncount() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = -1
}

// usage is the bytes of all files. d.mu is held.
func (d *Disk) usage() int64 {
	if d.used < 0 {
		d.used = 0
		filepath.WalkDir(d.Backing, func(_ string, e os.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				if info, err := e.Info(); err == nil { // else it was removed since
					d.used += info.Size()
				}
			}
			return nil
		})
	}
	return d.used
}

// grow counts the bytes by which a file gets longer, if there is room. d.mu is held.
func (d *Disk) grow(f *os.File, end, limit int64) syscall.Errno {
	st, err := f.Stat()
	if err != nil {
		return fs.ToErrno(err)
	}
	more := max(end-st.Size(), 0)
	if more > 0 && d.usage()+more > limit {
		return syscall.ENOSPC
	}
	d.used += more
	return fs.OK
}

// Statfs is the file system's size.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	f := n.d.faults.Load()
	if f.Gone {
		return syscall.EIO
	}
	errno := n.LoopbackNode.Statfs(ctx, out)
	if f.Size > 0 && errno == fs.OK {
		n.d.mu.Lock()
		defer n.d.mu.Unlock()
		const block = 4096
		out.Bsize, out.Frsize = block, block
		out.Blocks = uint64(f.Size / block)
		out.Bfree = uint64(max(f.Size-n.d.usage(), 0) / block)
		out.Bavail = out.Bfree
	}
	return errno
}
