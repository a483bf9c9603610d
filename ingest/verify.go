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
	Packs     int                 // found good
	Bytes     int64               // of them
	Elsewhere int                 // packs that the set's other disks carry
	Damaged   []Damage            // what is missing but can be made good, too
	Missing   []manifest.WantPack // what can't
	Unsound   bool                // documents are not as they should be; the error says which
	Extra     []string            // files that nothing refers to: leftovers of interrupted runs, or not ours
}

// A Verdict is what a tree is good for, in one word.
type Verdict string

// The verdicts.
const (
	Whole      Verdict = "whole"
	Repairable Verdict = "repairable" // parity, or another tree, makes good all that is damaged
	Incomplete Verdict = "incomplete" // packs or commits are missing
	Damaged    Verdict = "damaged"
)

// Verdict sums the report up.
func (r *VerifyReport) Verdict() Verdict {
	bad := &DamagedError{r.Damaged}
	switch {
	case r.Unsound || !bad.Mendable():
		return Damaged
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
	Newest  *manifest.Link // nil when there are no commits
	Gaps    []int          // commits, by number, that are not there
}

// Verify checks a disk or a vault without any key: each machine's document and chain of commits, receipts, custody logs, every pack against
// its name, and on a sealed disk all other files against SHA256SUMS. A disk need only have the packs that are its own, and no earlier commits than its seed's.
// Whether what is damaged or missing could be made good from the disk's own parity is tried out, by rebuilding it and looking at the result.
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
	for _, c := range v.checks {
		c.documents(ctx)
	}
	var g errgroup.Group
	for _, c := range v.checks {
		g.Go(func() error { return c.read(ctx) })
	}
	err := g.Wait()
	if err == nil {
		err = v.mend(ctx)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return v.report, err
	}
	return v.report, v.conclude()
}

// newCheck opens a tree and lists it.
func newCheck(ctx context.Context, s Source, o Options) (*check, error) {
	t, err := openTree(ctx, s)
	if err != nil {
		return nil, err
	}
	c := &check{tree: t, opts: o, packs: map[string]listed{}, heads: map[manifest.Custody]manifest.Digest{}, good: map[string]bool{}, report: &VerifyReport{Source: s.Name, Vault: t.vault.Vault, Label: t.label}}
	if c.files, err = list(ctx, s); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	c.all = maps.Clone(c.files)
	if len(c.machines()) == 0 && t.label != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, ErrEmpty)
	}
	return c, nil
}

// documents checks everything but packs and parity, and accounts for all files.
func (c *check) documents(ctx context.Context) {
	c.needed(manifest.RecoveryName)
	for _, name := range []string{manifest.VaultName, manifest.ReceiptKeyName, disk.LabelName, disk.SumsName, disk.ReadmeName} {
		delete(c.files, name)
	}
	for _, id := range c.machines() {
		if err := c.machine(ctx, id); err != nil {
			c.errs = append(c.errs, fmt.Errorf("machine %s: %w", id, err))
		}
		if c.tree.label != nil {
			c.accounted(manifest.ParityPrefix(id))
		}
	}
	if c.tree.label != nil && c.tree.label.State == disk.Sealed {
		c.errs = append(c.errs, c.sums(ctx))
	}
}

// list is all files of a tree with their sizes.
func list(ctx context.Context, r manifest.Reader) (map[string]int64, error) {
	files := map[string]int64{}
	err := r.List(ctx, "", func(name string, size int64) error {
		files[name] = size
		return nil
	})
	return files, err
}
