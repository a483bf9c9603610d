package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
)

// A want is a pack that the vault shall have.
type want struct {
	manifest.Pack
	commit  int         // that lists it
	set     manifest.ID // that its disk is of
	trees   []*tree     // that hold something of its name and size, the disk it should be on first
	state   state
	sums    map[*tree][]byte // MD5s that the trees' stores know
	from    *tree            // whose copy was imported
	damaged bool             // something under its name was no good
	stuck   bool             // that was in the vault, where nothing is ever replaced, but what a carrier put there
	spoiled bool             // that has the right size
	doubt   bool             // a receipt said so: only reading tells
}

type state int

const (
	missing  state = iota
	present        // the vault had it
	imported       // read, verified, and stored by this run
	adopted        // it was there, and this run verified it
	rebuilt        // from parity, verified, and stored by this run
)

// plan finds out what each pack of the commits needs.
func (j *job) plan(ctx context.Context) error {
	all := j.listed()
	sorted := slices.SortedFunc(slices.Values(all), func(a, b *want) int { return slices.Compare(a.Name[:], b.Name[:]) })
	if err := j.lookAtVault(ctx, sorted); err != nil {
		return fmt.Errorf("looking for packs in the vault: %w", err)
	}
	sorted = slices.DeleteFunc(sorted, func(w *want) bool { return w.stuck && !j.replaces() || w.state == present })
	for _, t := range j.trees {
		if t.inPlace {
			continue
		}
		r, sum := watch(t.Reader)
		err := lookUp(ctx, r, j.machine.Machine, sorted, func(w *want, size int64) { j.locate(w, t, size, sum) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			j.noteSource(ctx, t, fmt.Errorf("looking for packs: %w", err))
		}
	}
	for _, w := range all {
		if len(w.trees) > 0 {
			j.opts.Progress.TotalBytes.Add(w.Size)
			j.opts.Progress.TotalPacks.Add(1)
		}
		if w.state == present || len(w.trees) > 0 || !j.lost[w.Name] {
			j.wants = append(j.wants, w)
		}
	}
	return nil
}

// lookAtVault finds out which packs the vault has. Where a carrier filled it, those are its own only that were found good before. It may have done so
// before a disk is imported, too; then what the vault has been given by Put has its checksum.
func (j *job) lookAtVault(ctx context.Context, sorted []*want) (err error) {
	here, before := j.here(), settled{}
	r, sum := watch(j.vault)
	_, sums := r.(summed)
	if here == nil && sums || here != nil && j.opts.Read != Full {
		if before, err = j.readSettled(ctx); err != nil {
			return err
		}
	}
	own := &tree{Source: Source{theVault, j.vault}, vault: j.doc, inPlace: true}
	return lookUp(ctx, r, j.machine.Machine, sorted, func(w *want, size int64) {
		if w.stuck = !j.found(w, theVault, size); w.stuck {
			return
		}
		md5 := sum(manifest.PackName(j.machine.Machine, w.Name))
		wrong := len(md5) > 0 && string(md5) != string(w.MD5[:])
		good := before.has(w) && !wrong
		t := here
		if here == nil {
			good = good || !sums || len(md5) > 0 && !wrong && !before.spoiled(w)
			t = own
		}
		if good {
			w.state = present
			return
		}
		w.trees, w.sums, w.doubt = []*tree{t}, map[*tree][]byte{t: md5}, before.spoiled(w)
	})
}

// listed is all packs of the commits, each once, in their order.
func (j *job) listed() (all []*want) {
	seen := map[manifest.Digest]bool{}
	for _, l := range j.links {
		for _, p := range l.Manifest.Packs {
			if !seen[p.Name] {
				seen[p.Name] = true
				all = append(all, &want{Pack: p, commit: l.Manifest.Sequence, set: l.Manifest.Set})
			}
		}
	}
	return all
}

// locate notes that a tree may have a pack.
func (j *job) locate(w *want, t *tree, size int64, sum func(name string) []byte) {
	if !j.found(w, t.Name, size) {
		return
	}
	if md5 := sum(manifest.PackName(j.machine.Machine, w.Name)); md5 != nil {
		if w.sums == nil {
			w.sums = map[*tree][]byte{}
		}
		w.sums[t] = md5
	}
	w.trees = append(w.trees, t)
	if n := len(w.trees) - 1; j.carries(t, w) && !w.trees[0].inPlace {
		w.trees[0], w.trees[n] = w.trees[n], w.trees[0]
	}
}

// found notes a pack of the wrong size as damaged.
func (j *job) found(w *want, where string, size int64) bool {
	if size != w.Size {
		w.damaged = true
		j.damaged(where, manifest.PackName(j.machine.Machine, w.Name), fmt.Errorf("%w: %d bytes, it should have %d", manifest.ErrFormat, size, w.Size))
	}
	return size == w.Size
}

// fetchAll imports all packs that the vault lacks, from all trees at once. Memory is bounded by what the store needs for
// one Put, times the workers.
func (j *job) fetchAll(ctx context.Context) error {
	byTree := map[*tree][]*want{}
	for _, w := range j.wants {
		if len(w.trees) > 0 {
			byTree[w.trees[0]] = append(byTree[w.trees[0]], w)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for t, wants := range byTree {
		each(ctx, g, j.opts.workers(t), wants, j.fetch)
	}
	return g.Wait()
}

// each has so many workers of g do something with every item.
func each[T any](ctx context.Context, g *errgroup.Group, workers int, items []T, do func(context.Context, T) error) {
	var next atomic.Int64
	for range workers {
		g.Go(func() error {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(items)) {
					return nil
				}
				if err := do(ctx, items[i]); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
}

// fetch imports one pack from the first tree whose copy is good.
func (j *job) fetch(ctx context.Context, w *want) error {
	defer j.opts.Progress.Packs.Add(1)
	for _, t := range w.trees {
		if t.left() != nil {
			continue
		}
		bad, err := j.bring(ctx, w, t)
		if err != nil {
			return err
		}
		if bad == nil {
			w.from = t
			return nil
		}
		if unreadable(bad) && t.remote() {
			return fmt.Errorf("reading pack %s of %s: %w", w.Name, t.Name, bad) // the line's fault, not the pack's
		}
		if unreadable(bad) && !t.alive(ctx) {
			continue // it is not this pack that is damaged
		}
		w.damaged = true
		j.damaged(t.Name, manifest.PackName(j.machine.Machine, w.Name), bad)
	}
	return nil
}

// store puts a pack into the vault while it is read and verified. It returns what is wrong with the pack apart from what is wrong
// with the vault.
func (j *job) store(ctx context.Context, w *want, s Source, as state) (bad, err error) {
	if w.stuck {
		return j.replace(ctx, w, s, as)
	}
	b := newBody(ctx, s, j.machine.Machine, w.Pack, &j.opts.Progress.Bytes)
	err = j.vault.Put(ctx, b.name, b)
	switch {
	case err == nil:
		w.state = as
		return nil, nil
	case errors.Is(err, fs.ErrExist):
		w.state = present // another import was faster
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case b.err == nil:
		return nil, fmt.Errorf("storing %s in the vault: %w", b.name, err)
	}
	return b.err, nil
}
