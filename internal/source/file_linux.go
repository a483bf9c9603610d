package source

import (
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// fileHandle is a bare descriptor. An os.File would cost an allocation, a finalizer and a try at the poller for every file.
type fileHandle struct {
	fd   int
	open bool
}

func (f *fileHandle) stat(st *Stat) error { return fstat(f.fd, st) }

func (f *fileHandle) readAt(p []byte, off int64) (int, error) {
	for {
		n, err := unix.Pread(f.fd, p, off)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("read: %w", err)
		}
	}
}

func (f *fileHandle) nextData(off int64) (start, end int64, err error) {
	start, err = unix.Seek(f.fd, off, unix.SEEK_DATA)
	if err == nil {
		end, err = unix.Seek(f.fd, start, unix.SEEK_HOLE)
	}
	switch {
	case err == nil && off <= start && start < end:
		return start, end, nil
	case err == unix.ENXIO: // nothing but a hole, or the end
		return 0, 0, io.EOF
	case err == nil || err == unix.EINVAL || err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.ENOTTY:
		return f.allData(off)
	}
	return 0, 0, fmt.Errorf("look for holes: %w", err)
}

// allData is the answer for a file system that can't tell holes.
func (f *fileHandle) allData(off int64) (start, end int64, err error) {
	var st Stat
	if err := f.stat(&st); err != nil {
		return 0, 0, err
	}
	if off >= st.Size {
		return 0, 0, io.EOF
	}
	return off, st.Size, nil
}

func (f *fileHandle) close() error {
	if !f.open {
		return fmt.Errorf("close: %w", fs.ErrClosed) // the number may be another file's by now
	}
	f.open = false
	return closeFD(f.fd)
}

func (f *fileHandle) descriptor() (uintptr, bool) { return uintptr(f.fd), f.open }
