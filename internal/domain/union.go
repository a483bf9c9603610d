package domain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"waybill/internal/pack"
	"waybill/manifest"
)

// at is one object of a store as an io.ReaderAt.
type at struct {
	ctx   context.Context
	store Store
	name  string
}

func (a at) ReadAt(p []byte, off int64) (int, error) { return a.store.ReadAt(a.ctx, a.name, p, off) }

// union asks several stores in turn.
type union []Store

// ReadAt reads from the first store that has the object and can read it.
func (u union) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	err = notExist(name)
	for _, s := range u {
		k, serr := s.ReadAt(ctx, name, p, off)
		if serr == nil || k == len(p) {
			return k, nil
		}
		if !errors.Is(serr, fs.ErrNotExist) || errors.Is(err, fs.ErrNotExist) {
			n, err = k, serr
		}
	}
	return n, err
}

// Size is the object's size in the first store that has it.
func (u union) Size(ctx context.Context, name string) (int64, error) {
	err := notExist(name)
	for _, s := range u {
		n, serr := s.Size(ctx, name)
		if serr == nil {
			return n, nil
		}
		err = serr
	}
	return 0, err
}

// List merges the stores' names in ascending order, each once.
func (u union) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	sizes := map[string]int64{}
	for _, s := range u {
		err := s.List(ctx, prefix, func(name string, size int64) error {
			if _, ok := sizes[name]; !ok {
				sizes[name] = size
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range sortedKeys(sizes) {
		if err := each(name, sizes[name]); err != nil {
			return err
		}
	}
	return nil
}

// isThere asks a store that is near whether it has an object: a directory can read what was removed while it is open. Of a remote store it
// isn't asked: that takes a request, and the next one will tell.
func isThere(ctx context.Context, s Store, name string) error {
	if Remote(s) {
		return nil
	}
	_, err := s.Size(ctx, name)
	return err
}

func notExist(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

// ReadObject reads a small object of the tree whole: a signature or a document.
func (d *Domain) ReadObject(ctx context.Context, name string) ([]byte, error) {
	return manifest.ReadObject(ctx, d.store, name, 1<<20)
}

// maxWhole is the largest pack that Whole reads into memory: four of the catalogue's usual size.
const maxWhole = 64 << 20

// Whole reads all bytes of a pack from the first store that has it as its name says, each asked once. fs.ErrNotExist when none has,
// pack.ErrDamaged when what they have is something else, or too large for memory.
func (d *Domain) Whole(ctx context.Context, p manifest.Pack) ([]byte, error) {
	if p.Size > maxWhole {
		return nil, fmt.Errorf("%w: pack %.12s, of %d bytes", pack.ErrDamaged, p.Name, p.Size)
	}
	name := manifest.PackName(d.Machine.Machine, p.Name)
	first := notExist(name)
	b := make([]byte, p.Size)
	for _, s := range d.store {
		n, err := 0, isThere(ctx, s, name)
		if err == nil {
			n, err = s.ReadAt(ctx, name, b, 0)
		}
		if n == len(b) && manifest.Sum(b) == p.Name {
			return b, nil
		}
		if n == len(b) || err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: pack %.12s", pack.ErrDamaged, p.Name)
		}
		if errors.Is(first, fs.ErrNotExist) {
			first = err
		}
	}
	return nil, first
}
