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
			t, err := d.takeAhead(p.Name), error(nil)
			if t == nil {
				t, _, err = d.Table(ctx, p.Name)
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
			return each(p.Name, t)
		})
	}
	err = g.Wait() // and only then is missing read
	return missing, err
}

// aheadTables is how many tables of small commits are read together.
const aheadTables = 64

// readAhead reads the tables of commits from one on, so that many commits of few packs don't take a round trip each. It returns the commit up to which it
// came; those with many packs are read by themselves.
func (d *Domain) readAhead(ctx context.Context, links []manifest.Link, from int, class manifest.Class) (to int, err error) {
	var packs []manifest.Pack
	for to = from; to < len(links) && len(packs) < aheadTables; to++ {
		before := len(packs)
		for _, p := range links[to].Manifest.Packs {
			if p.Class == class && !d.lost[p.Name] {
				packs = append(packs, p)
			}
		}
		if len(packs)-before >= aheadTables {
			packs = packs[:before]
			if to == from {
				to++
			}
			break
		}
	}
	// What can't be read is found out again by who asks for it.
	_, err = d.eachTable(ctx, packs, class, func(name manifest.Digest, t *pack.Table) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ahead[name] = t
		return nil
	})
	return to, err
}

// takeAhead returns a table that was read ahead, once; nil when it wasn't.
func (d *Domain) takeAhead(name manifest.Digest) *pack.Table {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.ahead[name]
	delete(d.ahead, name)
	return t
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
