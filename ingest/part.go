package ingest

import (
	"bytes"
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

// A part is what a tree has of one machine.
type part struct {
	*check
	id      manifest.ID
	files   map[string]int64                     // but for packs: sizes
	known   map[string]bool                      // those that something refers to
	packs   []listed                             // that commits list, ascending by name
	parity  []listed                             // files of it whose digest is known
	heads   map[manifest.Custody]manifest.Digest // custody entries that receipts name, by their places
	damages int                                  // in the report, before this part
}

// A listed file is a pack that is in a commit, or a file of parity.
type listed struct {
	manifest.Pack
	name string // of parity; a pack's follows from its digest
	lost bool   // a later commit settles it
	is   finding
}

type finding int8

const (
	absent finding = iota
	there          // with the size it should have
	good
	bad
)

func newPart(c *check, id manifest.ID) *part {
	return &part{check: c, id: id, files: map[string]int64{}, known: map[string]bool{}, heads: map[manifest.Custody]manifest.Digest{}, damages: len(c.report.Damaged)}
}

// documents checks everything but packs and parity, and accounts for all files. It fails only when they can't be listed.
func (p *part) documents(ctx context.Context) error {
	if err := p.list(ctx); err != nil {
		return err
	}
	err := p.chain(ctx)
	if p.tree.remote() && slices.ContainsFunc(joined(err), unreadable) {
		return fmt.Errorf("machine %s: %w", p.id, err) // what was not read would be missing
	}
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("machine %s: %w", p.id, err))
	}
	if err := p.contents(ctx); err != nil {
		return err
	}
	if p.tree.label != nil {
		p.accounted(manifest.ParityPrefix(p.id))
	}
	for name := range p.files {
		if !p.known[name] {
			p.report.Extra = append(p.report.Extra, name)
		}
	}
	if p.sealed {
		p.summedParity()
		p.errs = append(p.errs, p.summed(ctx, manifest.MachinePrefix(p.id), p.known))
	}
	return nil
}

// joined are the errors that were joined to one.
func joined(err error) (all []error) {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range list.Unwrap() {
			all = append(all, joined(e)...)
		}
	} else if err != nil {
		all = append(all, err)
	}
	return all
}

// list lists what is no pack: that is little.
func (p *part) list(ctx context.Context) error {
	return p.tree.Level(ctx, manifest.MachinePrefix(p.id), func(name string, size int64) error {
		if name == manifest.PacksPrefix(p.id) {
			return nil
		}
		return p.eachBelow(ctx, name, size, func(name string, size int64) error {
			p.files[name] = size
			return nil
		})
	})
}

// chain checks the machine's documents and chain.
func (p *part) chain(ctx context.Context) error {
	p.accounted(manifest.MachineName(p.id))
	p.accounted(manifest.MachineSignatureName(p.id))
	p.accounted(manifest.AccessPrefix(p.id)) // sealed for the machine alone
	m, err := manifest.OpenMachine(ctx, p.tree, p.id)
	if err != nil {
		return err
	}
	if m.Vault != p.tree.vault.Vault {
		return fmt.Errorf("%w: machine.json is of vault %s", manifest.ErrFormat, m.Vault)
	}
	chain, err := manifest.ReadChain(ctx, p.tree, m)
	v := Verified{Machine: p.id, Name: m.Name, Commits: len(chain.Links), Gaps: chain.Missing}
	if last := chain.Last(); last != nil {
		v.Newest = last.Digest
	}
	p.report.Machines = append(p.report.Machines, v)
	if p.tree.label == nil {
		p.gaps = append(p.gaps, chain.Missing...)
	}
	p.commits(&chain)
	return errors.Join(err, p.receipts(ctx), p.custody(ctx, m))
}

// commits takes over what the chain lists.
func (p *part) commits(chain *manifest.Chain) {
	lost := chain.Lost()
	n := 0
	for _, l := range chain.Links {
		n += len(l.Manifest.Packs)
	}
	p.packs = make([]listed, 0, n)
	for _, l := range chain.Links {
		p.known[manifest.ManifestName(p.id, l.Manifest.Sequence)] = true
		p.known[manifest.SignatureName(p.id, l.Manifest.Sequence, l.Digest)] = true
		for _, pack := range l.Manifest.Packs {
			p.packs = append(p.packs, listed{Pack: pack, lost: lost[pack.Name]})
			p.highest = max(p.highest, pack.Disk)
		}
	}
	slices.SortFunc(p.packs, func(a, b listed) int { return bytes.Compare(a.Name[:], b.Name[:]) })
	p.packs = slices.CompactFunc(p.packs, func(a, b listed) bool { return a.Name == b.Name })
}

