package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// publish gives a finished file its name and never replaces another: renameat2(2) with RENAME_NOREPLACE, or
// link(2) and unlink(2) where the file system knows no such flag, or, where it knows no hard links either (FAT), a
// rename after a look.
func publish(root *os.Root, temp, name string) error {
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
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EEXIST):
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	case !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOSYS) && !errors.Is(err, syscall.EOPNOTSUPP):
		return &fs.PathError{Op: "rename", Path: name, Err: err}
	}
	return publishByLink(root, temp, name)
}

func (d *Dir) syncDir(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return full(err)
	}
	return nil
}

func isQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }

// Free is how many bytes an ordinary user may still write.
func (d *Dir) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: d.path, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
