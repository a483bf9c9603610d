package fanotify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"waybill/internal/mountinfo"
)

// mountOf returns the mount that an open file is on.
func mountOf(fd int) (mountinfo.Mount, error) {
	var x unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &x); err != nil {
		return mountinfo.Mount{}, err
	}
	list, err := mountinfo.Read()
	if err != nil {
		return mountinfo.Mount{}, err
	}
	for _, m := range list {
		if m.ID == x.Mnt_id {
			return m, nil
		}
	}
	return mountinfo.Mount{}, errors.New("it is mounted where /proc/self/mountinfo doesn't show it")
}

// mountAt returns the mount that a path is on.
func mountAt(path string) (mountinfo.Mount, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return mountinfo.Mount{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return mountOf(fd)
}

// volumeID returns what a file system is known by: its UUID, where it can be had.
func volumeID(m mountinfo.Mount) (string, error) {
	fd, err := unix.Open(m.Path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: m.Path, Err: err}
	}
	defer unix.Close(fd)
	if id, ok := uuidByCall(fd); ok {
		return id, nil
	}
	if id, ok := uuidByLink(m.Device); ok {
		return id, nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return "", &fs.PathError{Op: "statfs", Path: m.Path, Err: err}
	}
	return fmt.Sprintf("fsid-%08x%08x", uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1])), nil
}

// uuidByCall asks with FS_IOC_GETFSUUID, of Linux 6.9.
func uuidByCall(fd int) (string, bool) {
	const getUUID = 2<<30 | 17<<16 | 0x15<<8
	var x struct {
		n    uint8
		uuid [16]byte
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getUUID, uintptr(unsafe.Pointer(&x)))
	if errno != 0 || x.n != 16 || x.uuid == [16]byte{} {
		return "", false
	}
	u := x.uuid
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]), true
}

// uuidByLink looks among udev's links.
func uuidByLink(device string) (string, bool) {
	const dir = "/dev/disk/by-uuid"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, e.Name()), &st) == nil && deviceName(st.Rdev) == device {
			return strings.ToLower(e.Name()), true
		}
	}
	return "", false
}

func deviceName(dev uint64) string {
	return fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
}

// wanted returns the mounts that stand for the file systems that paths mean, one for each.
func wanted(paths []string) ([]mountinfo.Mount, error) {
	all, err := mountinfo.Read()
	if err != nil {
		return nil, err
	}
	var list []mountinfo.Mount
	have := map[string]bool{}
	take := func(m mountinfo.Mount) {
		if !have[m.Device] {
			have[m.Device] = true
			list = append(list, m)
		}
	}
	for _, path := range paths {
		if m, err := mountAt(path); err == nil {
			take(m)
		}
	}
	for _, path := range paths {
		for _, m := range all {
			if below(m.Path, path) && watchedUnnamed[m.System] {
				take(m)
			}
		}
	}
	return list, nil
}

func below(path, top string) bool {
	return top == "/" || path == top || strings.HasPrefix(path, top+"/")
}

// watchedUnnamed are the kinds of file system that are watched when they are mounted below a named path: those on disks that have no
// journal for us and whose file handles last.
var watchedUnnamed = map[string]bool{"ext2": true, "ext3": true, "ext4": true, "xfs": true, "f2fs": true, "jfs": true, "nilfs2": true}

// bootID is the kernel's id of this boot.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// openByHandle opens what a handle stands for, by a descriptor on its file system. What is gone is ESTALE.
func openByHandle(mount int, h handle, flags int) (int, error) {
	if len(h) < 4 {
		return -1, unix.ESTALE
	}
	kind := int32(binary.LittleEndian.Uint32([]byte(h[:4])))
	for {
		fd, err := unix.OpenByHandleAt(mount, unix.NewFileHandle(kind, []byte(h[4:])), flags|unix.O_CLOEXEC)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
