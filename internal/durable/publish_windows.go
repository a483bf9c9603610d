package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// publish gives a finished file its name and never replaces another. NTFS has hard links.
func publish(root *os.Root, temp, name string) error { return publishByLink(root, temp, name) }

// syncDir does nothing: NTFS journals its directories, and Windows lets no one flush them.
func (d *Dir) syncDir(string) error { return nil }

func isQuota(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// Free is how many bytes the user may still write.
func (d *Dir) Free() (int64, error) {
	p, err := windows.UTF16PtrFromString(d.path)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "free space", Path: d.path, Err: err}
	}
	return int64(free), nil
}
