package fault

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A node is a file or directory of a Disk. It does what its loopback does, unless the disk is gone.
type node struct {
	*fs.LoopbackNode
	d *Disk
}

// WrapChild makes the loopback's nodes ours.
func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{ops.(*fs.LoopbackNode), n.d}
}

func (n *node) name() string { return n.Path(n.Root()) }
func (n *node) path() string { return filepath.Join(n.d.Backing, n.name()) }

// Create creates and opens a file.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.d.check(); errno != fs.OK {
		return nil, nil, 0, errno
	}
	child, made, _, errno := n.LoopbackNode.Create(ctx, name, flags&^syscall.O_DIRECT, mode, out)
	if errno != fs.OK {
		return nil, nil, 0, errno
	}
	made.(fs.FileReleaser).Release(ctx)
	f, err := os.OpenFile(filepath.Join(n.path(), name), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, 0, fs.ToErrno(err)
	}
	h, err := n.d.newHandle(child.Operations().(*node), f)
	if err != nil {
		return nil, nil, 0, fs.ToErrno(err)
	}
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	n.d.flash.forget(h.ino) // the number may have been another file's
	return child, h, fuse.FOPEN_DIRECT_IO, fs.OK
}

// Open opens a file, for reading too if it is to be written. What comes from it is never cached, whether O_DIRECT is asked for or not.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.d.check(); errno != fs.OK {
		return nil, 0, errno
	}
	how := os.O_RDONLY
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		how = os.O_RDWR
	}
	f, err := os.OpenFile(n.path(), how|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	h, err := n.d.newHandle(n, f)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	return h, fuse.FOPEN_DIRECT_IO, fs.OK
}

// Flush tells the kernel to ask no more when a file is closed. It would ask also while a child process of
// ours begins, and then we can't always answer.
func (n *node) Flush(context.Context, fs.FileHandle) syscall.Errno { return syscall.ENOSYS }

// Fsync syncs a file or a directory.
func (n *node) Fsync(_ context.Context, fh fs.FileHandle, _ uint32) syscall.Errno {
	if h, ok := fh.(*handle); ok {
		return h.sync()
	}
	return n.d.check()
}

// Setattr changes attributes, the size among them.
func (n *node) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if errno := n.d.check(); errno != fs.OK {
		return errno
	}
	if size, ok := in.GetSize(); ok {
		if errno := n.resize(h, int64(size)); errno != fs.OK {
			return errno
		}
		defer n.d.uncount()
	}
	return n.LoopbackNode.Setattr(ctx, h, in, out)
}

// resize does what must be done before a file gets another size.
func (n *node) resize(fh fs.FileHandle, size int64) syscall.Errno {
	h, ok := fh.(*handle)
	if !ok {
		f, err := os.OpenFile(n.path(), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return fs.ToErrno(err)
		}
		if h, err = n.d.newHandle(n, f); err != nil {
			return fs.ToErrno(err)
		}
		defer f.Close()
	}
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	return h.prepare(n.d.faults.Load(), size, -1)
}

// What follows only looks whether the disk is there. Other calls begin with Lookup.

// Lookup finds a name.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.d.check(); errno != fs.OK {
		return nil, errno
	}
	return n.LoopbackNode.Lookup(ctx, name, out)
}

// Getattr reads attributes.
func (n *node) Getattr(ctx context.Context, h fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := n.d.check(); errno != fs.OK {
		return errno
	}
	return n.LoopbackNode.Getattr(ctx, h, out)
}

// Statx reads attributes, too.
func (n *node) Statx(ctx context.Context, h fs.FileHandle, flags, mask uint32, out *fuse.StatxOut) syscall.Errno {
	if errno := n.d.check(); errno != fs.OK {
		return errno
	}
	return n.LoopbackNode.Statx(ctx, h, flags, mask, out)
}

// OpendirHandle opens a directory, and lists it.
func (n *node) OpendirHandle(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.d.check(); errno != fs.OK {
		return nil, 0, errno
	}
	entries, err := os.ReadDir(n.path())
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	list := make([]fuse.DirEntry, len(entries))
	for i, e := range entries {
		list[i] = fuse.DirEntry{Name: e.Name()} // who wants its type asks
	}
	return fs.NewListDirStream(list), 0, fs.OK
}

// Unlink removes a file.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if errno := n.d.check(); errno != fs.OK {
		return errno
	}
	defer n.d.uncount()
	return n.LoopbackNode.Unlink(ctx, name)
}

// Rename renames a file or directory.
func (n *node) Rename(ctx context.Context, name string, dir fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if errno := n.d.check(); errno != fs.OK {
		return errno
	}
	defer n.d.uncount()
	return n.LoopbackNode.Rename(ctx, name, dir, to, flags)
}
