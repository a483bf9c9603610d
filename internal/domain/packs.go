package domain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"filippo.io/age"

	"waybill/internal/pack"
	"waybill/manifest"
)

// A copyOf a pack is one that has been opened: in which stores it is, and its keys.
type copyOf struct {
	reader *pack.Reader
	stores union // the first of them has the copy; what that can't read, those behind it may
	path   string
	untold error // why a remote store that was to be asked before gave no answer; nil when all have
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
	err, untold := notExist(path), error(nil)
	for i, s := range stores {
		c := &copyOf{stores: stores[i:], path: path, untold: untold}
		t, serr := d.openIn(ctx, c, s, p, table)
		if serr == nil {
			return c, t, nil
		}
		if !errors.Is(serr, fs.ErrNotExist) {
			err = serr
		}
		if Remote(s) && !tells(serr) {
			untold = serr
		}
	}
	if untold != nil {
		err = untold // whatever the others have: this one may have it whole
	}
	return nil, nil, err
}

// tells whether an error of opening or reading a pack is about the pack, and not about the way to it.
func tells(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, pack.ErrDamaged) || errors.Is(err, pack.ErrKey)
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

// read calls f with the pack's reader and, as long as it meets damage, with those of the copies in the stores behind. It is no damage as long as a store that
// may have a better copy gave no answer.
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
	untold := c.untold
	for rest := c.stores[1:]; len(rest) > 0; rest = rest[1:] {
		c, _, oerr := d.openCopy(ctx, p, rest, false)
		if oerr == nil {
			oerr = f(c.in(ctx))
		}
		if oerr == nil {
			return nil
		}
		if Remote(rest[0]) && !tells(oerr) {
			untold = oerr
		}
	}
	if untold != nil {
		d.forget(name) // the next time all are asked again
		return untold
	}
	return err
}
