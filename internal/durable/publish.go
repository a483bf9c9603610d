package durable

import (
	"errors"
	"io/fs"
	"os"
)

// publishByLink makes the name a second link to the finished file, then drops the first. Where
// there are no hard links it looks and renames: two writers could then collide, but only with
// the same content under a name that is its digest, or on a disk that has one writer.
func publishByLink(root *os.Root, temp, name string) error {
	err := root.Link(temp, name)
	if err == nil {
		return root.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := root.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return root.Rename(temp, name)
}
