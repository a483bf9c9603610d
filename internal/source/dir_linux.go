package source

import (
	"fmt"
	"io/fs"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

type dirHandle struct {
	fd     int
	listed bool // the next listing has to rewind
}

func openRoot(path string) (*Dir, error) {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	fd, errno := openat(unix.AT_FDCWD, p, unix.O_DIRECTORY)
	if errno != 0 {
		return nil, fmt.Errorf("open directory: %w", errno)
	}
	return &Dir{sys: dirHandle{fd: fd}}, nil
}

func (d *dirHandle) openDir(name []byte) (dirHandle, error) {
	var buf nameBuffer
	p, err := buf.set(name)
	if err != nil {
		return dirHandle{}, fmt.Errorf("open directory: %w", err)
	}
	fd, errno := openat(d.fd, p, unix.O_DIRECTORY|unix.O_NOFOLLOW)
	switch errno {
	case 0:
		return dirHandle{fd: fd}, nil
	case unix.ENOTDIR, unix.ELOOP:
		return dirHandle{}, fmt.Errorf("open directory: %w", ErrReplaced)
	}
	return dirHandle{}, fmt.Errorf("open directory: %w", errno)
}

func (d *dirHandle) close() error {
	fd := d.fd
	d.fd = -1
	return closeFD(fd)
}

func (d *dirHandle) self(st *Stat) error { return fstat(d.fd, st) }

func (d *dirHandle) born() (time.Time, bool) {
	var st unix.Statx_t
	if unix.Statx(d.fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st) != nil || st.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}, false
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec)), true
}

func (d *dirHandle) list(l *Listing) error {
	if d.listed {
		if _, err := unix.Seek(d.fd, 0, unix.SEEK_SET); err != nil {
			return fmt.Errorf("list directory: %w", err)
		}
	}
	d.listed = true
	for {
		b := l.room()
		if b == nil {
			return fmt.Errorf("list directory: more than 4 GiB of names")
		}
		n, _, errno := unix.Syscall(unix.SYS_GETDENTS64, uintptr(d.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if errno == unix.EINTR {
			n = 0
		} else if errno != 0 {
			return fmt.Errorf("list directory: %w", errno)
		}
		l.used(int(n))
		if n == 0 && errno == 0 {
			return nil
		}
	}
}

func (d *dirHandle) stat(l *Listing, i int, st *Stat) error {
	at := l.items[i].at
	return fstatat(d.fd, &l.blocks[at>>16][at&0xffff], st)
}

func (d *dirHandle) statName(name []byte, st *Stat) error {
	var buf nameBuffer
	p, err := buf.set(name)
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	return fstatat(d.fd, p, st)
}

func (d *dirHandle) open(name []byte, f *File) error {
	var buf nameBuffer
	p, err := buf.set(name)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	// Without O_NONBLOCK opening a fifo would wait for a writer.
	fd, errno := openat(d.fd, p, unix.O_NOFOLLOW|unix.O_NONBLOCK)
	switch errno {
	case 0:
	case unix.EAGAIN:
		if fd, errno = openLeased(d.fd, p); errno == 0 {
			break
		}
		return fmt.Errorf("open: %w", errno)
	case unix.ELOOP, unix.ENXIO: // a symbolic link; a socket, or a device without a driver
		return fmt.Errorf("open: %w", ErrReplaced)
	default:
		return fmt.Errorf("open: %w", errno)
	}
	if err = fstat(fd, &f.opened); err == nil && f.opened.Kind != Regular {
		err = fmt.Errorf("open: %w", ErrReplaced)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	f.sys = fileHandle{fd: fd, open: true}
	return nil
}

// openLeased opens a file somebody holds a lease on (fcntl(2), F_SETLEASE; file servers do): a non-blocking open fails then, a
// blocking one waits until the lease is given back. What it opens is known to be a regular file before it may block.
func openLeased(dir int, name *byte) (int, unix.Errno) {
	fd, errno := openat(dir, name, unix.O_NOFOLLOW|unix.O_PATH)
	if errno != 0 {
		return -1, errno
	}
	defer unix.Close(fd)
	var st Stat
	if err := fstat(fd, &st); err != nil || st.Kind != Regular {
		return -1, unix.EAGAIN
	}
	p, err := unix.BytePtrFromString(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return -1, unix.EINVAL
	}
	return openat(unix.AT_FDCWD, p, 0)
}

func (d *dirHandle) readlink(name []byte) ([]byte, error) {
	var buf nameBuffer
	p, err := buf.set(name)
	if err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	for size := 256; ; size *= 4 {
		b := make([]byte, size)
		n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(d.fd), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&b[0])), uintptr(size), 0, 0)
		switch {
		case errno == unix.EINVAL:
			return nil, fmt.Errorf("read link: %w", ErrReplaced)
		case errno != 0:
			return nil, fmt.Errorf("read link: %w", errno)
		case int(n) < size:
			return b[:n:n], nil
		}
	}
}

// nameBuffer makes a name into what the system takes, ended by a zero, on the stack.
type nameBuffer [256]byte

func (b *nameBuffer) set(name []byte) (*byte, error) {
	if len(name) == 0 || len(name) <= 2 && string(name) == ".."[:len(name)] {
		return nil, fs.ErrInvalid
	}
	for _, c := range name {
		if c == '/' || c == 0 {
			return nil, fs.ErrInvalid
		}
	}
	if len(name) < len(b) {
		copy(b[:], name)
		return &b[0], nil
	}
	long := make([]byte, len(name)+1) // vfat and others have names of 255 characters, not bytes
	copy(long, name)
	return &long[0], nil
}
