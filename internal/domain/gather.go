package domain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"waybill/manifest"
)

// roundTrip is how many bytes a line passes on in the time of a request: what it is worth to save one. It is that of 100 Mbit/s at 80 ms.
const roundTrip = 1 << 20

// gatherers is how many packs are fetched whole at once, as far as maxWhole allows.
const gatherers = 16

// A gathering sees to it that packs are opened once, and brings those of the catalogue from remote stores onto the shelf.
type gathering struct {
	memory *semaphore.Weighted // bytes of packs in memory

	mu    sync.Mutex
	packs map[manifest.Digest]*fetch // guarded by mu
}

// A fetch is what has been paid for one pack.
type fetch struct {
	opening sync.Mutex // held while the pack is opened

	mu    sync.Mutex // held while it is fetched: who needs it too waits
	paid  int64      // guarded by mu: for what was read of it so far, in bytes
	never bool       // guarded by mu: it is near, too large, or can't be fetched
}

func newGathering() *gathering {
	return &gathering{memory: semaphore.NewWeighted(maxWhole), packs: map[manifest.Digest]*fetch{}}
}

func (g *gathering) of(name manifest.Digest) *fetch {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.packs[name]
	if f == nil {
		f = &fetch{}
		g.packs[name] = f
	}
	return f
}

// Gather fetches what is not at hand of the catalogue packs that a point may need, those of its commit and of all before it, for someone who will look at
// most of the point. It does nothing when they are more than may be kept: then packs are fetched as they turn out to be needed.
func (d *Domain) Gather(ctx context.Context, p *Point) error {
	if d.shelf == nil {
		return nil
	}
	var packs []manifest.Pack
	total := int64(0)
	for _, l := range d.Chain.Links {
		for _, q := range l.Manifest.Packs {
			if l.Manifest.Sequence <= p.Manifest.Sequence && q.Class == manifest.Catalogue && !d.lost[q.Name] {
				packs = append(packs, q)
				total += q.Size
			}
		}
	}
	if total > d.shelf.limit {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(gatherers)
	for _, q := range packs {
		g.Go(func() error { return d.fetch(ctx, q, q.Size) })
	}
	return g.Wait()
}

// Keep puts a catalogue pack on the shelf that was just sent to a remote store, so that the next backup need not fetch it. That it can't
// is no reason to fail.
func (d *Domain) Keep(p manifest.Pack, body io.Reader) {
	if d.shelf != nil && p.Class == manifest.Catalogue {
		d.shelf.put(p.Name, p.Size, body)
	}
}

// need is told that something of a catalogue pack is about to be read, and what that costs. When the pack has cost as much as all of it
// would, it is fetched: that is never more than twice what would have been best.
func (d *Domain) need(ctx context.Context, name manifest.Digest, cost int64) error {
	if d.shelf == nil || d.shelf.has(name) {
		return nil
	}
	if p, listed := d.find(name); listed {
		return d.fetch(ctx, p, cost)
	}
	return nil
}

// fetch pays for a pack and, when that is enough, brings it onto the shelf.
func (d *Domain) fetch(ctx context.Context, p manifest.Pack, pays int64) error {
	f := d.gathering.of(p.Name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paid == 0 {
		f.never = p.Size > maxWhole || p.Size > d.shelf.limit || d.isNear(ctx, p.Name)
	}
	if f.paid += pays; f.never || f.paid < p.Size || d.shelf.has(p.Name) {
		return nil
	}
	if err := d.gathering.memory.Acquire(ctx, p.Size); err != nil {
		return err
	}
	defer d.gathering.memory.Release(p.Size)
	b, err := d.Whole(ctx, p)
	if err == nil && d.shelf.put(p.Name, p.Size, bytes.NewReader(b)) == nil {
		d.forget(p.Name)
		return nil
	}
	f.never = true // whoever reads on finds out what is wrong, if anything: that it can't be kept is no reason not to read it
	if err == nil || errors.Is(err, fs.ErrNotExist) || Lost(err) {
		return nil
	}
	return err
}

// isNear tells whether a store that is not remote has the pack, but for the shelf: from there it may go.
func (d *Domain) isNear(ctx context.Context, name manifest.Digest) bool {
	for _, s := range d.store[1:] {
		if !Remote(s) && isThere(ctx, s, manifest.PackName(d.Machine.Machine, name)) == nil {
			return true
		}
	}
	return false
}
