package machine

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock takes LockFileEx's exclusive lock, which the system drops with the handle: it can't be stale.
func lock(f *os.File) error {
	const all = ^uint32(0)
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, all, all, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrBusy
	}
	return err
}
