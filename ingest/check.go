package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
	"waybill/seed/disk"
)

// A check is a verification under way.
type check struct {
	tree    *tree
	opts    Options
	all     map[string]int64 // every file's size
	files   map[string]int64 // those not accounted for yet
	present []listed
	gaps    []int
	errs    []error

	mu     sync.Mutex // guards report while packs are read
	report *VerifyReport
}

// A listed pack is one that is in a commit and in the tree.
type listed struct {
	machine manifest.ID
	manifest.Pack
}

// machines are those that the tree has a key of, and those that it has anything else of.
func (c *check) machines() []manifest.ID {
	set := map[manifest.ID]bool{}
	for _, id := range c.tree.machines {
		set[id] = true
	}
	for name := range c.all {
		rest, ok := strings.CutPrefix(name, "machines/")
		dir, _, _ := strings.Cut(rest, "/")
		if id, err := manifest.ParseID(dir); ok && err == nil {
			set[id] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// needed accounts for a file that nothing can be restored elsewhere without. What it says is no business of those who have no key. A
// disk may not have it yet, and when it is sealed SHA256SUMS tells.
func (c *check) needed(name string) {
	delete(c.files, name)
	if _, ok := c.all[name]; !ok && c.tree.label == nil {
		c.damaged(name, fmt.Errorf("%w: nothing can be restored without it, but on the machine itself", fs.ErrNotExist))
	}
}

// machine checks a machine's documents, and accounts for its files.
func (c *check) machine(ctx context.Context, id manifest.ID) error {
	delete(c.files, manifest.MachineName(id))
	delete(c.files, manifest.MachineSignatureName(id))
	c.needed(manifest.MachineKeyName(id))
	m, err := manifest.OpenMachine(ctx, c.tree, id)
	if err != nil {
		return err
	}
	if m.Vault != c.tree.vault.Vault {
		return fmt.Errorf("%w: machine.json is of vault %s", manifest.ErrFormat, m.Vault)
	}
	chain, err := manifest.ReadChain(ctx, c.tree, m)
	v := Verified{Machine: id, Name: m.Name, Commits: len(chain.Links), Newest: chain.Last(), Gaps: chain.Missing}
	c.report.Machines = append(c.report.Machines, v)
	if c.tree.label == nil {
		c.gaps = append(c.gaps, chain.Missing...)
	}
	for _, l := range chain.Links {
		c.commit(id, l)
	}
	return errors.Join(err, c.receipts(ctx, id))
}

// commit accounts for what a commit lists.
func (c *check) commit(id manifest.ID, l manifest.Link) {
	delete(c.files, manifest.ManifestName(id, l.Manifest.Sequence))
	delete(c.files, manifest.SignatureName(id, l.Manifest.Sequence, l.Digest))
	for _, p := range l.Manifest.Packs {
		name := manifest.PackName(id, p.Name)
		size, ok := c.files[name]
		delete(c.files, name)
		switch {
		case ok && size != p.Size:
			c.damaged(name, fmt.Errorf("%w: %d bytes, it should have %d", manifest.ErrFormat, size, p.Size))
		case ok:
			c.present = append(c.present, listed{id, p})
			c.opts.Progress.TotalPacks.Add(1)
			c.opts.Progress.TotalBytes.Add(p.Size)
		case c.tree.label != nil && p.Disk != 0 && p.Disk != c.tree.label.Disk:
			c.report.Elsewhere++
		default:
			c.report.Missing = append(c.report.Missing, manifest.WantPack{Name: p.Name, Size: p.Size, Disk: p.Disk, Reason: manifest.Absent})
		}
	}
}

// receipts checks the receipts for a machine.
func (c *check) receipts(ctx context.Context, id manifest.ID) error {
	prefix := manifest.ReceiptsPrefix(id)
	for name := range c.files {
		if !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, ".json") {
			continue
		}
		b, err := manifest.ReadObject(ctx, c.tree, name, manifest.MaxReceipt)
		if err != nil {
			return err
		}
		sigName := manifest.ReceiptSignatureName(id, manifest.Sum(b))
		sig, err := manifest.ReadObject(ctx, c.tree, sigName, 64<<10)
		if err == nil {
			err = manifest.Verify(c.tree.vault.ReceiptKey, b, sig)
		}
		if err == nil {
			_, err = manifest.ParseReceipt(b)
		}
		if err != nil {
			c.damaged(name, err)
		}
		delete(c.files, name)
		delete(c.files, sigName)
	}
	return nil
}

func (c *check) damaged(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Damaged = append(c.report.Damaged, Damage{c.tree.Name, name, err})
}

// packs reads every pack once, several at a time.
func (c *check) packs(ctx context.Context) error {
	buffers := sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, c.opts.workers(c.tree), c.present, func(ctx context.Context, p listed) error {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		c.pack(ctx, p, *buf)
		return ctx.Err()
	})
	return g.Wait()
}

func (c *check) pack(ctx context.Context, p listed, buf []byte) {
	defer c.opts.Progress.Packs.Add(1)
	b := newBody(ctx, c.tree.Source, p.machine, p.Pack, &c.opts.Progress.Bytes)
	var err error
	for err == nil {
		_, err = b.Read(buf)
	}
	if err != io.EOF {
		if ctx.Err() == nil {
			c.damaged(b.name, err)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Packs++
	c.report.Bytes += p.Size
}

// sums checks what a sealed disk's SHA256SUMS says of files that are no packs (keys are checked by nothing else here), and that it lists all
// that is the disk's.
func (c *check) sums(ctx context.Context) error {
	b, err := manifest.ReadObject(ctx, c.tree, disk.SumsName, disk.MaxSums)
	if err != nil {
		return err
	}
	sums, err := disk.ParseSums(b)
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, s := range sums {
		listed[s.Name] = true
		if _, d, ok := manifest.ParsePackName(s.Name); ok {
			if d != s.Digest {
				return fmt.Errorf("%s: %w: it has another digest for %s", disk.SumsName, manifest.ErrFormat, s.Name)
			}
			continue // the pack itself is checked against its name
		}
		b, err := manifest.ReadObject(ctx, c.tree, s.Name, manifest.MaxManifest)
		if err == nil && manifest.Sum(b) != s.Digest {
			err = fmt.Errorf("%w: %s says otherwise", manifest.ErrFormat, disk.SumsName)
		}
		if err != nil {
			c.damaged(s.Name, err)
		}
	}
	for name := range c.all {
		if _, extra := c.files[name]; !extra && !listed[name] && name != disk.LabelName && name != disk.SumsName {
			return fmt.Errorf("%s: %w: it does not list %s, and perhaps more", disk.SumsName, manifest.ErrFormat, name)
		}
	}
	return nil
}

// conclude puts the findings in order and into errors.
func (c *check) conclude() {
	r := c.report
	for name := range c.files {
		r.Extra = append(r.Extra, name)
	}
	slices.Sort(r.Extra)
	slices.SortFunc(r.Damaged, func(a, b Damage) int { return strings.Compare(a.Name, b.Name) })
	if len(r.Damaged) > 0 {
		c.errs = append(c.errs, &DamagedError{r.Damaged})
	}
	if len(r.Missing) > 0 || len(c.gaps) > 0 {
		c.errs = append(c.errs, &IncompleteError{r.Missing, c.gaps})
	}
}