// contents compares the packs that are there, which are listed in the order of their names, with those that commits list.
func (p *part) contents(ctx context.Context) error {
	at, unlisted := 0, ""
	err := p.tree.List(ctx, manifest.PacksPrefix(p.id), func(name string, size int64) error {
		_, d, ok := manifest.ParsePackName(name)
		for ok && at < len(p.packs) && bytes.Compare(p.packs[at].Name[:], d[:]) < 0 {
			at++
		}
		if !ok || at == len(p.packs) || p.packs[at].Name != d {
			p.report.Extra = append(p.report.Extra, name)
			return nil
		}
		p.found(&p.packs[at], size)
		if _, ok := p.sums[name]; p.sealed && !ok {
			unlisted = name
		}
		return nil
	})
	if unlisted != "" {
		p.errs = append(p.errs, p.unlisted(unlisted))
	}
	for i := range p.packs {
		if p.packs[i].is == absent && !p.packs[i].lost && p.elsewhere(&p.packs[i]) {
			p.report.Elsewhere++
		}
	}
	return err
}

// found notes a pack that is there.
func (p *part) found(f *listed, size int64) {
	f.is = there
	switch {
	case size != f.Size:
		p.bad(f, fmt.Errorf("%w: %d bytes, it should have %d", manifest.ErrFormat, size, f.Size))
	case p.opts.ListOnly:
		p.isGood(f)
	default:
		p.toRead(f)
	}
}

// fileName is a listed file's name in the tree.
func (p *part) fileName(f *listed) string {
	if f.name != "" {
		return f.name
	}
	return manifest.PackName(p.id, f.Name)
}

// elsewhere tells whether a pack is another disk's.
func (c *check) elsewhere(f *listed) bool {
	return c.tree.label != nil && f.Disk != 0 && f.Disk != c.tree.label.Disk
}

// bad notes what is wrong with a pack. One that was settled is only in the way.
func (p *part) bad(f *listed, err error) {
	if f.is = bad; !f.lost {
		p.damaged(p.fileName(f), err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Extra = append(p.report.Extra, p.fileName(f))
}

func (p *part) isGood(f *listed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.is = good; f.name == "" {
		p.report.Packs++
		p.report.Bytes += f.Size
	}
}

// toRead announces a file that will be read.
func (p *part) toRead(f *listed) {
	p.opts.Progress.TotalPacks.Add(1)
	p.opts.Progress.TotalBytes.Add(f.Size)
}

// summedParity takes the files of parity that SHA256SUMS has digests of for those to be read.
func (p *part) summedParity() {
	for _, name := range slices.Sorted(maps.Keys(p.known)) {
		if d, ok := p.sums[name]; ok && isParity(name) && !p.opts.ListOnly {
			p.parity = append(p.parity, listed{Pack: manifest.Pack{Name: d, Size: p.files[name]}, name: name, is: there})
			p.toRead(&p.parity[len(p.parity)-1])
		}
	}
}

// read reads every pack and every file of parity once, several at a time.
func (p *part) read(ctx context.Context) error {
	var all []*listed
	for _, list := range [][]listed{p.packs, p.parity} {
		for i := range list {
			if list[i].is == there {
				all = append(all, &list[i])
			}
		}
	}
	buffers := sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, p.opts.workers(p.tree), all, func(ctx context.Context, f *listed) error {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		defer p.opts.Progress.Packs.Add(1)
		err := newFile(ctx, p.tree.Source, p.fileName(f), f.Pack, &p.opts.Progress.Bytes).drain(*buf)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && p.tree.remote() && unreadable(err):
			return err // of the network, not of the pack
		case err != nil:
			p.bad(f, err)
		default:
			p.isGood(f)
		}
		return nil
	})
	return g.Wait()
}

