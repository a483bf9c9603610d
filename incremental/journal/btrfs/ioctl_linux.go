package btrfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of linux/btrfs.h that are used here, by direction, number and size of the argument.
var (
	iocSnapDestroy   = request(toKernel, 15, 4096)
	iocTreeSearch    = request(toKernel|fromKernel, 17, searchHead)
	iocWaitSync      = request(toKernel, 22, 8)
	iocSnapCreate    = request(toKernel, 23, 4096)
	iocStartSync     = request(fromKernel, 24, 8)
	iocFileSystem    = request(fromKernel, 31, 1024)
	iocSubvolumeInfo = request(fromKernel, 60, 504)
)

const (
	toKernel   = 1
	fromKernel = 2
)

// request makes a call's number as asm-generic/ioctl.h does, and as powerpc and mips do, which have a bit more for the direction.
func request(direction, number, size uintptr) uintptr {
	const btrfs = 0x94
	low := size<<16 | btrfs<<8 | number
	if strings.HasPrefix(runtime.GOARCH, "ppc64") || strings.HasPrefix(runtime.GOARCH, "mips") {
		return (direction<<1&4|direction<<1&2)<<29 | low
	}
	return direction<<30 | low
}

// A descriptor is what can be asked: an *os.File, or a bare number.
type descriptor interface{ Fd() uintptr }

func ioctl(f descriptor, request uintptr, arg unsafe.Pointer) error {
	defer runtime.KeepAlive(f)
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// A subvolume is what the kernel tells about one.
type subvolume struct {
	id           uint64
	name         string // in the directory that holds it
	readOnly     bool
	uuid, parent uuid   // parent: of the subvolume that it is a snapshot of
	made         uint64 // the transaction that made it
	madeAt       time.Time
	changed      uint64 // the last transaction that wrote its tree
}

// subvolumeOf returns the subvolume that f lies in: struct btrfs_ioctl_get_subvol_info_args.
func subvolumeOf(f descriptor) (s subvolume, err error) {
	var b [504]byte
	if err := ioctl(f, iocSubvolumeInfo, unsafe.Pointer(&b)); err != nil {
		return s, fmt.Errorf("asking for the subvolume: %w", err)
	}
	u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	s = subvolume{id: u64(0), readOnly: u64(288)&1 != 0, made: u64(352), changed: u64(280),
		madeAt: time.Unix(int64(u64(392)), int64(binary.NativeEndian.Uint32(b[400:])))}
	name, _, _ := bytes.Cut(b[8:264], []byte{0})
	s.name = string(name)
	copy(s.uuid[:], b[296:])
	copy(s.parent[:], b[312:])
	return s, nil
}

// fileSystemOf returns the UUID of the file system that f lies on.
func fileSystemOf(f descriptor) (u uuid, err error) {
	var b [1024]byte
	if err := ioctl(f, iocFileSystem, unsafe.Pointer(&b)); err != nil {
		return u, fmt.Errorf("asking for the file system: %w", err)
	}
	copy(u[:], b[16:])
	return u, nil
}

// commit has all that was changed before the call written, and returns the last transaction that wrote of it.
func commit(f descriptor) (transaction uint64, err error) {
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return 0, fmt.Errorf("writing what is changed: %w", err)
	}
	if err := ioctl(f, iocStartSync, unsafe.Pointer(&transaction)); err != nil {
		return 0, fmt.Errorf("ending the transaction: %w", err)
	}
	if err := ioctl(f, iocWaitSync, unsafe.Pointer(&transaction)); err != nil {
		return 0, fmt.Errorf("waiting for the transaction: %w", err)
	}
	return transaction, nil
}
