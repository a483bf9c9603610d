package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
	"waybill/seed/disk"
)

// A VerifyReport says what Verify found.
type VerifyReport struct {
	Source    string // its name
	Vault     manifest.ID
	Label     *disk.Label // of a disk; nil for a vault
	Machines  []Verified
	Packs     int                 // found good; with Options.ListOnly, there in their sizes
	Bytes     int64               // of them
	Elsewhere int                 // packs that the set's other disks carry
	Damaged   []Damage            // what is missing but can be made good, too
	Missing   []manifest.WantPack // what can't
	Unsound   bool                // documents are not as they should be; the error says which
	Extra     []string            // files that nothing refers to: leftovers of interrupted runs, or not ours

	Unfinished bool // not all was looked at; the error says why
}

// A Verdict is what a tree is good for, in one word.
type Verdict string

// The verdicts.
const (
	Whole      Verdict = "whole"
	Repairable Verdict = "repairable" // parity, or another tree, makes good all that is damaged
	Incomplete Verdict = "incomplete" // packs or commits are missing
	Damaged    Verdict = "damaged"
	Unfinished Verdict = "unfinished" // what was looked at is whole, or can be mended, and there is more
)

// Verdict sums the report up.
func (r *VerifyReport) Verdict() Verdict {
	bad := &DamagedError{r.Damaged}
	switch {
	case r.Unsound || !bad.Mendable():
		return Damaged
	case r.Unfinished:
		return Unfinished
	case len(r.Missing) > 0 || slices.ContainsFunc(r.Machines, func(v Verified) bool { return r.Label == nil && len(v.Gaps) > 0 }):
		return Incomplete
	case len(r.Damaged) > 0:
		return Repairable
	}
	return Whole
}

// Verified is what was found of one machine.
type Verified struct {
	Machine manifest.ID
	Name    string
	Commits int
	Newest  manifest.Digest // zero when there are no commits
	Gaps    []int           // commits, by number, that are not there
}

// Verify checks a disk or a vault without any key: each machine's document and chain of commits, receipts, custody logs, every pack against
// its name, and on a sealed disk all other files against SHA256SUMS. A disk need only have the packs that are its own, and no earlier commits than its seed's.
// Whether what is damaged or missing could be made good from the disk's own parity is tried out, by rebuilding it and looking at the result.
//
// It goes machine by machine, so its memory is bound by the largest machine's packs, whatever the vault has. With Options.ListOnly no pack is read: only that
// all are there, in their sizes, is checked.
//
// The report is nil when the tree could not be opened. The error joins everything that is not as it should be: manifest.ErrSignature,
// manifest.ErrFormat and manifest.ErrChain for documents, *DamagedError, *IncompleteError. Extra files are no error.
func Verify(ctx context.Context, s Source, o Options) (*VerifyReport, error) {
	r, err := VerifySet(ctx, []Source{s}, o)
	if r == nil {
		return nil, err
	}
	return r.Trees[0], err
}

// A SetReport says what VerifySet found.
type SetReport struct {
	Trees   []*VerifyReport
	Flaws   []error             // of the parity that was looked at
	NotHere []int               // the numbers of the set's disks that are not among the trees; none when they are not all of one set
	Rebuilt int                 // packs of disks that are not here, which the trees together rebuild
	Missing []manifest.WantPack // packs of disks that are not here, which they can't
}

// VerifySet is Verify for several disks, which are read at once: one makes up for another where it has the same pack, and
// where their parity goes across the set.
func VerifySet(ctx context.Context, sources []Source, o Options) (*SetReport, error) {
	o.defaults()
	v := &verification{opts: o, report: &SetReport{}}
	for _, s := range sources {
		c, err := newCheck(ctx, s, o)
		if err != nil {
			return nil, err
		}
		v.checks = append(v.checks, c)
		v.report.Trees = append(v.report.Trees, c.report)
	}
	for _, id := range v.machines() {
		err := v.machine(ctx, id)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			for _, t := range v.report.Trees {
				t.Unfinished = true
			}
			return v.report, err
		}
	}
	return v.report, v.conclude()
}

// machines are those of all trees, ascending.
func (v *verification) machines() []manifest.ID {
	set := map[manifest.ID]bool{}
	for _, c := range v.checks {
		maps.Copy(set, c.machines)
	}
	return slices.Sorted(maps.Keys(set))
}

// machine checks one machine in all trees that have it, and forgets what it had to keep for that.
func (v *verification) machine(ctx context.Context, id manifest.ID) error {
	for _, c := range v.checks {
		if !c.machines[id] {
			continue
		}
		c.part = newPart(c, id)
		if err := c.part.documents(ctx); err != nil {
			return fmt.Errorf("%s: machine %s: %w", c.tree.Name, id, err)
		}
	}
	var g errgroup.Group
	for _, c := range v.checks {
		if c.part != nil && !v.opts.ListOnly {
			g.Go(func() error { return c.part.read(ctx) })
		}
	}
	err := g.Wait()
	if err == nil {
		err = v.mend(ctx, id)
	}
	if err == nil {
		v.settle()
	}
	for _, c := range v.checks {
		c.part = nil
	}
	return err
}