// accounted takes the files whose names begin so for known.
func (p *part) accounted(prefix string) {
	for name := range p.files {
		if strings.HasPrefix(name, prefix) {
			p.known[name] = true
		}
	}
}

// receipts checks the receipts for the machine.
func (p *part) receipts(ctx context.Context) error {
	prefix := manifest.ReceiptsPrefix(p.id)
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, ".json") {
			continue
		}
		b, err := manifest.ReadObject(ctx, p.tree, name, manifest.MaxReceipt)
		if err != nil {
			return err
		}
		sigName := manifest.ReceiptSignatureName(p.id, manifest.Sum(b))
		sig, err := manifest.ReadObject(ctx, p.tree, sigName, 64<<10)
		if err == nil {
			err = manifest.Verify(p.tree.vault.ReceiptKey, b, sig)
		}
		var r *manifest.Receipt
		if err == nil {
			r, err = manifest.ParseReceipt(b)
		}
		if err == nil {
			for _, h := range r.Custody {
				p.heads[manifest.Custody{Machine: p.id, Set: r.Set, Disk: h.Disk, Number: h.Number}] = h.Digest
			}
		}
		if err != nil {
			p.damaged(name, err)
		}
		p.known[name], p.known[sigName] = true, true
	}
	return nil
}

// diskLabels are the names of the labels beside custody logs: those that are there, and on a sealed disk its own.
func (p *part) diskLabels() (names []string) {
	for name := range p.files {
		if manifest.ParseDiskLabelName(name) {
			names = append(names, name)
		}
	}
	if l := p.tree.label; l != nil && l.Machine == p.id && l.State == disk.Sealed {
		names = append(names, manifest.DiskLabelName(l.Machine, l.Set, l.Disk))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// diskLabel checks such a label: it is of the disk that its name says. What else it says is for people, and signed nowhere.
func (p *part) diskLabel(ctx context.Context, name string) error {
	p.known[name] = true
	b, err := manifest.ReadObject(ctx, p.tree, name, maxLabel)
	if err != nil && p.tree.remote() && unreadable(err) {
		return err
	}
	var l disk.Label
	if err == nil {
		l, err = disk.ParseLabel(b)
	}
	if err == nil && name != manifest.DiskLabelName(l.Machine, l.Set, l.Disk) {
		err = fmt.Errorf("%w: it is another disk's", manifest.ErrFormat)
	}
	if err != nil {
		p.damaged(name, err)
	}
	return nil
}

// custody checks the custody logs of the machine's disks. That the end of one is gone, only receipts can tell.
func (p *part) custody(ctx context.Context, m *manifest.Machine) error {
	var logs []manifest.Custody
	var errs []error
	for _, name := range p.diskLabels() {
		if err := p.diskLabel(ctx, name); err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		e, ok := manifest.ParseCustodyName(name)
		if !ok {
			continue
		}
		p.accounted(strings.TrimSuffix(name, ".json"))
		if n := len(logs); n == 0 || logs[n-1].Set != e.Set || logs[n-1].Disk != e.Disk {
			logs = append(logs, e)
		}
	}
	for _, l := range logs {
		log, err := manifest.ReadCustody(ctx, p.tree, l.Machine, l.Set, l.Disk, m.SigningKey, p.tree.vault.ReceiptKey)
		bad := manifest.CustodyErrors(err)
		for _, e := range log {
			p.named(e.Place(), e.Digest)
		}
		for _, e := range bad {
			l.Number = e.Number
			delete(p.heads, l)
			if errors.Is(e, manifest.ErrSignature) {
				errs = append(errs, fmt.Errorf("%s: %w", manifest.CustodyName(l), e.Err))
			} else {
				p.damaged(manifest.CustodyName(l), e.Err)
			}
		}
		if len(bad) == 0 {
			errs = append(errs, err)
		}
	}
	for place := range p.heads {
		p.damaged(manifest.CustodyName(place), fmt.Errorf("a receipt names it: %w", fs.ErrNotExist))
	}
	return errors.Join(errs...)
}

// named compares an entry with what receipts say of it.
func (p *part) named(place manifest.Custody, d manifest.Digest) {
	if named, ok := p.heads[place]; ok && named != d {
		p.damaged(manifest.CustodyName(place), fmt.Errorf("%w: a receipt names another", manifest.ErrChain))
	}
	delete(p.heads, place)
}
