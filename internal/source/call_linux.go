package source

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls, made directly where package unix would copy the name into a new string.

// openat opens for reading. O_NOATIME is for the owner and the privileged only (open(2)), so it is tried and given up.
func openat(dir int, name *byte, flags int) (int, unix.Errno) {
	flags |= unix.O_CLOEXEC | unix.O_LARGEFILE
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NOATIME
	}
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(flags), 0, 0, 0)
		switch {
		case errno == 0:
			return int(fd), 0
		case errno == unix.EINTR:
		case errno == unix.EPERM && flags&unix.O_NOATIME != 0:
			flags &^= unix.O_NOATIME
		default:
			return -1, errno
		}
	}
}

func closeFD(fd int) error {
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

func fstatat(dir int, name *byte, st *Stat) error {
	var raw unix.Stat_t
	for {
		_, _, errno := unix.Syscall6(sysFstatat, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&raw)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
		switch errno {
		case 0:
			st.set(&raw)
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("stat: %w", errno)
		}
	}
}

func fstat(fd int, st *Stat) error {
	var raw unix.Stat_t
	for {
		switch err := unix.Fstat(fd, &raw); err {
		case nil:
			st.set(&raw)
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("stat: %w", err)
		}
	}
}

func (st *Stat) set(raw *unix.Stat_t) {
	*st = Stat{
		Kind:      kinds[raw.Mode>>12&15],
		Mode:      raw.Mode & 0o7777,
		Dev:       uint64(raw.Dev),
		Inode:     raw.Ino,
		Nlink:     uint64(raw.Nlink),
		Size:      raw.Size,
		Blocks:    int64(raw.Blocks),
		MtimeSec:  int64(raw.Mtim.Sec),
		MtimeNsec: uint32(raw.Mtim.Nsec),
		CtimeSec:  int64(raw.Ctim.Sec),
		CtimeNsec: uint32(raw.Ctim.Nsec),
		UID:       raw.Uid,
		GID:       raw.Gid,
		RdevMajor: unix.Major(uint64(raw.Rdev)),
		RdevMinor: unix.Minor(uint64(raw.Rdev)),
	}
}
