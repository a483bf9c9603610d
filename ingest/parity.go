package ingest

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// rebuildAll rebuilds the packs that no source has whole, from the parity of all sources together and of what the vault has. Only then
// is any parity looked at.
func (j *job) rebuildAll(ctx context.Context) error {
	var bad []*want
	for _, w := range j.wants {
		if w.state == missing && !w.stuck && !j.lost[w.Name] {
			bad = append(bad, w)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	var sources []parity.Source
	for _, t := range j.trees {
		if t.left() == nil {
			sources = append(sources, parity.Source{Name: t.Name, Reader: t.Reader})
		}
	}
	sources = append(sources, parity.Source{Name: theVault, Reader: j.vault})
	set, err := parity.Open(ctx, j.machine.Machine, sources)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		j.errs = append(j.errs, fmt.Errorf("reading parity: %w", err))
	}
	if set == nil {
		return nil
	}
	for _, flaw := range set.Flaws() {
		j.warn("parity: %v", flaw)
	}
	return j.rebuildFrom(ctx, bad, set)
}

func (j *job) rebuildFrom(ctx context.Context, bad []*want, set *parity.Set) error {
	var covered []*want
	for _, w := range bad {
		if set.Covers(manifest.PackName(j.machine.Machine, w.Name)) {
			covered = append(covered, w)
			if len(w.trees) == 0 {
				j.opts.Progress.TotalPacks.Add(1)
			}
			j.opts.Progress.TotalBytes.Add(w.Size)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, runtime.GOMAXPROCS(0), covered, func(ctx context.Context, w *want) error {
		bad, err := j.store(ctx, w, Source{"parity", mended{set}}, rebuilt)
		if err == nil && bad == nil {
			j.countRebuilt(w)
		}
		if len(w.trees) == 0 {
			j.opts.Progress.Packs.Add(1)
		}
		return err
	})
	return g.Wait()
}

// mended reads files as parity makes them.
type mended struct{ *parity.Set }

// Size implements manifest.Reader.
func (m mended) Size(_ context.Context, name string) (int64, error) { return m.Set.Size(name), nil }

// List implements manifest.Reader: nothing here is looked for.
func (m mended) List(context.Context, string, func(string, int64) error) error { return nil }
