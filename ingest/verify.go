package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"waybill/manifest"
	"waybill/seed/disk"
)

// A VerifyReport says what Verify found.
type VerifyReport struct {
	Vault     manifest.ID
	Label     *disk.Label // of a disk; nil for a vault
	Machines  []Verified
	Packs     int   // found good
	Bytes     int64 // of them
	Elsewhere int   // packs that the set's other disks carry
	Damaged   []Damage
	Missing   []manifest.WantPack
	Extra     []string // files that nothing refers to: leftovers of interrupted runs, or not ours
}

// Verified is what was found of one machine.
type Verified struct {
	Machine manifest.ID
	Name    string
	Commits int
	Newest  *manifest.Link // nil when there are no commits
	Gaps    []int          // commits, by number, that are not there
}

// Verify checks a disk or a vault without any key: each machine's document and chain of commits, receipts, every pack against
// its name, and on a sealed disk all other files against SHA256SUMS. A disk need only have the packs that are its own, and no earlier commits than its seed's.
//
// The report is nil when the tree could not be opened. The error joins everything that is not as it should be: manifest.ErrSignature,
// manifest.ErrFormat and manifest.ErrChain for documents, *DamagedError, *IncompleteError. Extra files are no error.
func Verify(ctx context.Context, s Source, o Options) (*VerifyReport, error) {
	o.defaults()
	t, err := openTree(ctx, s)
	if err != nil {
		return nil, err
	}
	c := &check{tree: t, opts: o, report: &VerifyReport{Vault: t.vault.Vault, Label: t.label}}
	if c.files, err = list(ctx, s); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	c.all = maps.Clone(c.files)
	machines := c.machines()
	if len(machines) == 0 && t.label != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, ErrEmpty)
	}
	c.needed(manifest.RecoveryName)
	for _, name := range []string{manifest.VaultName, manifest.ReceiptKeyName, disk.LabelName, disk.SumsName, disk.ReadmeName} {
		delete(c.files, name)
	}
	for _, id := range machines {
		if err := c.machine(ctx, id); err != nil {
			c.errs = append(c.errs, fmt.Errorf("machine %s: %w", id, err))
		}
	}
	if t.label != nil && t.label.State == disk.Sealed {
		c.errs = append(c.errs, c.sums(ctx))
	}
	c.errs = append(c.errs, c.packs(ctx))
	c.conclude()
	if ctx.Err() != nil {
		return c.report, ctx.Err()
	}
	return c.report, errors.Join(c.errs...)
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
