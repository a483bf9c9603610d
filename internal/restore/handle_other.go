//go:build !linux && !windows

package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"waybill/internal/catalog"
)

func isRoot() bool { return os.Geteuid() == 0 }

// localName refuses what the system can't name, or would take for something else.
func localName(name string) error {
	if local, err := filepath.Localize(name); err != nil || local != name {
		return fmt.Errorf("nothing can have this name on %s", runtime.GOOS)
	}
	return nil
}

func (h *handle) lstat(name string) (st stat, err error) {
	info, err := h.root.Lstat(name)
	if err != nil {
		return st, err
	}
	t := info.ModTime()
	st = stat{mode: uint32(info.Mode().Perm()), size: info.Size(), mtime: catalog.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}}
	st.changed = st.mtime
	st.born = catalog.Time{Sec: 1<<63 - 1} // not known, so not in the way of recognising what was restored
	switch info.Mode().Type() {
	case 0:
		st.kind = catalog.File
	case fs.ModeDir:
		st.kind = catalog.Directory
	case fs.ModeSymlink:
		st.kind = catalog.Symlink
	}
	return st, nil
}

// begun is what has to be done to a file before there is data in it.
func begun(output, *catalog.Entry) {}

func (o output) dress(e *catalog.Entry, _ *manner) error { return dress(o.dir, o.name, e) }

func (h *handle) dress(e *catalog.Entry, _ *manner) error { return dress(h.root, ".", e) }

// dress sets what the system has of an entry's metadata. The time of access is set too: it can't be left alone.
func dress(dir *os.Root, name string, e *catalog.Entry) error {
	t := time.Unix(e.Mtime.Sec, int64(e.Mtime.Nsec))
	return errors.Join(dir.Chtimes(name, t, t), dir.Chmod(name, fs.FileMode(e.Mode&0o777)))
}

func (h *handle) make(name string, e *catalog.Entry, _ *manner) error {
	if e.Kind != catalog.Symlink {
		return fmt.Errorf("restoring fifos, sockets and devices on %s: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	return h.root.Symlink(string(e.Target), name)
}

// publish gives a finished entry its name unless that exists; fs.ErrExist.
func (h *handle) publish(temp, name string) error {
	err := h.root.Link(temp, name)
	if err == nil {
		return h.root.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := h.root.Lstat(name); err == nil {
		return &fs.PathError{Op: "rename", Path: name, Err: fs.ErrExist}
	}
	return h.root.Rename(temp, name)
}

func (h *handle) replace(temp, name string) error { return h.root.Rename(temp, name) }
