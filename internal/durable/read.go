package durable

import (
	"container/list"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

// ReadAt is io.ReaderAt on the named file; fs.ErrNotExist when it isn't there.
func (d *Dir) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := CheckName(name); err != nil {
		return 0, err
	}
	h, err := d.open.get(d.root, name)
	if err != nil {
		return 0, err
	}
	defer d.open.put(h)
	return h.f.ReadAt(p, off)
}

// Size is a file's size in bytes; fs.ErrNotExist when it isn't there.
func (d *Dir) Size(_ context.Context, name string) (int64, error) {
	if err := CheckName(name); err != nil {
		return 0, err
	}
	st, err := d.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return st.Size(), nil
}

// List calls each with every file whose name begins with prefix, in ascending order of names. What
// is still being written is left out, and so are names that no tree has.
func (d *Dir) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	dir := path.Dir(prefix + "x")
	return d.list(ctx, dir, prefix, each)
}

func (d *Dir) list(ctx context.Context, dir, prefix string, each func(string, int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(listKey(a), listKey(b)) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), tempPrefix) || CheckName(name) != nil {
			continue
		}
		if e.IsDir() {
			if sub := name + "/"; strings.HasPrefix(sub, prefix) || strings.HasPrefix(prefix, sub) {
				if err := d.list(ctx, name, prefix, each); err != nil {
					return err
				}
			}
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || !strings.HasPrefix(name, prefix)) {
			continue
		}
		if err == nil {
			err = each(name, info.Size())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listKey orders directories as if their names ended with the slash that follows in full names.
func listKey(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// Sweep removes temporary files that writers left behind. No writer may be at work.
func (d *Dir) Sweep() error {
	return fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasPrefix(e.Name(), tempPrefix) {
			err = d.root.Remove(name)
		}
		return err
	})
}

// handles keeps the files read last open, for readers that take many ranges of one.
type handles struct {
	mu    sync.Mutex
	m     map[string]*list.Element
	order list.List // of *handle, the one used last in front
}

type handle struct {
	name string
	f    *os.File
	uses int  // readers at work; guarded by handles.mu, as is gone
	gone bool // no longer kept: the last reader closes it
}

const maxHandles = 64

func (h *handles) get(root *os.Root, name string) (*handle, error) {
	h.mu.Lock()
	if e, ok := h.m[name]; ok {
		h.order.MoveToFront(e)
		v := e.Value.(*handle)
		v.uses++
		h.mu.Unlock()
		return v, nil
	}
	h.mu.Unlock()
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &handle{name: name, f: f, uses: 1}
	if _, ok := h.m[name]; ok {
		v.gone = true // another reader was faster; this handle is for one use
		return v, nil
	}
	if h.m == nil {
		h.m = map[string]*list.Element{}
	}
	h.m[name] = h.order.PushFront(v)
	if h.order.Len() > maxHandles {
		h.forget(h.order.Back())
	}
	return v, nil
}

func (h *handles) put(v *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.uses--; v.uses == 0 && v.gone {
		v.f.Close() // only read from
	}
}

// forget stops keeping a handle. The caller holds mu.
func (h *handles) forget(e *list.Element) {
	v := h.order.Remove(e).(*handle)
	delete(h.m, v.name)
	v.gone = true
	if v.uses == 0 {
		v.f.Close()
	}
}

func (h *handles) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.m[name]; ok {
		h.forget(e)
	}
}

func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.order.Len() > 0 {
		h.forget(h.order.Back())
	}
}
