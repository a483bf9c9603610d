package source

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	sysBlocks = "/sys/dev/block"
	mountInfo = "/proc/self/mountinfo"
)

func rotational(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return false
	}
	major, minor := unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))
	if major == 0 { // no device of its own, as in btrfs: the mount says which device it is on
		var ok bool
		if major, minor, ok = mountedDevice(path); !ok {
			return false
		}
	}
	return turns(sysBlocks, major, minor)
}

// turns looks at the block device in sysfs. What is set for a partition stands with the whole disk, one directory up.
func turns(blocks string, major, minor uint32) bool {
	dir, err := filepath.EvalSymlinks(filepath.Join(blocks, fmt.Sprintf("%d:%d", major, minor)))
	if err != nil {
		return false
	}
	for range 2 {
		b, err := os.ReadFile(filepath.Join(dir, "queue/rotational"))
		if err == nil {
			return string(bytes.TrimSpace(b)) == "1" && !virtual(filepath.Base(dir))
		}
		dir = filepath.Dir(dir)
	}
	return false
}

// virtual says whether a disk is of a kind that says "rotational" without knowing: virtio's and Xen's.
func virtual(disk string) bool {
	return strings.HasPrefix(disk, "vd") || strings.HasPrefix(disk, "xvd")
}

// mountedDevice returns the block device that the mount below path was made from.
func mountedDevice(path string) (major, minor uint32, ok bool) {
	var stx unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &stx) != nil || stx.Mask&unix.STATX_MNT_ID == 0 {
		return 0, 0, false
	}
	b, err := os.ReadFile(mountInfo)
	if err != nil {
		return 0, 0, false
	}
	var st unix.Stat_t
	from := mountSource(string(b), stx.Mnt_id)
	if from == "" || unix.Stat(from, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, false
	}
	return unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)), true
}

// mountSource finds what a mount was made from in the text of mountinfo, proc_pid_mountinfo(5):
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func mountSource(info string, id uint64) string {
	for line := range strings.Lines(info) {
		head, tail, _ := strings.Cut(line, " - ")
		first, _, _ := strings.Cut(head, " ")
		if first != strconv.FormatUint(id, 10) {
			continue
		}
		if f := strings.Fields(tail); len(f) >= 2 {
			return f[1]
		}
	}
	return ""
}
