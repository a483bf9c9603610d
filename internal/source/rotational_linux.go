package source

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"waybill/internal/mountinfo"
)

const sysBlocks = "/sys/dev/block"

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
	all, err := mountinfo.Read()
	if err != nil {
		return 0, 0, false
	}
	var st unix.Stat_t
	from := mountSource(all, stx.Mnt_id)
	if from == "" || unix.Stat(from, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, false
	}
	return unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)), true
}

// mountSource finds what a mount was made from.
func mountSource(all []mountinfo.Mount, id uint64) string {
	i := slices.IndexFunc(all, func(m mountinfo.Mount) bool { return m.ID == id })
	if i < 0 {
		return ""
	}
	return all[i].Source
}
