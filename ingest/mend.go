package ingest

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// A verification is that of several trees together.
type verification struct {
	opts   Options
	checks []*check
	report *SetReport

	mu     sync.Mutex // guards mended while files are rebuilt
	mended map[string]bool
}

// mend finds out which of the packs that are damaged or missing can be had all the same.
func (v *verification) mend(ctx context.Context) error {
	v.mended = map[string]bool{}
	byMachine := map[manifest.ID][]listed{}
	for name, f := range v.wanted() {
		if v.goodSomewhere(name) {
			v.mended[name] = true
		} else {
			byMachine[f.machine] = append(byMachine[f.machine], f)
		}
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(byMachine)) {
		errs = append(errs, v.rebuild(ctx, id, byMachine[id]))
	}
	return errors.Join(errs...)
}

// wanted are the packs that are not where they should be. Of several disks these are also the packs of those that are not here.
func (v *verification) wanted() map[string]listed {
	wanted := map[string]listed{}
	for _, c := range v.checks {
		for _, d := range c.report.Damaged {
			if f, ok := c.packs[d.Name]; ok {
				wanted[d.Name] = f
			}
		}
		for name, f := range c.packs {
			if _, there := c.all[name]; there || f.lost || c.elsewhere(f) && len(v.checks) == 1 {
				continue
			}
			wanted[name] = f
		}
	}
	return wanted
}

func (v *verification) goodSomewhere(name string) bool {
	return slices.ContainsFunc(v.checks, func(c *check) bool { return c.good[name] })
}

// rebuild reads packs as the trees' parity makes them, and notes those that come out as they should be.
func (v *verification) rebuild(ctx context.Context, id manifest.ID, files []listed) error {
	var sources []parity.Source
	for _, c := range v.checks {
		sources = append(sources, parity.Source{Name: c.tree.Name, Reader: c.tree.Reader})
	}
	set, err := openRebuilder(ctx, id, sources)
	if err != nil {
		return err
	}
	v.report.Flaws = append(v.report.Flaws, set.Flaws()...)
	files = slices.DeleteFunc(files, func(f listed) bool { return !set.may(f.name) })
	for _, f := range files {
		v.opts.Progress.TotalPacks.Add(1)
		v.opts.Progress.TotalBytes.Add(f.Size)
	}
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, runtime.GOMAXPROCS(0), files, func(ctx context.Context, f listed) error {
		defer v.opts.Progress.Packs.Add(1)
		err := newFile(ctx, Source{"parity", set}, f.name, f.Pack, &v.opts.Progress.Bytes).drain(make([]byte, 1<<20))
		v.mu.Lock()
		defer v.mu.Unlock()
		v.mended[f.name] = err == nil
		return ctx.Err()
	})
	return g.Wait()
}

// conclude makes errors of what was found.
func (v *verification) conclude() error {
	var errs []error
	for _, c := range v.checks {
		c.settle(v.mended)
		c.conclude()
		errs = append(errs, c.errs...)
	}
	if len(v.checks) > 1 {
		errs = append(errs, v.concludeSet())
	}
	return errors.Join(errs...)
}

// settle marks what can be made good, and counts what is missing but can be as damage only.
func (c *check) settle(mended map[string]bool) {
	r := c.report
	for i, d := range r.Damaged {
		r.Damaged[i].Mended = mended[d.Name]
	}
	missing := r.Missing
	r.Missing = nil
	names := map[manifest.Digest]string{}
	for name, f := range c.packs {
		names[f.Name] = name
	}
	for _, w := range missing {
		if name := names[w.Name]; mended[name] {
			r.Damaged = append(r.Damaged, Damage{c.tree.Name, name, fs.ErrNotExist, true})
		} else {
			r.Missing = append(r.Missing, w)
		}
	}
}

// concludeSet accounts for the packs of disks that are not here.
func (v *verification) concludeSet() error {
	seen := map[string]bool{}
	for _, c := range v.checks {
		for name, f := range c.packs {
			_, there := c.all[name]
			if there || f.lost || !c.elsewhere(f) || seen[name] || v.goodSomewhere(name) || v.carried(name) {
				continue
			}
			if seen[name] = true; v.mended[name] {
				v.report.Rebuilt++
			} else {
				v.report.Missing = append(v.report.Missing, manifest.WantPack{Name: f.Name, Size: f.Size, Disk: f.Disk, Reason: manifest.Absent})
			}
		}
	}
	slices.SortFunc(v.report.Missing, func(a, b manifest.WantPack) int {
		return cmp.Or(cmp.Compare(a.Disk, b.Disk), slices.Compare(a.Name[:], b.Name[:]))
	})
	v.report.NotHere = v.notHere()
	switch {
	case len(v.report.Missing) > 0:
		return &IncompleteError{Missing: v.report.Missing, NotHere: v.report.NotHere}
	case v.report.Rebuilt > 0:
		return &DamagedError{[]Damage{{Where: "the set", Name: disks(v.report.NotHere), Err: errors.New("not here"), Mended: true}}}
	}
	return nil
}

// carried tells whether a disk that is here should have a pack: then that disk's report has it.
func (v *verification) carried(name string) bool {
	return slices.ContainsFunc(v.checks, func(c *check) bool {
		f, ok := c.packs[name]
		return ok && !c.elsewhere(f)
	})
}

// elsewhere tells whether a pack is another disk's.
func (c *check) elsewhere(f listed) bool {
	return c.tree.label != nil && f.Disk != 0 && f.Disk != c.tree.label.Disk
}

// notHere are the numbers of the set's disks that are not among the trees.
func (v *verification) notHere() (numbers []int) {
	here, total := map[int]bool{}, 0
	for _, c := range v.checks {
		l := c.tree.label
		if l == nil || l.Set != v.checks[0].tree.label.Set {
			return nil
		}
		here[l.Disk] = true
		total = max(total, l.Disks)
		for _, f := range c.packs {
			total = max(total, f.Disk)
		}
	}
	for n := 1; n <= total; n++ {
		if !here[n] {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
