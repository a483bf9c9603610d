package durable

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Put creates name with body's whole content, durable on return. When the name exists it fails with fs.ErrExist, and
// nothing has changed; so it does with ErrFull, or when body fails. The last error is returned wrapped.
func (d *Dir) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if _, err := d.root.Lstat(name); err == nil { // Commit would find out, at the cost of the copy
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f, err := d.write(ctx, name, body)
	if err != nil {
		return err
	}
	return f.Commit(name)
}

// PutOver is Put that replaces whatever has the name. Until the whole content is there, and when body fails, that stays. A reader finds the one or the other.
func (d *Dir) PutOver(ctx context.Context, name string, body io.ReadSeeker) error {
	if err := CheckName(name); err != nil {
		return err
	}
	f, err := d.write(ctx, name, body)
	if err != nil {
		return err
	}
	err = f.replace(name)
	d.open.drop(name)
	return err
}

// write writes a file that will have that name.
func (d *Dir) write(ctx context.Context, name string, body io.Reader) (*File, error) {
	f, err := d.Create()
	if err != nil {
		return nil, err
	}
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	if _, err := io.CopyBuffer(onlyWriter{f}, untilDone{ctx, body}, *buf); err != nil {
		f.Abort()
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return f, nil
}

// Replace puts b in the place of whatever has the name: the one way to change a file, for labels and
// state of which there is one writer. A reader finds the old content or the new.
func (d *Dir) Replace(name string, b []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	f, err := d.Create()
	if err != nil {
		return err
	}
	f.Write(b) // Commit knows its error
	err = f.replace(name)
	d.open.drop(name)
	return err
}

// Remove removes a file for good; fs.ErrNotExist when it isn't there.
func (d *Dir) Remove(_ context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	d.open.drop(name)
	if err := d.root.Remove(name); err != nil {
		return err
	}
	d.did("remove %s", name)
	return d.syncDir(path.Dir(name))
}

// onlyWriter hides that a File could be read from.
type onlyWriter struct{ io.Writer }

// untilDone stops a copy when the context is done, and hides shortcuts that would not.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
