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
	packs   map[string]listed
	present []listed                             // packs, and files of parity whose digest is known
	heads   map[manifest.Custody]manifest.Digest // custody entries that receipts name, by their places
	gaps    []int
	errs    []error

	mu     sync.Mutex // guards what follows while files are read
	good   map[string]bool
	report *VerifyReport
}

// A listed file is a pack that is in a commit, or a file of parity.
type listed struct {
	name    string
	machine manifest.ID
	manifest.Pack
	lost bool // a later commit settles it
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
	c.accounted(manifest.AccessPrefix(id)) // sealed for the machine alone
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
	lost := chain.Lost()
	for _, l := range chain.Links {
		c.commit(id, l, lost)
	}
	return errors.Join(err, c.receipts(ctx, id), c.custody(ctx, m))
}

// commit accounts for what a commit lists.
func (c *check) commit(id manifest.ID, l manifest.Link, lost map[manifest.Digest]bool) {
	delete(c.files, manifest.ManifestName(id, l.Manifest.Sequence))
	delete(c.files, manifest.SignatureName(id, l.Manifest.Sequence, l.Digest))
	for _, p := range l.Manifest.Packs {
		f := listed{manifest.PackName(id, p.Name), id, p, lost[p.Name]}
		size, ok := c.files[f.name]
		delete(c.files, f.name)
		c.packs[f.name] = f
		switch {
		case ok && size != p.Size:
			c.bad(f, fmt.Errorf("%w: %d bytes, it should have %d", manifest.ErrFormat, size, p.Size))
		case ok:
			c.toRead(f)
		case f.lost:
		case c.elsewhere(f):
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
		var r *manifest.Receipt
		if err == nil {
			r, err = manifest.ParseReceipt(b)
		}
		if err == nil {
			for _, h := range r.Custody {
				c.heads[manifest.Custody{Machine: id, Set: r.Set, Disk: h.Disk, Number: h.Number}] = h.Digest
			}
		}
		if err != nil {
			c.damaged(name, err)
		}
		delete(c.files, name)
		delete(c.files, sigName)
	}
	return nil
}

// custody checks the custody logs of a machine's disks. That the end of one is gone, only receipts can tell.
func (c *check) custody(ctx context.Context, m *manifest.Machine) error {
	prefix := manifest.CustodiesPrefix(m.Machine)
	var logs []manifest.Custody
	for _, name := range slices.Sorted(maps.Keys(c.all)) {
		if strings.HasPrefix(name, prefix) && manifest.ParseDiskLabelName(name) {
			delete(c.files, name)
		}
		e, ok := manifest.ParseCustodyName(name)
		if !ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		c.accounted(strings.TrimSuffix(name, ".json"))
		if n := len(logs); n == 0 || logs[n-1].Set != e.Set || logs[n-1].Disk != e.Disk {
			logs = append(logs, e)
		}
	}
	var errs []error
	for _, l := range logs {
		log, err := manifest.ReadCustody(ctx, c.tree, l.Machine, l.Set, l.Disk, m.SigningKey, c.tree.vault.ReceiptKey)
		bad := manifest.CustodyErrors(err)
		for _, e := range log {
			c.named(e.Place(), e.Digest)
		}
		for _, e := range bad {
			l.Number = e.Number
			delete(c.heads, l)
			if errors.Is(e, manifest.ErrSignature) {
				errs = append(errs, fmt.Errorf("%s: %w", manifest.CustodyName(l), e.Err))
			} else {
				c.damaged(manifest.CustodyName(l), e.Err)
			}
		}
		if len(bad) == 0 {
			errs = append(errs, err)
		}
	}
	for place := range c.heads {
		if place.Machine == m.Machine {
			c.damaged(manifest.CustodyName(place), fmt.Errorf("a receipt names it: %w", fs.ErrNotExist))
		}
	}
	return errors.Join(errs...)
}

// named compares an entry with what receipts say of it.
func (c *check) named(place manifest.Custody, d manifest.Digest) {
	if named, ok := c.heads[place]; ok && named != d {
		c.damaged(manifest.CustodyName(place), fmt.Errorf("%w: a receipt names another", manifest.ErrChain))
	}
	delete(c.heads, place)
}

// accounted takes the files whose names begin so for known.
func (c *check) accounted(prefix string) {
	for name := range c.files {
		if strings.HasPrefix(name, prefix) {
			delete(c.files, name)
		}
	}
}

func (c *check) damaged(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Damaged = append(c.report.Damaged, Damage{Where: c.tree.Name, Name: name, Err: err})
}

// bad notes what is wrong with a pack. One that was settled is only in the way.
func (c *check) bad(f listed, err error) {
	if f.lost {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.report.Extra = append(c.report.Extra, f.name)
		return
	}
	c.damaged(f.name, err)
}

// toRead puts a file among those that are read.
func (c *check) toRead(f listed) {
	c.present = append(c.present, f)
	c.opts.Progress.TotalPacks.Add(1)
	c.opts.Progress.TotalBytes.Add(f.Size)
}

// read reads every pack and every file of parity once, several at a time.
func (c *check) read(ctx context.Context) error {
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
	if err := newFile(ctx, c.tree.Source, p.name, p.Pack, &c.opts.Progress.Bytes).drain(buf); err != nil {
		if ctx.Err() == nil {
			c.bad(p, err)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good[p.name] = true
	if p.Class != parityFile {
		c.report.Packs++
		c.report.Bytes += p.Size
	}
}

// parityFile is the class of what is no pack. It never gets out.
const parityFile manifest.Class = "parity"

// sums checks what a sealed disk's SHA256SUMS says of files that are no packs (keys are checked by nothing else here), and that it lists all
// that is the disk's.
func (c *check) sums(ctx context.Context) error {
	b, err := manifest.ReadObject(ctx, c.tree, disk.SumsName, disk.MaxSums)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w: %s is not there", disk.ErrSums, manifest.ErrFormat, disk.SumsName)
	}
	if err != nil {
		return err
	}
	sums, err := disk.ParseSums(b)
	if err != nil {
		return fmt.Errorf("%w: %w", disk.ErrSums, err)
	}
	summed := map[string]bool{}
	for _, s := range sums {
		summed[s.Name] = true
		if _, d, ok := manifest.ParsePackName(s.Name); ok {
			if d != s.Digest {
				return fmt.Errorf("%s: %w: it has another digest for %s", disk.SumsName, manifest.ErrFormat, s.Name)
			}
			continue // the pack itself is checked against its name
		}
		if size, ok := c.all[s.Name]; ok && isParity(s.Name) {
			c.toRead(listed{name: s.Name, Pack: manifest.Pack{Name: s.Digest, Size: size, Class: parityFile}})
			continue // too large to be held
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
		if _, extra := c.files[name]; !extra && !summed[name] && name != disk.LabelName && name != disk.SumsName && !grows(name) {
			return fmt.Errorf("%s: %w: it does not list %s, and perhaps more", disk.SumsName, manifest.ErrFormat, name)
		}
	}
	return nil
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
	for name := range c.files {
		r.Extra = append(r.Extra, name)
	}
	slices.Sort(r.Extra)
	r.Unsound = errors.Join(c.errs...) != nil
	slices.SortFunc(r.Damaged, func(a, b Damage) int { return strings.Compare(a.Name, b.Name) })
	if len(r.Damaged) > 0 {
		c.errs = append(c.errs, &DamagedError{r.Damaged})
	}
	if len(r.Missing) > 0 || len(c.gaps) > 0 {
		c.errs = append(c.errs, &IncompleteError{Missing: r.Missing, Manifests: c.gaps})
	}
}
