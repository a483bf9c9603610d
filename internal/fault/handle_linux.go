package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A handle is an open file of a Disk.
type handle struct {
	*fs.LoopbackFile // owns f
	n                *node
	f                *os.File
	ino              uint64
}

// newHandle takes f over, also when it fails.
func (d *Disk) newHandle(n *node, f *os.File) (*handle, error) {
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &handle{fs.NewLoopbackFileFromOS(f), n, f, st.Sys().(*syscall.Stat_t).Ino}, nil
}

// PassthroughFd has the kernel ask for everything.
func (h *handle) PassthroughFd() (int, bool) { return 0, false }

// Read reads, with what is wrong with reading.
func (h *handle) Read(_ context.Context, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d := h.n.d
	d.pace(len(p), d.faults.Load().ReadRate)
	f, name := d.faults.Load(), h.n.name()
	if f.Gone || f.FailReads.is(name, off, int64(len(p))) {
		return nil, syscall.EIO
	}
	n, err := h.readAt(p, off, f.WrapAt)
	if err != nil && err != io.EOF {
		return nil, fs.ToErrno(err)
	}
	p = p[:n]
	if f.RealSize > 0 {
		d.mu.Lock()
		d.flash.read(h.ino, p, off)
		d.mu.Unlock()
	}
	const block, wrong = 4096, 1234
	for at := off / block * block; at < off+int64(n); at += block {
		if i := at + wrong - off; i >= 0 && i < int64(n) && f.Lie.is(name, at, block) {
			p[i] ^= 1
		}
	}
	return fuse.ReadResultData(p), fs.OK
}

// Write writes, with what is wrong with writing.
func (h *handle) Write(_ context.Context, p []byte, off int64) (uint32, syscall.Errno) {
	d := h.n.d
	d.pace(len(p), d.faults.Load().WriteRate)
	f := d.faults.Load()
	if f.Gone || f.FailWrites.is(h.n.name(), off, int64(len(p))) {
		return 0, syscall.EIO
	}
	if f.Size > 0 || f.Lose != Nothing || f.RealSize > 0 {
		d.mu.Lock()
		defer d.mu.Unlock()
		if errno := h.prepare(f, off, int64(len(p))); errno != fs.OK {
			return 0, errno
		}
		if f.RealSize > 0 {
			d.flash.write(h.ino, p, off, f.RealSize)
		}
	}
	n, err := h.writeAt(p, off, f.WrapAt)
	return uint32(n), fs.ToErrno(err)
}

// readAt reads a file that may wrap.
func (h *handle) readAt(p []byte, off, wrap int64) (int, error) {
	if wrap <= 0 || off+int64(len(p)) <= wrap {
		return h.f.ReadAt(p, off)
	}
	st, err := h.f.Stat()
	if err != nil {
		return 0, err
	}
	p = p[:max(min(int64(len(p)), st.Size()-off), 0)]
	return len(p), wrapped(p, off, wrap, h.f.ReadAt)
}

// writeAt writes a file that may wrap.
func (h *handle) writeAt(p []byte, off, wrap int64) (int, error) {
	end := off + int64(len(p))
	if wrap <= 0 || end <= wrap {
		return h.f.WriteAt(p, off)
	}
	st, err := h.f.Stat()
	if err == nil && end > st.Size() {
		err = h.f.Truncate(end)
	}
	if err != nil {
		return 0, err
	}
	return len(p), wrapped(p, off, wrap, h.f.WriteAt)
}

// wrapped moves the pieces of p to or from where they really lie.
func wrapped(p []byte, off, wrap int64, move func(p []byte, off int64) (int, error)) error {
	for len(p) > 0 {
		at := off % wrap
		n := min(int64(len(p)), wrap-at)
		if _, err := move(p[:n], at); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// Writev is Write of what lies in pieces.
func (h *handle) Writev(ctx context.Context, data [][]byte, off int64) (uint32, syscall.Errno) {
	return h.Write(ctx, slices.Concat(data...), off)
}

// sync makes that a power cut leaves what was written, or only says so. What lies below is not synced: that would cost tests
// time, and prove nothing.
func (h *handle) sync() syscall.Errno {
	d := h.n.d
	f := d.faults.Load()
	if f.Gone || f.FailSyncs.is(h.n.name(), 0, 0) {
		return syscall.EIO
	}
	if f.Lose == Unsynced {
		d.mu.Lock()
		defer d.mu.Unlock()
		return fs.ToErrno(d.forget(map[uint64]*undo{h.ino: d.undo[h.ino]}))
	}
	return fs.OK
}

// Allocate sets room aside, which a disk whose size is made up doesn't know how to do.
func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	switch f := h.n.d.faults.Load(); {
	case f.Gone:
		return syscall.EIO
	case f.Size > 0 || f.Lose != Nothing || f.RealSize > 0:
		return syscall.ENOTSUP
	}
	return h.LoopbackFile.Allocate(ctx, off, size, mode)
}

// prepare is what must be done before n bytes are written, or, with n of -1, before the file's size changes. d.mu is held.
func (h *handle) prepare(f *Faults, off, n int64) syscall.Errno {
	if f.Size > 0 {
		if errno := h.n.d.grow(h.f, off+max(n, 0), f.Size); errno != fs.OK {
			return errno
		}
	}
	if f.Lose == Nothing {
		return fs.OK
	}
	return fs.ToErrno(h.n.d.remember(h, off, n))
}

// An undo takes back what was written to a file.
type undo struct {
	f    *os.File // the file
	size int64    // it had
	old  []extent // what was there, in the order in which it was overwritten
}

type extent struct {
	off int64
	b   []byte
}

// remember keeps what a write, or a change of the size, replaces. d.mu is held.
func (d *Disk) remember(h *handle, off, n int64) error {
	st, err := h.f.Stat()
	if err != nil {
		return err
	}
	u := d.undo[h.ino]
	if u == nil {
		f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", h.f.Fd()), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		u = &undo{f: f, size: st.Size()}
		d.undo[h.ino] = u
	}
	lost := st.Size() - off
	if n >= 0 {
		lost = min(lost, n)
	}
	if lost > 0 {
		b := make([]byte, lost)
		if _, err := u.f.ReadAt(b, off); err != nil {
			return err
		}
		u.old = append(u.old, extent{off, b})
	}
	return nil
}

func (u *undo) apply() error {
	var errs []error
	for _, e := range slices.Backward(u.old) {
		_, err := u.f.WriteAt(e.b, e.off)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, u.f.Truncate(u.size))...)
}

// forget drops undos. d.mu is held.
func (d *Disk) forget(which map[uint64]*undo) error {
	var errs []error
	for ino, u := range which {
		if u != nil {
			errs = append(errs, u.f.Close())
			delete(d.undo, ino)
		}
	}
	return errors.Join(errs...)
}
