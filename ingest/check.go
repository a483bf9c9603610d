package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"waybill/manifest"
	"waybill/seed/disk"
)

// A check is the verification of one tree under way. What is no machine's is checked when it is opened, and then part by part each machine.
type check struct {
	tree     *tree
	opts     Options
	machines map[manifest.ID]bool // those that the tree has anything of
	keys     map[manifest.ID]bool // those whose secrets it has
	sums     map[string]manifest.Digest
	sealed   bool  // sums says what there is
	part     *part // the machine that is being checked; nil when the tree has nothing of it
	highest  int   // number of a disk that a pack is on
	gaps     []int
	errs     []error

	mu     sync.Mutex // guards what follows while files are read
	report *VerifyReport
}

// newCheck opens a tree and checks what is no machine's.
func newCheck(ctx context.Context, s Source, o Options) (*check, error) {
	t, err := openTree(ctx, s)
	if err != nil {
		return nil, err
	}
	c := &check{tree: t, opts: o, machines: map[manifest.ID]bool{}, keys: map[manifest.ID]bool{}, report: &VerifyReport{Source: s.Name, Vault: t.vault.Vault, Label: t.label}}
	for _, id := range t.machines {
		c.machines[id] = true
	}
	if t.label != nil && t.label.State == disk.Sealed {
		c.errs = append(c.errs, c.openSums(ctx))
	}
	if err := c.root(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if len(c.machines) == 0 && t.label != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, ErrEmpty)
	}
	return c, nil
}

// root accounts for all files that are no machine's, and finds the machines.
func (c *check) root(ctx context.Context) error {
	known := map[string]bool{}
	extra := func(name string, _ int64) error {
		c.report.Extra = append(c.report.Extra, name)
		return nil
	}
	err := c.tree.Level(ctx, "", func(name string, size int64) error {
		switch name {
		case manifest.VaultName, manifest.ReceiptKeyName, disk.LabelName, disk.SumsName, disk.ReadmeName:
			known[name] = true
			return nil
		case manifest.KeysPrefix:
			return c.tree.List(ctx, name, func(name string, size int64) error { return c.key(name, known, extra) })
		case machinesPrefix:
			return c.tree.Level(ctx, name, func(name string, size int64) error { return c.machineDir(ctx, name, size, extra) })
		}
		return c.eachBelow(ctx, name, size, extra)
	})
	if err != nil {
		return err
	}
	c.needed(manifest.RecoveryName, known[manifest.RecoveryName])
	for id := range c.machines {
		c.needed(manifest.MachineKeyName(id), c.keys[id])
	}
	if c.sealed {
		c.errs = append(c.errs, c.summed(ctx, "", known))
	}
	return nil
}

const machinesPrefix = "machines/"

// key accounts for a file in keys/.
func (c *check) key(name string, known map[string]bool, extra func(string, int64) error) error {
	id, ok := manifest.ParseMachineKeyName(name)
	if ok {
		c.keys[id], c.machines[id] = true, true
	} else if name != manifest.RecoveryName && name != manifest.ReceiptKeyName {
		return extra(name, 0)
	}
	known[name] = true
	return nil
}

// machineDir notes a machine that the tree has something of.
func (c *check) machineDir(ctx context.Context, name string, size int64, extra func(string, int64) error) error {
	id, err := manifest.ParseID(strings.TrimSuffix(strings.TrimPrefix(name, machinesPrefix), "/"))
	if err != nil || size >= 0 {
		return c.eachBelow(ctx, name, size, extra)
	}
	c.machines[id] = true
	return nil
}

// eachBelow is for a name of a level: the file itself, or all in the directory.
func (c *check) eachBelow(ctx context.Context, name string, size int64, each func(string, int64) error) error {
	if size >= 0 {
		return each(name, size)
	}
	return c.tree.List(ctx, name, each)
}

// needed accounts for a file that nothing can be restored elsewhere without. What it says is no business of those who have no key. A
// disk may not have it yet, and when it is sealed SHA256SUMS tells.
func (c *check) needed(name string, there bool) {
	if !there && c.tree.label == nil {
		c.damaged(name, fmt.Errorf("%w: nothing can be restored without it, but on the machine itself", fs.ErrNotExist))
	}
}

// damaged notes what is wrong with a file, or with the line to it.
func (c *check) damaged(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tree.remote() && unreadable(err) {
		c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
		return
	}
	c.report.Damaged = append(c.report.Damaged, Damage{Where: c.tree.Name, Name: name, Err: err})
}

// openSums reads what a sealed disk's SHA256SUMS says, and compares what it says of packs with their names.
func (c *check) openSums(ctx context.Context) error {
	b, err := manifest.ReadObject(ctx, c.tree, disk.SumsName, disk.MaxSums)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w: %s is not there", disk.ErrSums, manifest.ErrFormat, disk.SumsName)
	}
	if err != nil {
		return err
	}
	all, err := disk.ParseSums(b)
	if err != nil {
		return fmt.Errorf("%w: %w", disk.ErrSums, err)
	}
	sums := map[string]manifest.Digest{}
	for _, s := range all {
		if _, d, ok := manifest.ParsePackName(s.Name); ok && d != s.Digest {
			return fmt.Errorf("%s: %w: it has another digest for %s", disk.SumsName, manifest.ErrFormat, s.Name)
		}
		sums[s.Name] = s.Digest
	}
	c.sums, c.sealed = sums, true
	return nil
}

// summed checks what SHA256SUMS says of files that are no packs (keys are checked by nothing else here) and begin with prefix, or with no prefix are
// no machine's, and that it lists all that are known to be there.
func (c *check) summed(ctx context.Context, prefix string, known map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(c.sums)) {
		_, _, isPack := manifest.ParsePackName(name)
		if ofMachine := strings.HasPrefix(name, machinesPrefix); isPack || !strings.HasPrefix(name, prefix) || prefix == "" && ofMachine {
			continue // packs are checked against their names
		}
		if isParity(name) && known[name] {
			continue // too large to be held: it is read with the packs
		}
		b, err := manifest.ReadObject(ctx, c.tree, name, manifest.MaxManifest)
		if err == nil && manifest.Sum(b) != c.sums[name] {
			err = fmt.Errorf("%w: %s says otherwise", manifest.ErrFormat, disk.SumsName)
		}
		if err != nil {
			c.damaged(name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if _, ok := c.sums[name]; !ok && name != disk.LabelName && name != disk.SumsName && !grows(name) {
			return c.unlisted(name)
		}
	}
	return nil
}

func (c *check) unlisted(name string) error {
	return fmt.Errorf("%s: %w: it does not list %s, and perhaps more", disk.SumsName, manifest.ErrFormat, name)
}

// grows tells the files that come after a disk is sealed: custody logs.
func grows(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) > 3 && parts[0] == "machines" && parts[2] == "custody"
}

func isParity(name string) bool {
	_, _, _, ok := manifest.ParseParityName(name)
	return ok
}

// conclude puts the findings in order and into errors.
func (c *check) conclude() {
	r := c.report
	slices.Sort(r.Extra)
	r.Unsound = errors.Join(c.errs...) != nil
	slices.SortFunc(r.Damaged, func(a, b Damage) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Missing, func(a, b manifest.WantPack) int { return slices.Compare(a.Name[:], b.Name[:]) })
	if len(r.Damaged) > 0 {
		c.errs = append(c.errs, &DamagedError{r.Damaged})
	}
	if len(r.Missing) > 0 || len(c.gaps) > 0 {
		c.errs = append(c.errs, &IncompleteError{Missing: r.Missing, Manifests: c.gaps})
	}
}
