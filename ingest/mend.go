package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
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
	mended map[manifest.Digest]bool
}

// mend finds out which of a machine's packs that are damaged or missing can be had all the same.
func (v *verification) mend(ctx context.Context, id manifest.ID) error {
	v.mended = map[manifest.Digest]bool{}
	var bad []*listed
	for name, f := range v.wanted() {
		if v.anyPart(name, func(_ *check, f *listed) bool { return f.is == good }) {
			v.mended[name] = true
		} else {
			bad = append(bad, f)
		}
	}
	if len(bad) == 0 || v.opts.ListOnly {
		return nil
	}
	return v.rebuild(ctx, id, bad)
}

// wanted are the packs that are not where they should be. Of several disks these are also the packs of those that are not here.
func (v *verification) wanted() map[manifest.Digest]*listed {
	wanted := map[manifest.Digest]*listed{}
	for _, c := range v.checks {
		for f := range c.part.all() {
			if !f.lost && (f.is == bad || f.is == absent && (len(v.checks) > 1 || !c.elsewhere(f))) {
				wanted[f.Name] = f
			}
		}
	}
	return wanted
}

// all are the packs that commits list; none of no part.
func (p *part) all() iter.Seq[*listed] {
	return func(yield func(*listed) bool) {
		for i := 0; p != nil && i < len(p.packs); i++ {
			if !yield(&p.packs[i]) {
				return
			}
		}
	}
}

// anyPart tells whether something is true of a pack in one of the trees.
func (v *verification) anyPart(name manifest.Digest, is func(*check, *listed) bool) bool {
	return slices.ContainsFunc(v.checks, func(c *check) bool {
		if c.part == nil {
			return false
		}
		i, ok := slices.BinarySearchFunc(c.part.packs, name, func(f listed, d manifest.Digest) int { return bytes.Compare(f.Name[:], d[:]) })
		return ok && is(c, &c.part.packs[i])
	})
}

// rebuild reads packs as the trees' parity makes them, and notes those that come out as they should be.
func (v *verification) rebuild(ctx context.Context, id manifest.ID, files []*listed) error {
	var sources []parity.Source
	for _, c := range v.checks {
		sources = append(sources, parity.Source{Name: c.tree.Name, Reader: c.tree.Reader})
	}
	set, err := openRebuilder(ctx, id, sources)
	if err != nil {
		return err
	}
	v.report.Flaws = append(v.report.Flaws, set.Flaws()...)
	files = slices.DeleteFunc(files, func(f *listed) bool { return !set.may(manifest.PackName(id, f.Name)) })
	for _, f := range files {
		v.opts.Progress.TotalPacks.Add(1)
		v.opts.Progress.TotalBytes.Add(f.Size)
	}
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, runtime.GOMAXPROCS(0), files, func(ctx context.Context, f *listed) error {
		defer v.opts.Progress.Packs.Add(1)
		err := newBody(ctx, Source{"parity", set}, id, f.Pack, &v.opts.Progress.Bytes).drain(make([]byte, 1<<20))
		v.mu.Lock()
		defer v.mu.Unlock()
		v.mended[f.Name] = err == nil
		return ctx.Err()
	})
	return g.Wait()
}

// settle takes over what was found of a machine: what can be made good, and what is missing but can be is damage only.
func (v *verification) settle() {
	for _, c := range v.checks {
		if c.part != nil {
			c.part.settle(v.mended)
		}
	}
	if len(v.checks) > 1 {
		v.settleAbsent()
	}
}

func (p *part) settle(mended map[manifest.Digest]bool) {
	r := p.report
	for i := range r.Damaged[p.damages:] {
		d := &r.Damaged[p.damages+i]
		if _, name, ok := manifest.ParsePackName(d.Name); ok {
			d.Mended = mended[name]
		}
	}
	for f := range p.all() {
		switch {
		case f.is != absent || f.lost || p.elsewhere(f):
		case mended[f.Name]:
			r.Damaged = append(r.Damaged, Damage{p.tree.Name, p.fileName(f), fs.ErrNotExist, true})
		default:
			r.Missing = append(r.Missing, manifest.WantPack{Name: f.Name, Size: f.Size, Disk: f.Disk, Reason: manifest.Absent})
		}
	}
}

// settleAbsent accounts for the machine's packs that are on disks that are not here.
func (v *verification) settleAbsent() {
	seen := map[manifest.Digest]bool{}
	for _, c := range v.checks {
		for f := range c.part.all() {
			if f.is != absent || f.lost || !c.elsewhere(f) || seen[f.Name] || v.anyPart(f.Name, accountable) {
				continue
			}
			if seen[f.Name] = true; v.mended[f.Name] {
				v.report.Rebuilt++
			} else {
				v.report.Missing = append(v.report.Missing, manifest.WantPack{Name: f.Name, Size: f.Size, Disk: f.Disk, Reason: manifest.Absent})
			}
		}
	}
}

// accountable tells whether a pack is good in a tree, or the tree is the disk that should have it: then that disk's report tells.
func accountable(c *check, f *listed) bool { return f.is == good || !c.elsewhere(f) }

// conclude makes errors of what was found.
func (v *verification) conclude() error {
	var errs []error
	for _, c := range v.checks {
		c.conclude()
		errs = append(errs, c.errs...)
	}
	if len(v.checks) > 1 {
		errs = append(errs, v.concludeSet())
	}
	return errors.Join(errs...)
}

// concludeSet sums up what was found of disks that are not here.
func (v *verification) concludeSet() error {
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

// notHere are the numbers of the set's disks that are not among the trees.
func (v *verification) notHere() (numbers []int) {
	here, total := map[int]bool{}, 0
	for _, c := range v.checks {
		l := c.tree.label
		if l == nil || l.Set != v.checks[0].tree.label.Set {
			return nil
		}
		here[l.Disk] = true
		total = max(total, l.Disks, c.highest)
	}
	for n := 1; n <= total; n++ {
		if !here[n] {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
