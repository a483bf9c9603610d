package domain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// A copyOf a pack is one that has been opened: in which stores it is, and its keys.
type copyOf struct {
	reader *pack.Reader
	stores union // the first of them has the copy; what that can't read, those behind it may
	path   string
}

// in is the copy, to be read under a context.
func (c *copyOf) in(ctx context.Context) *pack.Reader {
	return c.reader.From(at{ctx, c.stores, c.path})
}

// maxOpened bounds the packs that are kept open.
const maxOpened = 4096

// copy opens a pack, or returns the copy that is open: the first store's that opens. fs.ErrNotExist when no store has it.
func (d *Domain) copy(ctx context.Context, name manifest.Digest) (*copyOf, error) {
	c, _, err := d.open(ctx, name, false)
	return c, err
}

// open is copy; if that is wanted, and the pack was not open, its table comes with it.
func (d *Domain) open(ctx context.Context, name manifest.Digest, table bool) (*copyOf, *pack.Table, error) {
	if c := d.isOpen(name); c != nil {
		return c, nil, nil
	}
	f := d.gathering.of(name)
	f.opening.Lock()
	defer f.opening.Unlock()
	if c := d.isOpen(name); c != nil {
		return c, nil, nil
	}
	p, listed := d.find(name)
	if !listed {
		return nil, nil, absent{name, notExist(manifest.PackName(d.Machine.Machine, name))}
	}
	c, t, err := d.openCopy(ctx, p, d.store, table)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, absent{name, err}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening pack %.12s: %w", name, err)
	}
	if d.shelf != nil && len(c.stores) < len(d.store) {
		d.shelf.discard(name) // if it is there, it doesn't open
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.opened) >= maxOpened {
		clear(d.opened)
	}
	d.opened[name] = c
	return c, t, nil
}

func (d *Domain) isOpen(name manifest.Digest) *copyOf {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened[name]
}

// find tells what is known of a pack.
func (d *Domain) find(name manifest.Digest) (p manifest.Pack, listed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, listed = d.listed[name]
	return p, listed
}

// forget closes a pack: there is a better copy now.
func (d *Domain) forget(name manifest.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.opened, name)
}

// Table reads the table of a pack, and tells whether the keys at hand open the pack's frames, too.
func (d *Domain) Table(ctx context.Context, name manifest.Digest) (t *pack.Table, frames bool, err error) {
	c, t, err := d.open(ctx, name, true)
	if err != nil || t != nil {
		return t, err == nil && c.reader.CanReadFrames(), err
	}
	err = d.read(ctx, name, func(r *pack.Reader) (err error) {
		frames = r.CanReadFrames()
		t, err = r.Table()
		return err
	})
	return t, frames, err
}

// CheckHeader checks the one part of a pack that nothing else reads.
func (d *Domain) CheckHeader(ctx context.Context, name manifest.Digest) error {
	return d.read(ctx, name, (*pack.Reader).CheckHeader)
}

// An absent pack is in no store. People are told so in words: a path in a store means nothing to them.
type absent struct {
	name manifest.Digest
	err  error // fs.ErrNotExist
}

func (a absent) Error() string { return fmt.Sprintf("pack %.12s is not here", a.name) }
func (a absent) Unwrap() error { return a.err }

// openCopy opens the pack in the first of the stores whose copy opens. Its size and class are the manifest's, so it takes one read where
// the copy is, whether the table is wanted or not, unless that is longer than those of other packs.
func (d *Domain) openCopy(ctx context.Context, p manifest.Pack, stores union, table bool) (*copyOf, *pack.Table, error) {
	path := manifest.PackName(d.Machine.Machine, p.Name)
	err := notExist(path)
	for i, s := range stores {
		c := &copyOf{stores: stores[i:], path: path}
		t, serr := d.openIn(ctx, c, s, p, table)
		if serr == nil {
			return c, t, nil
		}
		if !errors.Is(serr, fs.ErrNotExist) {
			err = serr
		}
	}
	return nil, nil, err
}

// openIn opens the copy that one store has.
func (d *Domain) openIn(ctx context.Context, c *copyOf, s Store, p manifest.Pack, table bool) (t *pack.Table, err error) {
	if err := isThere(ctx, s, c.path); err != nil {
		return nil, err
	}
	src := at{ctx, s, c.path}
	if table {
		c.reader, t, err = pack.OpenTable(src, p.Size, p.Class, d.opts.Keys, d.expected(p))
	} else {
		c.reader, err = pack.Open(src, p.Size, p.Class, d.opts.Keys)
	}
	if err = d.judge(c.reader, err); err == nil {
		d.learn(p, t)
	}
	return t, err
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

// expected is how long a pack's table may be: it is in no manifest. As long as none is known, what it is in packs of files of usual sizes;
// then what it was in the packs so far, and a little more.
func (d *Domain) expected(p manifest.Pack) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := d.tables[p.Class]
	if seen[1] == 0 {
		if p.Class == manifest.Catalogue {
			return p.Size / 32
		}
		return p.Size / 1024
	}
	return int64(float64(p.Size) / float64(seen[1]) * float64(seen[0]) * 5 / 4)
}

// learn takes a table into account.
func (d *Domain) learn(p manifest.Pack, t *pack.Table) {
	if t == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tables[p.Class][0] += t.Size()
	d.tables[p.Class][1] += p.Size
}

// TableIn reads the table of a finished pack that no commit lists yet, from the one store that has it.
func (d *Domain) TableIn(ctx context.Context, s Store, p manifest.Pack) (*pack.Table, error) {
	_, t, err := d.openCopy(ctx, p, union{s}, true)
	return t, err
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

// read calls f with the pack's reader and, as long as it meets damage, with those of the copies in the stores behind.
func (d *Domain) read(ctx context.Context, name manifest.Digest, f func(*pack.Reader) error) error {
	c, err := d.copy(ctx, name)
	if err != nil {
		return err
	}
	if err = f(c.in(ctx)); !errors.Is(err, pack.ErrDamaged) {
		return err
	}
	if d.shelf != nil && d.shelf.discard(name) {
		d.forget(name)
		return d.read(ctx, name, f)
	}
	p, _ := d.find(name)
	for rest := c.stores[1:]; len(rest) > 0; rest = rest[1:] {
		if c, _, oerr := d.openCopy(ctx, p, rest, false); oerr == nil && f(c.in(ctx)) == nil {
			return nil
		}
	}
	return err
}

// atOnce is how many small things are read at once.
func (d *Domain) atOnce() int {
	if d.Far() {
		return 32
	}
	return 8
}

// eachTable calls each with the tables of those packs that are of one class, one after the other, and reads
// a few ahead. It returns the packs that are not there or whose tables are damaged.
func (d *Domain) eachTable(ctx context.Context, packs []manifest.Pack, class manifest.Class, each func(manifest.Digest, *pack.Table) error) (missing []manifest.Digest, err error) {
	var mu sync.Mutex // one at a time from here on
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(d.atOnce())
	for _, p := range packs {
		if p.Class != class {
			continue
		}
		g.Go(func() error {
			t, _, err := d.Table(ctx, p.Name)
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
