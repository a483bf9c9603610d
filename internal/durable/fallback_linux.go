package durable

import (
	"errors"
	"io/fs"
	"os"
)

// publishByLink makes the name a second link to the finished file, then drops the first: link(2) never replaces.
// If the machine stops between the two, Sweep drops the first.
func publishByLink(root *os.Root, temp, name string) error {
	err := root.Link(temp, name)
	if errors.Is(err, fs.ErrExist) && !sameFile(root, temp, name) { // a server that answers twice may say so of our own link
		return exists(name)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return root.Remove(temp)
}

func sameFile(root *os.Root, a, b string) bool {
	x, err := root.Lstat(a)
	if err != nil {
		return false
	}
	y, err := root.Lstat(b)
	return err == nil && os.SameFile(x, y)
}

// publishByRename looks, then renames, under a lock on the tree's root that other writers on
// this machine take too.
func publishByRename(root *os.Root, temp, name string) error {
	top, err := root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	if err := lock(top); err != nil {
		return err
	}
	if _, err := root.Lstat(name); err == nil {
		return exists(name)
	}
	return root.Rename(temp, name)
}

func exists(name string) error {
	return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
}
