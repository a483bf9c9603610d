package fanotify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A mountpoint is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mountpoint struct {
	id         uint64
	device     string // of the file system, major:minor; btrfs' files have others
	root       string // what of the file system is mounted
	path       string
	fileSystem string
}

func mounts() ([]mountpoint, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []mountpoint
	for line := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 1 {
			return nil, fmt.Errorf("/proc/self/mountinfo has the line %q", line)
		}
		id, err := strconv.ParseUint(l[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/self/mountinfo has the line %q", line)
		}
		list = append(list, mountpoint{id: id, device: l[2], root: unescape(l[3]), path: unescape(l[4]), fileSystem: r[0]})
	}
	return list, nil
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountOf returns the mount that an open file is on.
func mountOf(fd int) (mountpoint, error) {
	var x unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &x); err != nil {
		return mountpoint{}, err
	}
	list, err := mounts()
	if err != nil {
		return mountpoint{}, err
	}
	for _, m := range list {
		if m.id == x.Mnt_id {
			return m, nil
		}
	}
	return mountpoint{}, errors.New("it is mounted where /proc/self/mountinfo doesn't show it")
}

// mountAt returns the mount that a path is on.
func mountAt(path string) (mountpoint, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return mountpoint{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return mountOf(fd)
}

// volumeID returns what a file system is known by: its UUID, where it can be had.
func volumeID(m mountpoint) (string, error) {
	fd, err := unix.Open(m.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: m.path, Err: err}
	}
	defer unix.Close(fd)
	if id, ok := uuidByCall(fd); ok {
		return id, nil
	}
	if id, ok := uuidByLink(m.device); ok {
		return id, nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return "", &fs.PathError{Op: "statfs", Path: m.path, Err: err}
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
func wanted(paths []string) ([]mountpoint, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	var list []mountpoint
	have := map[string]bool{}
	take := func(m mountpoint) {
		if !have[m.device] {
			have[m.device] = true
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
			if below(m.path, path) && watchedUnnamed[m.fileSystem] {
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
