package restore

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// link gives what is called old in another directory a further name.
func (h *handle) link(from *handle, old, name string) error {
	err := retry(func() error { return unix.Linkat(from.sys.fd, old, h.sys.fd, name, 0) })
	if err != nil {
		return fmt.Errorf("linking it: %w", err)
	}
	return nil
}

// publish gives a finished entry its name unless that exists; fs.ErrExist.
func (h *handle) publish(temp, name string) error {
	err := retry(func() error { return unix.Renameat2(h.sys.fd, temp, h.sys.fd, name, unix.RENAME_NOREPLACE) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return h.publishByLink(temp, name) // the file system doesn't know the flag
	}
	if err != nil {
		return fmt.Errorf("giving it its name: %w", err)
	}
	return nil
}

// publishByLink is publish where rename always replaces; where there are no hard links either, it looks first.
func (h *handle) publishByLink(temp, name string) error {
	err := h.link(h, temp, name)
	if err == nil {
		return h.root.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := h.lstat(name); err == nil {
		return fmt.Errorf("giving it its name: %w", fs.ErrExist)
	}
	return h.root.Rename(temp, name)
}

// replace gives a finished entry its name, and takes it from what has it; fs.ErrExist when
// that is a directory with something in it.
func (h *handle) replace(temp, name string) error {
	err := h.rename(temp, name)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTEMPTY) {
		if unix.Unlinkat(h.sys.fd, name, unix.AT_REMOVEDIR) != nil {
			return fmt.Errorf("giving it its name: %w", fs.ErrExist)
		}
		err = h.rename(temp, name)
	}
	return err
}

func (h *handle) rename(temp, name string) error {
	err := retry(func() error { return unix.Renameat(h.sys.fd, temp, h.sys.fd, name) })
	if err != nil {
		return fmt.Errorf("giving it its name: %w", err)
	}
	return nil
}
