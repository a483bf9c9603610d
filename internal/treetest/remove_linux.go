package treetest

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// RemoveAll removes a tree, however deep it is, and directories without permissions in it. It is no error if there is none.
func RemoveAll(dir string) error {
	if err := removeAt(unix.AT_FDCWD, dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// removeAt removes an entry with all that is in it.
func removeAt(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	if err := unix.Fchmodat(dir, name, 0o700, 0); err != nil {
		return fmt.Errorf("chmod %q: %w", name, err)
	}
	fd, err := openDir(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	names, err := readNames(fd)
	if err != nil {
		return err
	}
	for _, inner := range names {
		if err := removeAt(fd, inner); err != nil {
			return fmt.Errorf("remove %q: %w", inner, err)
		}
	}
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}
