package durable

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenUncached opens a file so that what is read comes from the medium and not from the system's cache, as far
// as that can be had: posix_fadvise(2). The file must be durable.
func (d *Dir) OpenUncached(name string) (*os.File, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	f, err := openFile(d.root, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		f.Close()
		return nil, fmt.Errorf("dropping %s from the cache: %w", name, err)
	}
	return f, nil
}

// Rotating tells whether the tree is on a disk that turns, which is read best one file after the other. A
// partition's queue is its disk's. What has no block device, or says nothing, doesn't turn.
func (d *Dir) Rotating() bool {
	st, err := d.root.Stat(".")
	if err != nil {
		return false
	}
	dev := uint64(st.Sys().(*syscall.Stat_t).Dev)
	base := fmt.Sprintf("/sys/dev/block/%d:%d/", unix.Major(dev), unix.Minor(dev))
	for _, queue := range []string{"queue/rotational", "../queue/rotational"} {
		if b, err := os.ReadFile(base + queue); err == nil {
			return len(b) > 0 && b[0] == '1'
		}
	}
	return false
}
