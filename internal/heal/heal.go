// Package heal makes good what was lost on the way to the vault: packs of a disk that broke or never came.
//
// [Wants] tells which packs the vault misses by its own receipts, [OfDisk] those of one disk. [Run] puts again what
// this machine still has as it was, stores the rest again from the live files with save.Heal, in one commit or several, and so
// settles the packs: nobody misses them any more. [Arrivals] tells how far each recovery point has come.
//
// What merely has not arrived yet is never taken for lost: no time that passes makes it so. The package decides
// nothing about where things go: the caller gives the destination, a vault or a disk.
package heal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/save"
	"waybill/manifest"
)

// Options say how to heal.
type Options struct {
	// Put stores a pack of the catalogue that the machine still has, under its own name: in the vault, or on the disk that is
	// sent there. Where something has that name, which is not the pack, or it would not have been missed, it wraps fs.ErrExist: then the pack
	// is healed as those that are not at hand.
	Put func(ctx context.Context, name string, body io.ReadSeeker) error
	// Committed is told of each commit when it is made; may be nil.
	Committed func(*save.Result) error
	// Count makes a commit even when all packs were put again as they were: so that the set counts the disk that they went to.
	Count bool
}

// A Report says what was done.
type Report struct {
	Again   []manifest.Pack // put again as they were
	Settled []manifest.Pack // of which the commits hold what could be had
	Commits []*save.Result
	// Left are packs that nothing was done about: what is in them can't be told, because the index was lost and
	// their disk isn't there; it can be when all other disks have arrived. Or there is no recovery point to go by.
	Left []manifest.Pack
}

// Lacking tells whether the newest point itself refers to something that could not be had again. The next scan reads the
// files anew that it concerns.
func (r *Report) Lacking() bool {
	return slices.ContainsFunc(r.Commits, func(c *save.Result) bool {
		return slices.ContainsFunc(c.Point.Damaged, func(d catalog.DamagedPoint) bool { return d.Point == *c.Point.Base })
	})
}

// Run heals the packs. Of cfg it takes all but the selection, Base, Reason, Known, and the place in the chain. The domain goes on
// with the new commits. When ctx is cancelled, or anything fails, what was committed stays, and is reported.
func Run(ctx context.Context, d *domain.Domain, cfg save.Config, packs []manifest.Pack, o Options) (*Report, error) {
	r := &Report{}
	if d.Flaw != nil {
		return r, fmt.Errorf("the machine's chain of commits is not sound: %w", d.Flaw)
	}
	missing, err := d.CoverData(ctx)
	if err != nil {
		return r, err
	}
	lost, err := r.again(ctx, d, packs, o)
	if err != nil {
		return r, err
	}
	blind := false
	lost, r.Left, blind = known(lost, missing)
	d.Shun(lost)
	points := bases(ctx, d)
	if len(points) == 0 {
		r.Left = append(r.Left, lost...)
		return r, nil
	}
	cfg.Known = d
	for len(lost) > 0 || o.Count && len(r.Again) > 0 && len(r.Commits) == 0 {
		n := round(lost, points[0].Point)
		cfg.Base = &points[0]
		last := d.Chain.Last()
		cfg.Writer.Sequence, cfg.Writer.Head = last.Manifest.Sequence, last.Digest
		res, err := save.Heal(ctx, cfg, save.Losses{Packs: lost[:n], Gone: gone(d, lost[:n], blind), Points: points[1:]})
		if err != nil {
			return r, fmt.Errorf("healing: %w", err)
		}
		d.Advance(manifest.Link{Manifest: res.Manifest, Digest: res.ID})
		r.Commits, r.Settled = append(r.Commits, res), append(r.Settled, lost[:n]...)
		if o.Committed != nil {
			if err := o.Committed(res); err != nil {
				return r, err
			}
		}
		points = slices.Insert(points, 0, base(d, domain.Point{Link: d.Chain.Links[len(d.Chain.Links)-1], Point: res.Point}))
		lost = lost[n:]
	}
	return r, nil
}

// again puts the catalogue packs that are at hand, and returns all other packs.
func (r *Report) again(ctx context.Context, d *domain.Domain, packs []manifest.Pack, o Options) (lost []manifest.Pack, err error) {
	for _, p := range packs {
		b, err := []byte(nil), fs.ErrNotExist
		if p.Class == manifest.Catalogue {
			b, err = d.Whole(ctx, p)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			lost = append(lost, p)
			continue
		}
		err = o.Put(ctx, manifest.PackName(d.Machine.Machine, p.Name), p.Body(bytes.NewReader(b)))
		if errors.Is(err, fs.ErrExist) {
			lost = append(lost, p)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("putting pack %.12s again: %w", p.Name, err)
		}
		r.Again = append(r.Again, p)
	}
	return lost, nil
}

// known sorts out the packs whose chunks the index can't know, missing being those whose tables could not be read. When none but lost
// ones are missing, a chunk that is in no pack was in one of them: then the search goes blind, and all can be healed.
func known(lost []manifest.Pack, missing []manifest.Digest) (can, left []manifest.Pack, blind bool) {
	unread := map[manifest.Digest]bool{}
	for _, name := range missing {
		unread[name] = true
	}
	unknown := 0
	for _, p := range lost {
		if unread[p.Name] {
			unknown++
		}
	}
	if unknown == len(unread) {
		return lost, nil, unknown > 0
	}
	for _, p := range lost {
		if unread[p.Name] {
			left = append(left, p)
		} else {
			can = append(can, p)
		}
	}
	return can, left, false
}

// gone tells chunks that were in the packs and are nowhere else.
func gone(d *domain.Domain, packs []manifest.Pack, blind bool) func(chunk) bool {
	names := map[manifest.Digest]bool{}
	for _, p := range packs {
		names[p.Name] = true
	}
	return func(id chunk) bool { return d.Only(id, names) || blind && !d.Knows(id) }
}

// bases are the points of the chain, newest first, as far as their records can be read.
func bases(ctx context.Context, d *domain.Domain) (all []save.Base) {
	for _, p := range slices.Backward(d.Points(ctx)) {
		if p.Err == nil {
			all = append(all, base(d, p))
		}
	}
	for i := range all[min(1, len(all)):] { // of these only the tree counts: their lists may be long
		p := all[i+1].Point
		p.Problems, p.Damage, p.Damaged, p.Users, p.Groups = nil, nil, nil, nil, nil
	}
	return all
}

func base(d *domain.Domain, p domain.Point) save.Base {
	return save.Base{ID: p.Digest, Point: p.Point, Loader: d, Lost: domain.Lost}
}

// round is how many of the packs one commit heals: what is stored is remembered until it is committed, some 100 bytes
// for each chunk, and small files are small chunks.
func round(packs []manifest.Pack, p *catalog.Point) int {
	const chunks, least, most = 2 << 20, 1 << 10, 64 << 10
	left := int64(chunks) * min(max(p.Stats.Bytes/max(p.Stats.Files, 1), least), most)
	for i, pack := range packs {
		if left -= pack.Size; left < 0 && i > 0 {
			return i
		}
	}
	return len(packs)
}
