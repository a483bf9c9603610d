// Package seed makes the first full backup of a machine on disks that travel.
//
// [Run] saves the selection with the common engine, spreads the packs over the disks, and seals
// them when the recovery point is complete. Each commit goes to every disk, so any one
// of them can be checked alone. Catalogue packs and commits are kept locally too: the machine's
// incrementals begin from them while the disks are on their way.
//
// An interrupted seed is resumed by running it again on the same disks: it goes on from the last
// checkpoint, or with sealing. The package does not ship, import or restore anything.
package seed

import (
	"context"
	"errors"
	"fmt"
	"os"
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

var (
	// ErrSeeded says that the machine has a complete recovery point already.
	ErrSeeded = errors.New("the machine has a complete recovery point already")
	// ErrAbsent says that a seed can't go on because a disk that it has begun is not there.
	ErrAbsent = errors.New("this seed has begun the disk, and it is not there")
)

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
// partial point or is done again; running once more, with all disks of the set, goes on: ErrAbsent when one isn't there.
// When the point is complete but disks of the set were not sealed, those given are; else it is ErrSeeded. The report is nil when
// nothing was committed.
func Run(ctx context.Context, o *Options) (*Report, error) {
	if o.Domain.Flaw != nil {
		return nil, fmt.Errorf("the machine's chain of commits is not sound: %w", o.Domain.Flaw)
	}
	last, err := o.Domain.Last(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the last recovery point: %w", err)
	}
	if last != nil && last.State == catalog.Complete {
		return finish(ctx, o, last)
	}
	r := &Report{Set: setOf(o.Domain.Chain)}
	if r.Resumed = r.Set != ""; !r.Resumed {
		r.Set = o.NewSet()
	}
	cfg := o.Save
	cfg.Reason = "first backup"
	if last != nil {
		cfg.Base = &save.Base{ID: last.Digest, Point: last.Point, Loader: o.Domain, Lost: domain.Lost}
		cfg.Reason = "the last backup was interrupted"
		cfg.Writer.Sequence, cfg.Writer.Head = last.Manifest.Sequence, last.Digest
		if err := cfg.SelectAgain(last.Point); err != nil {
			return nil, err
		}
		if _, err := o.Domain.CoverData(ctx); err != nil {
			return nil, err
		}
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

// setOf is the set of the machine's seed; empty when none has been begun.
func setOf(c manifest.Chain) manifest.ID {
	for _, link := range slices.Backward(c.Links) {
		if link.Manifest.Set != "" {
			return link.Manifest.Set
		}
	}
	return ""
}

// finish seals those of a seed's disks that it was stopped before: the point is complete, and there may be
// later ones that rest on it. Disks may come one by one.
func finish(ctx context.Context, o *Options, last *domain.Point) (*Report, error) {
	seeded := fmt.Errorf("%w, commit %d", ErrSeeded, last.Manifest.Sequence)
	r := &Report{Set: setOf(o.Domain.Chain), Resumed: true,
		Result: &save.Result{Commit: save.Commit{Manifest: last.Manifest, ID: last.Digest}, Point: last.Point}}
	f := newFleet(ctx, o)
	defer f.close()
	fresh, err := f.gather(o.Disks)
	if err != nil {
		return nil, err
	}
	f.disks = slices.DeleteFunc(f.disks, func(d *disk.Disk) bool {
		l := d.Label()
		return l.State == disk.Sealed && l.Set == r.Set && d.Close() == nil
	})
	if len(fresh) > 0 || len(f.disks) == 0 {
		return nil, seeded
	}
	for _, d := range f.disks {
		if err := f.check(d, r.Set); err != nil {
			return nil, err
		}
		if n := d.Label().Disk; n > f.committed {
			return nil, fmt.Errorf("disk %d (%s): %w: nothing of the seed is on it", n, d.Path(), disk.ErrForeign)
		}
	}
	if err := f.resume(r.Set, o); err != nil {
		return nil, err
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

// begin opens the disks that the set has, and makes new ones of the rest. Nothing is changed on any
// before all are known to be right: what one of them lacks, a commit on another may list.
func begin(ctx context.Context, o *Options, set manifest.ID) (_ *fleet, err error) {
	f := newFleet(ctx, o)
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	fresh, err := f.gather(o.Disks)
	if err != nil {
		return nil, err
	}
	for _, d := range f.disks {
		if err := f.check(d, set); err != nil {
			return nil, err
		}
	}
	if err := f.whole(); err != nil {
		return nil, err
	}
	if err := f.resume(set, o); err != nil {
		return nil, err
	}
	for _, path := range fresh {
		if err := f.add(path, set, o); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(f.disks, func(a, b *disk.Disk) int { return a.Label().Disk - b.Label().Disk })
	return f, nil
}

// newFleet is a fleet without disks.
func newFleet(ctx context.Context, o *Options) *fleet {
	f := &fleet{ctx: context.WithoutCancel(ctx), machine: o.Domain.Machine.Machine, cache: o.Cache, now: o.Save.Now}
	if f.now == nil {
		f.now = time.Now
	}
	for _, link := range o.Domain.Chain.Links {
		f.committed = max(f.committed, link.Manifest.Disks)
	}
	f.numbers = f.committed
	return f
}

// gather opens the disks that were begun, and returns the paths of the others.
func (f *fleet) gather(paths []string) (fresh []string, err error) {
	var seen []os.FileInfo
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("opening a disk: %w", err)
		}
		if slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			return nil, fmt.Errorf("%s: %w: it was given twice", path, disk.ErrForeign)
		}
		seen = append(seen, info)
		d, err := disk.Open(path)
		if errors.Is(err, disk.ErrNoDisk) {
			fresh = append(fresh, path)
			continue
		}
		if err != nil {
			return nil, err
		}
		f.disks = append(f.disks, d)
	}
	return fresh, nil
}

// check makes sure that a disk which was begun is of the set. As long as no commit names a set, any that this machine
// has begun and not sealed will do.
func (f *fleet) check(d *disk.Disk, set manifest.ID) error {
	l := d.Label()
	switch {
	case l.Machine != f.machine:
		return fmt.Errorf("%s: %w: it is machine %s's", d.Path(), disk.ErrForeign, l.Machine)
	case l.Set != set && f.committed > 0:
		return fmt.Errorf("%s: %w: it is of set %s", d.Path(), disk.ErrForeign, l.Set)
	case l.State == disk.Sealed:
		return fmt.Errorf("%s: %w: it is sealed", d.Path(), disk.ErrForeign)
	}
	return nil
}

// whole makes sure that all disks which the set has so far are there, once: what is on them counts as stored,
// and each takes every commit and is sealed at the end.
func (f *fleet) whole() error {
	for n := 1; n <= f.committed; n++ {
		var at []string
		for _, d := range f.disks {
			if d.Label().Disk == n {
				at = append(at, d.Path())
			}
		}
		switch {
		case len(at) == 0:
			return fmt.Errorf("disk %d: %w", n, ErrAbsent)
		case len(at) > 1:
			return fmt.Errorf("%s: %w: it is disk %d, and so is %s", at[1], disk.ErrForeign, n, at[0])
		}
	}
	return nil
}

// resume tidies the disks that were begun, and brings them what they lack. One that no commit counts yet is
// numbered anew, so that numbers have no gaps.
func (f *fleet) resume(set manifest.ID, o *Options) error {
	listed := map[manifest.Digest]bool{}
	for _, link := range o.Domain.Chain.Links {
		for _, p := range link.Manifest.Packs {
			listed[p.Name] = true
		}
	}
	for _, d := range f.disks {
		if err := d.Tidy(f.ctx, func(name manifest.Digest) bool { return listed[name] }); err != nil {
			return err
		}
		if l := d.Label(); l.Disk > f.committed || f.committed == 0 {
			f.numbers++
			l.Set, l.Disk = set, f.numbers
			if err := d.SetLabel(l); err != nil {
				return err
			}
		}
		if err := f.equip(d, o); err != nil {
			return err
		}
	}
	return nil
}

// add begins a new disk.
func (f *fleet) add(path string, set manifest.ID, o *Options) error {
	f.numbers++
	d, err := disk.Create(path, disk.Label{Vault: o.Domain.Machine.Vault, Machine: f.machine, Set: set, Disk: f.numbers,
		Host: o.Save.Host, Time: f.now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	f.disks = append(f.disks, d)
	return f.equip(d, o)
}

// open begins the next pack of a class.
func (f *fleet) open(class manifest.Class) (pack.Target, error) {
	var first error
	turn := int(f.next.Add(1) - 1) // taken once: packs begun at the same time must not make each other miss a disk
	for i := range f.disks {
		d := f.disks[(turn+i)%len(f.disks)]
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
