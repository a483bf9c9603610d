package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Sweep removes the temporary files of writers that are no more. It may be called at any time.
func (d *Dir) Sweep() error {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("sweeping: %w", err)
	}
	for _, e := range entries {
		if !isTemp(e) {
			continue
		}
		if err := d.sweep(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweeping: %w", err)
		}
	}
	return nil
}

// sweep removes a temporary file while it holds the lock that its writer would have.
func (d *Dir) sweep(temp string) error {
	f, err := openFile(d.root, temp, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	free, err := tryLock(f)
	if err != nil || !free {
		return err
	}
	if err := d.root.Remove(temp); err != nil {
		return err
	}
	d.did("sweep %s", temp)
	return nil
}

func isTemp(e fs.DirEntry) bool {
	return strings.HasPrefix(e.Name(), tempPrefix) && e.Type().IsRegular()
}
