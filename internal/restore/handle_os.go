//go:build !linux

package restore

import (
	"os"
	"path"

	"waybill/internal/catalog"
)

// handleSys tells where the directory is, for links between directories.
type handleSys struct {
	top  *os.Root
	path string
}

func (h *handle) look(parent *handle, name string) error {
	if parent == nil {
		h.sys = handleSys{h.root, "."}
	} else {
		h.sys = handleSys{parent.sys.top, path.Join(parent.sys.path, name)}
	}
	return nil
}

func (h *handle) freshen(string) error { return nil }
func (h *handle) sync() error          { return nil }
func lock(*os.File) error              { return nil }
func umask() uint32                    { return 0 }

// bootID is one for all times: whether power was lost can't be told here.
func bootID() string { return "unknown" }

// An output is an open file being made.
type output struct {
	f    *os.File
	dir  *os.Root
	name string
}

func (h *handle) create(name string, e *catalog.Entry, _ bool, _ *manner) (output, error) {
	f, err := h.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	out := output{f, h.root, name}
	if err == nil {
		begun(out, e)
	}
	return out, err
}

func (h *handle) reopen(name string) (output, error) {
	f, err := h.root.OpenFile(name, os.O_RDWR, 0)
	return output{f, h.root, name}, err
}

// Close closes the file.
func (o output) Close() error { return o.f.Close() }

func (o output) write(parts []part, size int64) error {
	if err := o.writeParts(parts); err != nil {
		return err
	}
	return o.truncate(size)
}

func (o output) writeParts(parts []part) error {
	for _, p := range parts {
		if _, err := o.f.WriteAt(p.b, p.off); err != nil {
			return err
		}
	}
	return nil
}

func (o output) truncate(size int64) error { return o.f.Truncate(size) }

func (h *handle) link(from *handle, old, name string) error {
	return h.sys.top.Link(path.Join(from.sys.path, old), path.Join(h.sys.path, name))
}
