package source

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxXattrNames = 64 << 10 // XATTR_LIST_MAX and XATTR_SIZE_MAX, xattr(7)
	maxXattrValue = 64 << 10
)

func (f *fileHandle) xattrs(b *XattrBuffer) ([]Xattr, error) {
	return readXattrs(xattrTarget{fd: f.fd}, b)
}

func (d *dirHandle) selfXattrs(b *XattrBuffer) ([]Xattr, error) {
	return readXattrs(xattrTarget{fd: d.fd}, b)
}

func (d *dirHandle) xattrs(name []byte, b *XattrBuffer) ([]Xattr, error) {
	var buf nameBuffer
	p, err := buf.set(name)
	if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	t := xattrTarget{fd: d.fd, name: p}
	if noXattrAt.Load() {
		return readXattrs(t.byProc(name), b)
	}
	list, err := readXattrs(t, b)
	if errors.Is(err, unix.ENOSYS) {
		noXattrAt.Store(true)
		return readXattrs(t.byProc(name), b)
	}
	return list, err
}

func readXattrs(t xattrTarget, b *XattrBuffer) ([]Xattr, error) {
	if b == nil {
		b = new(XattrBuffer)
	}
	b.list, b.arena = b.list[:0], b.arena[:0]
	if b.names == nil {
		b.names = make([]byte, 512)
	}
	n, errno := t.list(b.names)
	for errno == unix.ERANGE && len(b.names) < maxXattrNames {
		b.names = make([]byte, maxXattrNames)
		n, errno = t.list(b.names)
	}
	switch errno {
	case 0:
	case unix.EOPNOTSUPP:
		return nil, nil
	default:
		return nil, fmt.Errorf("list attributes: %w", errno)
	}
	var problems error
	for names := b.names[:n]; len(names) > 0; {
		end := bytes.IndexByte(names, 0)
		if end < 0 {
			return nil, errors.New("list attributes: the list has no end")
		}
		if end > 0 {
			problems = errors.Join(problems, b.get(t, names[:end]))
		}
		names = names[end+1:]
	}
	b.sort()
	return b.list, problems
}

// get reads one attribute into b. One that is gone meanwhile, or that is listed but has no value to read, isn't there.
func (b *XattrBuffer) get(t xattrTarget, name []byte) error {
	for room := 256; ; room = maxXattrValue {
		used := len(b.arena)
		b.arena = slices.Grow(b.arena, room)
		n, errno := t.get(&name[0], b.arena[used:cap(b.arena)])
		switch {
		case errno == 0:
			b.arena = b.arena[:used+n]
			b.list = append(b.list, Xattr{Name: name[:len(name):len(name)], Value: b.arena[used : used+n : used+n]})
			return nil
		case errno == unix.ENODATA || errno == unix.EOPNOTSUPP:
			return nil
		case errno != unix.ERANGE || room == maxXattrValue:
			return fmt.Errorf("read attribute %q: %w", name, errno)
		}
	}
}

// xattrTarget is whose attributes are read: an open file or directory, or what is called name in an open directory, or
// what a path names.
type xattrTarget struct {
	fd   int
	name *byte
	path string
}

// noXattrAt is set once the system turned out to be older than Linux 6.13, which brought listxattrat and getxattrat.
var noXattrAt atomic.Bool

// byProc is the target for older systems. The path is short, however deep the directory.
func (t xattrTarget) byProc(name []byte) xattrTarget {
	t.path = fmt.Sprintf("/proc/self/fd/%d/%s", t.fd, name)
	return t
}

func (t *xattrTarget) list(b []byte) (int, unix.Errno) {
	switch {
	case t.path != "":
		n, err := unix.Llistxattr(t.path, b)
		return n, t.errno(err)
	case t.name != nil:
		n, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(t.fd), uintptr(unsafe.Pointer(t.name)), unix.AT_SYMLINK_NOFOLLOW, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
		return int(n), errno
	}
	n, _, errno := unix.Syscall(unix.SYS_FLISTXATTR, uintptr(t.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

func (t *xattrTarget) get(attr *byte, b []byte) (int, unix.Errno) {
	switch {
	case t.path != "":
		n, err := unix.Lgetxattr(t.path, unix.BytePtrToString(attr), b)
		return n, t.errno(err)
	case t.name != nil:
		return t.getAt(attr, b)
	}
	n, _, errno := unix.Syscall6(unix.SYS_FGETXATTR, uintptr(t.fd), uintptr(unsafe.Pointer(attr)), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0)
	return int(n), errno
}

// getAt calls getxattrat, which takes the place of the value in a structure.
func (t *xattrTarget) getAt(attr *byte, b []byte) (int, unix.Errno) {
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&b[0])
	args := struct {
		value uint64
		size  uint32
		flags uint32
	}{value: uint64(uintptr(unsafe.Pointer(&b[0]))), size: uint32(len(b))}
	n, _, errno := unix.Syscall6(unix.SYS_GETXATTRAT, uintptr(t.fd), uintptr(unsafe.Pointer(t.name)), unix.AT_SYMLINK_NOFOLLOW, uintptr(unsafe.Pointer(attr)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	return int(n), errno
}

// errno tells a system without /proc from an entry that isn't there.
func (t *xattrTarget) errno(err error) unix.Errno {
	if err == nil {
		return 0
	}
	var st unix.Stat_t
	if err == unix.ENOENT && unix.Lstat("/proc/self/fd", &st) != nil {
		return unix.ENOSYS
	}
	return err.(unix.Errno)
}
