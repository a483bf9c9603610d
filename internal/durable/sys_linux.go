package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// nonblock keeps open(2) from waiting for a FIFO's other end.
const nonblock = syscall.O_NONBLOCK

// publish gives a finished file its name and never replaces another: renameat2(2) with RENAME_NOREPLACE,
// or link(2) where the file system knows no such flag, or a rename under a lock where it knows no links either.
func publish(root *os.Root, temp, name string) error {
	err := publishAtOnce(root, temp, name)
	if unsupported(err) {
		err = publishByLink(root, temp, name)
	}
	if unsupported(err) {
		err = publishByRename(root, temp, name)
	}
	return err
}

func publishAtOnce(root *os.Root, temp, name string) error {
	from, err := root.Open(path.Dir(temp))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer to.Close()
	err = unix.Renameat2(int(from.Fd()), path.Base(temp), int(to.Fd()), path.Base(name), unix.RENAME_NOREPLACE)
	if err != nil {
		return &fs.PathError{Op: "publish", Path: name, Err: err}
	}
	return nil
}

// unsupported tells the errors of file systems that lack a call: EPERM is how FAT says that it has no hard links.
func unsupported(err error) bool {
	for _, e := range []error{unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.EMLINK} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// syncDir makes the names in a directory durable. Some network file systems do that at once, and say EINVAL.
func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// startWriting has the system write a part of a file to its medium, and doesn't wait: sync_file_range(2). Whether that
// succeeds, Sync will tell.
func startWriting(f *os.File, offset, n int64) {
	unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}

// settle has nothing to do: a name is durable when its directory is synced.
func settle(*os.File) error { return nil }

// lock waits for the only lock on a file or directory: flock(2). It ends with the handle, however the process ends.
func lock(f *os.File) error {
	err := flock(f, unix.LOCK_EX)
	if noLocks(err) {
		return nil
	}
	return err
}

// tryLock takes the lock if it is free. Where there are no locks nobody can tell, and it is not.
func tryLock(f *os.File) (bool, error) {
	err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || noLocks(err) {
		return false, nil
	}
	return err == nil, err
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

func noLocks(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EBADF)
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func notDirectory(err error) bool { return errors.Is(err, unix.ENOTDIR) }

func (d *Dir) free() (int64, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, &fs.PathError{Op: "free space", Path: d.path, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
