package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
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
		return 0, noFile(name)
	}
	return st.Size(), nil
}

func noFile(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// openFile opens a regular file, and waits for nobody if it is a FIFO.
func openFile(root *os.Root, name string, flags int) (*os.File, error) {
	f, err := root.OpenFile(name, flags|nonblock, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, noFile(name)
	}
	return f, nil
}

// List calls each with every file whose name begins with prefix, in ascending order of names. What
// is still being written is left out, and so are links, devices, and names that no tree has.
// It stops at the first error, each's included.
func (d *Dir) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return d.list(ctx, path.Dir(prefix+"x"), prefix, each)
}

// Level calls each with every file directly below prefix, which is empty or ends with a slash, and with every directory there, whose
// name then ends with a slash, and whose size is -1. The rest is as with List.
func (d *Dir) Level(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir := path.Dir(prefix + "x")
	entries, err := d.readDir(dir)
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case err != nil:
		case CheckName(name) != nil || prefix != "" && !strings.HasPrefix(name, prefix):
		case e.IsDir():
			err = each(name+"/", -1)
		case e.Type().IsRegular():
			err = file(name, e, each)
		}
	}
	return err
}

func (d *Dir) list(ctx context.Context, dir, prefix string, each func(string, int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := d.readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if CheckName(name) != nil {
			continue
		}
		if e.IsDir() {
			if sub := name + "/"; strings.HasPrefix(sub, prefix) || strings.HasPrefix(prefix, sub) {
				err = d.list(ctx, name, prefix, each)
			}
		} else if e.Type().IsRegular() && strings.HasPrefix(name, prefix) {
			err = file(name, e, each)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readDir is a directory's entries in the order of full names: as if directories ended with their slash. One that
// isn't there has none.
func (d *Dir) readDir(dir string) ([]fs.DirEntry, error) {
	if dir != "." && CheckName(dir) != nil {
		return nil, nil
	}
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) || notDirectory(err) {
		return nil, nil
	}
	key := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(key(a), key(b)) })
	return entries, err
}

func file(name string, e fs.DirEntry, each func(string, int64) error) error {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed since
	}
	if err != nil {
		return err
	}
	return each(name, info.Size())
}
