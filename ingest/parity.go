package ingest

import (
	"context"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// rebuildAll rebuilds the packs that no source has whole, from the parity of all sources together and of what the vault has. Only then
// is any parity looked at.
func (j *job) rebuildAll(ctx context.Context) error {
	bad := slices.DeleteFunc(slices.Clone(j.wants), func(w *want) bool { return !j.lacks(w) })
	if len(bad) == 0 {
		return nil
	}
	set, err := j.openParity(ctx)
	if err != nil {
		return err
	}
	return j.rebuildFrom(ctx, bad, set)
}

// lacks tells whether a pack should be in the vault, and could be put there.
func (j *job) lacks(w *want) bool {
	return w.state == missing && (!w.stuck || j.replaces()) && !j.lost[w.Name]
}

func (j *job) openParity(ctx context.Context) (*rebuilder, error) {
	var sources []parity.Source
	for _, t := range j.trees {
		if t.left() == nil {
			sources = append(sources, parity.Source{Name: t.Name, Reader: t.Reader})
		}
	}
	sources = append(sources, parity.Source{Name: theVault, Reader: j.vault})
	set, err := openRebuilder(ctx, j.machine.Machine, sources)
	if err != nil {
		return nil, err
	}
	for _, flaw := range set.Flaws() {
		j.warn("parity: %v", flaw)
	}
	return set, nil
}

func (j *job) rebuildFrom(ctx context.Context, bad []*want, set *rebuilder) error {
	var covered []*want
	for _, w := range bad {
		if set.may(manifest.PackName(j.machine.Machine, w.Name)) {
			covered = append(covered, w)
			if len(w.trees) == 0 {
				j.opts.Progress.TotalPacks.Add(1)
			}
			j.opts.Progress.TotalBytes.Add(w.Size)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, runtime.GOMAXPROCS(0), covered, func(ctx context.Context, w *want) error {
		_, err := j.store(ctx, w, Source{"parity", set}, rebuilt)
		if len(w.trees) == 0 {
			j.opts.Progress.Packs.Add(1)
		}
		return err
	})
	return g.Wait()
}

// A rebuilder reads files as parity makes them.
type rebuilder struct {
	*parity.Set
	attainable map[string]bool
}

// openRebuilder fails only when ctx is done.
func openRebuilder(ctx context.Context, m manifest.ID, sources []parity.Source) (*rebuilder, error) {
	set, err := parity.Open(ctx, m, sources)
	if err != nil {
		return nil, err
	}
	groups, _, err := parity.Groups(ctx, m, sources)
	if err != nil {
		return nil, err
	}
	r := &rebuilder{set, map[string]bool{}}
	of := filesOf(m, groups)
	for _, s := range sources {
		for _, prefix := range []string{manifest.PacksPrefix(m), manifest.ParityPrefix(m)} {
			_ = s.List(ctx, prefix, func(name string, _ int64) error { // what isn't listed isn't tried
				if of[name] {
					r.attainable[name] = true
				}
				return nil
			})
		}
	}
	for r.reach(m, groups) {
	}
	return r, nil
}

// filesOf are the names of the groups' files: a vault has many more.
func filesOf(m manifest.ID, groups []*parity.Group) map[string]bool {
	names := map[string]bool{}
	for _, g := range groups {
		for _, f := range g.Members {
			names[f.Name] = true
		}
		for _, s := range g.Shards {
			names[manifest.ParityShardName(m, g.Name, s.Index)] = true
		}
	}
	return names
}

// reach finds files that can be rebuilt of those that are there, or can be rebuilt themselves; false when there are no more. So
// nothing is read in vain for disks that are on their way.
func (r *rebuilder) reach(m manifest.ID, groups []*parity.Group) (more bool) {
	for _, g := range groups {
		shards := 0
		for _, s := range g.Shards {
			if r.attainable[manifest.ParityShardName(m, g.Name, s.Index)] {
				shards++
			}
		}
		var lost []string
		for _, f := range g.Members {
			if !r.attainable[f.Name] {
				lost = append(lost, f.Name)
			}
		}
		if len(lost) > shards {
			continue
		}
		for _, name := range lost {
			r.attainable[name], more = true, true
		}
	}
	return more
}

// may tells whether it is worth trying to rebuild a file.
func (r *rebuilder) may(name string) bool { return r.Covers(name) && r.attainable[name] }

// Size implements manifest.Reader.
func (r *rebuilder) Size(_ context.Context, name string) (int64, error) {
	return r.Set.Size(name), nil
}

// List implements manifest.Reader: nothing here is looked for.
func (*rebuilder) List(context.Context, string, func(string, int64) error) error { return nil }
