package domain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

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

// maxReaders bounds the pack readers that are kept open.
const maxReaders = 4096

// Pack opens a pack, or returns the reader it has of it. fs.ErrNotExist when no store has it.
func (d *Domain) Pack(ctx context.Context, name manifest.Digest) (*pack.Reader, error) {
	d.mu.Lock()
	r := d.packs[name]
	d.mu.Unlock()
	if r != nil {
		return r, nil
	}
	path := manifest.PackName(d.Machine.Machine, name)
	size, err := d.store.Size(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening pack %.12s: %w", name, err)
	}
	r, err = pack.Open(at{context.WithoutCancel(ctx), d.store, path}, size, d.opts.Keys)
	if err != nil {
		return nil, fmt.Errorf("opening pack %.12s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.packs) >= maxReaders {
		clear(d.packs)
	}
	d.packs[name] = r
	return r, nil
}

// tables reads the tables of a commit's packs of one class, several at once.
func (d *Domain) tables(ctx context.Context, m *manifest.Manifest, class manifest.Class) (missing []manifest.Digest, tables map[manifest.Digest]*pack.Table, err error) {
	var mu sync.Mutex
	tables = map[manifest.Digest]*pack.Table{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, p := range m.Packs {
		if p.Class != class {
			continue
		}
		g.Go(func() error {
			r, err := d.Pack(ctx, p.Name)
			var t *pack.Table
			if err == nil {
				t, err = r.Table()
			}
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, pack.ErrDamaged) {
				missing = append(missing, p.Name)
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading the table of pack %.12s: %w", p.Name, err)
			}
			tables[p.Name] = t
			return nil
		})
	}
	return missing, tables, g.Wait()
}

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

func notExist(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

// ReadObject reads a small object of the tree whole: a signature or a document.
func (d *Domain) ReadObject(ctx context.Context, name string) ([]byte, error) {
	return manifest.ReadObject(ctx, d.store, name, 1<<20)
}
