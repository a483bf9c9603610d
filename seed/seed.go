// Package seed makes the first full backup of a machine on disks that travel.
//
// [Run] saves the selection with the common engine, spreads the packs over the disks, and seals
// them when the recovery point is complete. Each commit goes to every disk, so any one
// of them can be checked alone. Catalogue packs and commits are kept locally too: the machine's
// incrementals begin from them while the disks are on their way.
//
// An interrupted seed is resumed by running it again on the same disks: it goes on from the last
// checkpoint. The package does not ship, import or restore anything.
package seed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/save"
	"waybill/manifest"
	"waybill/seed/disk"
)

// ErrSeeded says that the machine has a complete recovery point already.
var ErrSeeded = errors.New("the machine has a complete recovery point already")

// DataPack is how large data packs on disks are by default, in bytes: a Data Box order takes 100,000 files at most.
const DataPack = 512 << 20

// Options say how to seed. Disks, Domain, Cache and Save are needed.
type Options struct {
	Disks  []string       // directories; new ones are begun, those of the interrupted set go on
	Domain *domain.Domain // read from the cache, the vault, and the disks that have been begun
	Cache  Cache          // keeps catalogue packs and commits on this machine
	Copies map[string][]byte
	Key    manifest.PublicKey // of the machine, for the disks' README
	NewSet func() manifest.ID
	Save   save.Config // all but Base, Reason, Destination, Known, Set and Disks

	Sealing   func(n, of int) // told before each disk is sealed; may be nil
	SealBytes atomic.Int64    // read back so far
}

// A Report says what a seed came to.
type Report struct {
	*save.Result
	Set     manifest.ID
	Disks   []disk.Label
	Resumed bool
}

// Run seeds. When ctx is cancelled or a disk is full, what is done has been committed as a
// partial point or is done again; running once more goes on. The report is nil when
// nothing was committed.
func Run(ctx context.Context, o *Options) (*Report, error) {
	last, err := o.Domain.Last(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the last recovery point: %w", err)
	}
	r := &Report{}
	cfg := o.Save
	cfg.Reason = "first backup"
	if last != nil {
		if last.State == catalog.Complete || last.Manifest.Set == "" {
			return nil, fmt.Errorf("%w, commit %d", ErrSeeded, last.Manifest.Sequence)
		}
		cfg.Base = &save.Base{ID: last.Digest, Point: last.Point, Loader: o.Domain}
		cfg.Reason = "the last backup was interrupted"
		cfg.Writer.Sequence, cfg.Writer.Head = last.Manifest.Sequence, last.Digest
		r.Set, r.Resumed = last.Manifest.Set, true
		if len(cfg.Roots) == 0 {
			cfg.Roots = last.Roots
		}
	} else {
		r.Set = o.NewSet()
	}
	f, err := begin(ctx, o, r.Set)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if cfg.DataPack == 0 {
		if cfg.DataPack, err = f.packSize(); err != nil {
			return nil, err
		}
	}
	cfg.Set, cfg.Known, cfg.Destination = r.Set, o.Domain, f
	cfg.Disks = func() int { return f.numbers }
	f.size = map[manifest.Class]int64{manifest.Data: cfg.DataPack, manifest.Catalogue: max(cfg.CataPack, 16<<20)}
	if r.Result, err = save.Run(ctx, cfg); err != nil {
		if r.Result == nil {
			return nil, err
		}
		return r, err
	}
	return r, f.seal(ctx, o, r)
}

// seal seals all disks, one after the other.
func (f *fleet) seal(ctx context.Context, o *Options, r *Report) error {
	for i, d := range f.disks {
		if o.Sealing != nil {
			o.Sealing(i+1, len(f.disks))
		}
		if err := d.Seal(ctx, o.Key, f.numbers, o.Save.Host, f.now(), &o.SealBytes); err != nil {
			return err
		}
		r.Disks = append(r.Disks, d.Label())
	}
	return nil
}

// begin opens the disks that the set has, and makes new ones of the rest.
func begin(ctx context.Context, o *Options, set manifest.ID) (*fleet, error) {
	f := &fleet{ctx: context.WithoutCancel(ctx), machine: o.Domain.Machine.Machine, cache: o.Cache, now: o.Save.Now}
	if f.now == nil {
		f.now = time.Now
	}
	var fresh []string
	for _, path := range o.Disks {
		d, err := disk.Open(path)
		if errors.Is(err, disk.ErrNoDisk) {
			fresh = append(fresh, path)
			continue
		}
		if err == nil {
			f.disks = append(f.disks, d)
			err = f.resume(d, path, set, o)
		}
		if err != nil {
			f.close()
			return nil, err
		}
	}
	for _, link := range o.Domain.Chain.Links {
		f.numbers = max(f.numbers, link.Manifest.Disks)
	}
	for _, d := range f.disks {
		f.numbers = max(f.numbers, d.Label().Disk)
	}
	for _, path := range fresh {
		f.numbers++
		d, err := disk.Create(path, disk.Label{Vault: o.Domain.Machine.Vault, Machine: f.machine, Set: set, Disk: f.numbers,
			Host: o.Save.Host, Time: f.now().UTC().Truncate(time.Second)})
		if err == nil {
			f.disks = append(f.disks, d)
			err = f.equip(d, o)
		}
		if err != nil {
			f.close()
			return nil, err
		}
	}
	slices.SortFunc(f.disks, func(a, b *disk.Disk) int { return a.Label().Disk - b.Label().Disk })
	return f, nil
}

// resume checks that a disk which was begun is of the set, and tidies it.
func (f *fleet) resume(d *disk.Disk, path string, set manifest.ID, o *Options) error {
	l := d.Label()
	switch {
	case l.Machine != f.machine:
		return fmt.Errorf("%s: %w: it is machine %s's", path, disk.ErrForeign, l.Machine)
	case l.Set != set && o.Domain.Chain.Last() != nil:
		return fmt.Errorf("%s: %w: it is of set %s", path, disk.ErrForeign, l.Set)
	case l.State == disk.Sealed:
		return fmt.Errorf("%s: %w: it is sealed", path, disk.ErrForeign)
	}
	listed := map[manifest.Digest]bool{}
	for _, link := range o.Domain.Chain.Links {
		for _, p := range link.Manifest.Packs {
			listed[p.Name] = true
		}
	}
	if err := d.Tidy(f.ctx, func(name manifest.Digest) bool { return listed[name] }); err != nil {
		return err
	}
	if l.Set != set { // nothing was committed to it yet
		l.Set = set
		if err := d.SetLabel(l); err != nil {
			return err
		}
	}
	return f.equip(d, o)
}

// open begins the next pack of a class.
func (f *fleet) open(class manifest.Class) (pack.Target, error) {
	var first error
	for range f.disks {
		d := f.disks[int(f.next.Add(1)-1)%len(f.disks)]
		file, err := d.NewPack(f.size[class])
		if err == nil {
			return &target{fleet: f, disk: d, file: file, class: class}, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}
