package restore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"waybill/internal/catalog"
)

// A handle is an open directory of the target. All its methods take a single name, which is checked when
// it comes from the catalogue, and none follows a link there.
type handle struct {
	root *os.Root
	self *os.File // the same directory, for what os.Root has no call for
	sys  handleSys
}

// A stat is what the target has under a name.
type stat struct {
	kind          catalog.Kind // 0 for what no kind names
	mode          uint32
	uid, gid      uint32
	size          int64
	mtime         catalog.Time
	changed, born catalog.Time // born is changed where the file system doesn't know it
}

// openTarget opens the directory to restore into, and makes it when it isn't there.
func openTarget(path string) (*handle, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return newHandle(root, nil, "")
}

// newHandle takes the root over. The parent is nil for the target itself.
func newHandle(root *os.Root, parent *handle, name string) (*handle, error) {
	self, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	h := &handle{root: root, self: self}
	if err := h.look(parent, name); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Close closes the directory.
func (h *handle) Close() error { return errors.Join(h.self.Close(), h.root.Close()) }

// again opens the same directory once more.
func (h *handle) again() (*handle, error) {
	root, err := h.root.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	return newHandle(root, h, ".")
}

// sub opens a directory in this one. A link to a directory is none: os.Root would follow it as
// long as it stays inside, so what was opened is compared with what is there.
func (h *handle) sub(name string) (*handle, error) {
	there, err := h.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !there.IsDir() {
		return nil, fmt.Errorf("%s is no directory any more", name)
	}
	root, err := h.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	kid, err := newHandle(root, h, name)
	if err != nil {
		return nil, err
	}
	if opened, err := kid.self.Stat(); err != nil || !os.SameFile(there, opened) {
		kid.Close()
		return nil, fmt.Errorf("%s was replaced meanwhile", name)
	}
	return kid, nil
}

// removeAll removes the files whose names begin with a prefix.
func (h *handle) removeAll(prefix string) error {
	dir, err := h.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(4096)
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				if err := h.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("removing what an interrupted restore left: %w", err)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// same tells whether what is there under a name looks like the entry, restored.
func (h *handle) same(e *catalog.Entry, st *stat, name string) bool {
	if st.kind != e.Kind || !sameTime(st.mtime, e.Mtime) {
		return false
	}
	switch e.Kind {
	case catalog.File:
		return st.size == e.Size
	case catalog.Symlink:
		if onWindows {
			return true // a junction leads there in other words, and the time is precise
		}
		target, err := h.root.Readlink(name)
		return err == nil && target == string(e.Target)
	}
	return true
}

// sameTime allows for file systems that keep no nanoseconds, or, as NTFS, hundreds of them.
func sameTime(there, want catalog.Time) bool {
	return there.Sec == want.Sec && (there.Nsec == want.Nsec || there.Nsec == 0 || there.Nsec == want.Nsec/100*100)
}
