package domain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"filippo.io/age"
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

// Pack opens a pack, or returns the reader it has of it: the first store's whose copy opens. fs.ErrNotExist
// when no store has it.
func (d *Domain) Pack(ctx context.Context, name manifest.Digest) (*pack.Reader, error) {
	d.mu.Lock()
	r := d.packs[name]
	d.mu.Unlock()
	if r != nil {
		return r, nil
	}
	r, err := d.openCopy(ctx, name, d.store)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent{name, err}
	}
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

// An absent pack is in no store. People are told so in words: a path in a store means nothing to them.
type absent struct {
	name manifest.Digest
	err  error // fs.ErrNotExist
}

func (a absent) Error() string { return fmt.Sprintf("pack %.12s is not here", a.name) }
func (a absent) Unwrap() error { return a.err }

// openCopy opens the pack in the first of the stores whose copy opens.
func (d *Domain) openCopy(ctx context.Context, name manifest.Digest, stores union) (*pack.Reader, error) {
	path := manifest.PackName(d.Machine.Machine, name)
	err := notExist(path)
	for i, s := range stores {
		size, serr := s.Size(ctx, path)
		if serr == nil {
			var r *pack.Reader
			// What this store can't read, those behind it may.
			r, serr = pack.Open(at{context.WithoutCancel(ctx), stores[i:], path}, size, d.opts.Keys)
			if serr = d.judge(r, serr); serr == nil {
				return r, nil
			}
		}
		if !errors.Is(serr, fs.ErrNotExist) {
			err = serr
		}
	}
	return nil, err
}

// TableIn reads the table of a pack that no commit lists yet, from the one store that has it.
func (d *Domain) TableIn(ctx context.Context, s Store, name manifest.Digest) (*pack.Table, error) {
	r, err := d.openCopy(ctx, name, union{s})
	if err != nil {
		return nil, err
	}
	return r.Table()
}

// judge tells a pack whose wrapped key is damaged from one that the keys at hand are not meant to open.
func (d *Domain) judge(r *pack.Reader, err error) error {
	closed := errors.Is(err, pack.ErrKey) || err == nil && !r.CanReadFrames()
	if closed && d.hasRecovery() {
		return fmt.Errorf("%w: the recovery key opens the chain's commits, but not this pack", pack.ErrDamaged)
	}
	return err
}

// hasRecovery tells whether one of the keys at hand is proven to be the recovery key: it opens what the
// last commit, which is signed, seals to that.
func (d *Domain) hasRecovery() bool {
	d.proof.Do(func() {
		if last := d.Chain.Last(); last != nil && d.opts.Keys.Recovery != nil {
			_, err := age.Decrypt(bytes.NewReader(last.Manifest.Record), d.opts.Keys.Recovery)
			d.proven = err == nil
		}
	})
	return d.proven
}

// read calls f with the pack's reader and, as long as it meets damage, with those of the other stores' copies.
func (d *Domain) read(ctx context.Context, name manifest.Digest, f func(*pack.Reader) error) error {
	r, err := d.Pack(ctx, name)
	if err == nil {
		err = f(r)
	}
	for i := 1; i < len(d.store) && errors.Is(err, pack.ErrDamaged); i++ {
		if r, oerr := d.openCopy(ctx, name, d.store[i:]); oerr == nil && f(r) == nil {
			return nil
		}
	}
	return err
}

// tables calls each with the tables of those packs that are of one class, one after the other, and reads
// a few ahead. It returns the packs that are not there or whose tables are damaged.
func (d *Domain) tables(ctx context.Context, packs []manifest.Pack, class manifest.Class, each func(manifest.Digest, *pack.Table) error) (missing []manifest.Digest, err error) {
	var mu sync.Mutex // one at a time from here on
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, p := range packs {
		if p.Class != class {
			continue
		}
		g.Go(func() error {
			var t *pack.Table
			err := d.read(ctx, p.Name, func(r *pack.Reader) (err error) {
				t, err = r.Table()
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, pack.ErrDamaged) {
				missing = append(missing, p.Name)
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading the table of pack %.12s: %w", p.Name, err)
			}
			return each(p.Name, t)
		})
	}
	err = g.Wait() // and only then is missing read
	return missing, err
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

// maxWhole is the largest pack that Whole reads into memory: four of the catalogue's usual size.
const maxWhole = 64 << 20

// Whole reads all bytes of a pack from the first store that has it as its name says. fs.ErrNotExist when none has,
// pack.ErrDamaged when what they have is something else, or too large for memory.
func (d *Domain) Whole(ctx context.Context, p manifest.Pack) ([]byte, error) {
	name := manifest.PackName(d.Machine.Machine, p.Name)
	first := notExist(name)
	for _, s := range d.store {
		b, err := manifest.ReadObject(ctx, s, name, maxWhole)
		if err == nil && manifest.Sum(b) == p.Name {
			return b, nil
		}
		if err == nil || errors.Is(err, manifest.ErrFormat) {
			err = fmt.Errorf("%w: pack %.12s", pack.ErrDamaged, p.Name)
		}
		if errors.Is(first, fs.ErrNotExist) {
			first = err
		}
	}
	return nil, first
}
