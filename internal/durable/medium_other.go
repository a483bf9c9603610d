//go:build !linux

package durable

import "os"

// OpenUncached opens a file for reading; here nothing keeps the system's cache from answering.
func (d *Dir) OpenUncached(name string) (*os.File, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return openFile(d.root, name, os.O_RDONLY)
}

// Rotating would tell whether the tree is on a disk that turns; nobody says so here.
func (d *Dir) Rotating() bool { return false }
