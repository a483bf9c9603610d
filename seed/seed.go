// Package seed makes the first full backup of a machine on disks that travel.
//
// [Run] saves the selection with the common engine onto all disks at once, and seals
// them when the recovery point is complete. Disks may differ in size and speed. When one fails, the others
// go on; when all are full, the next is asked for. Each commit goes to every disk that is there, so any one
// of them can be checked alone. Catalogue packs and commits are kept locally too: the machine's
// incrementals begin from them while the disks are on their way.
//
// The engine runs in attempts. An attempt ends with the point, when a disk fails, or with a checkpoint when the disks are full; the next one goes
// on from the last checkpoint, and takes over the packs that were finished since. A seed that was interrupted is resumed the
// same way, by running it again. Full disks need not be connected then.
//
// The package does not ship, import or restore anything.
package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"

	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/durable"
	"waybill/internal/pack"
	"waybill/internal/save"
	"waybill/manifest"
	"waybill/seed/disk"
	"waybill/seed/disk/databox"
	"waybill/seed/disk/parity"
)

var (
	// ErrSeeded says that the machine has a complete recovery point already.
	ErrSeeded = errors.New("the machine has a complete recovery point already")
	// ErrNextDisk says that the seed can't go on without a further disk: what is done is kept.
	ErrNextDisk = errors.New("another disk is needed")
	// ErrNoData says that all disks at hand are for parity.
	ErrNoData = errors.New("no disk is left for the backup")
	// ErrNothing says that there is no interrupted seed to go on with.
	ErrNothing = errors.New("there is no interrupted seed")
)

// A Cache keeps what the machine needs of a seed while its disks travel.
type Cache interface {
	Put(ctx context.Context, name string, body io.ReadSeeker) error
}

// A Ledger remembers the packs that were finished and are in no commit yet, so that a run after a crash needn't write them again. It is a
// hint: what it forgot is written once more.
type Ledger interface {
	Add(manifest.Pack) error // may be called by several goroutines at once
	Packs() ([]manifest.Pack, error)
	Clear() error
}

// Options say how to seed. Disks, Domain, Cache and Save are needed.
type Options struct {
	Disks  []string                               // directories, or what Medium knows; new ones are begun, those of the interrupted set go on
	Medium func(path string) (disk.Medium, error) // opens what Disks name; nil: directories
	Domain *domain.Domain                         // read from the cache, the vault, and the disks that have been begun
	Cache  Cache                                  // keeps catalogue packs and commits on this machine
	Ledger Ledger                                 // nil: only this run itself remembers
	Copies map[string][]byte
	Key    manifest.PublicKey // of the machine, for the disks' README
	NewSet func() manifest.ID
	Save   save.Config // all but Base, Reason, Volumes, Destination, Known, Set, Disks, Lanes and Adopted

	Volumes volumes.Options // how the volumes are held still; their cursors are what incrementals go on from

	Parity      parity.Scheme            // within each disk
	ParityDisks int                      // how many of the new disks carry parity of the others: the largest
	Serial      func(path string) string // of the device that a directory is on; may be nil
	Note        string                   // for the custody log
	Again       bool                     // seal disks that are sealed once more: beside a disk of parity they come to be covered by it

	// Next is asked when the seed can't go on for want of room, with why, and returns further disks' directories; it is asked again when
	// one of them can't be used. Without any, or when it is nil, the run ends with ErrNextDisk.
	Next func(ctx context.Context, why error) ([]string, error)
	// Failed is told of each disk that failed and was left behind; may be nil.
	Failed func(disk.Label, string, error)

	Sealing              func()       // told before disks are sealed; may be nil
	SealBytes, SealTotal atomic.Int64 // read back so far, and about how much there is to be
}

// A Report says what a seed came to.
type Report struct {
	*save.Result // of the last attempt; Packs are all attempts'
	Set          manifest.ID
	Disks        []disk.Label // sealed by this run
	Absent       []int        // numbers of the set's disks that were not there to be sealed
	Resumed      bool
}

// Run seeds. When ctx is cancelled, or the disks are full and there is no next, what is done has been committed as a
// partial point or is done again; running once more goes on. When the point is complete but disks of the set were not sealed,
// those given are; else it is ErrSeeded. A disk that can't be sealed is an error, and the others are sealed all the same. The report is nil when
// nothing was committed.
func Run(ctx context.Context, o *Options) (_ *Report, err error) {
	last, err := o.last(ctx)
	if err != nil {
		return nil, err
	}
	if last != nil && last.State == catalog.Complete {
		return finish(ctx, o, last)
	}
	r := &Report{Set: setOf(o.Domain.Chain)}
	if r.Resumed = r.Set != ""; !r.Resumed {
		r.Set = o.NewSet()
	}
	f, err := begin(ctx, o, r.Set)
	if err != nil {
		return nil, err
	}
	defer f.close()
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
	cfg.Set, cfg.Known, cfg.Destination, cfg.Disks = r.Set, o.Domain, f, func() int { return f.numbers }
	if cfg.Progress == nil {
		cfg.Progress = &save.Progress{}
	}
	held, err := volumes.Prepare(ctx, &cfg, o.Volumes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	if err := f.fill(ctx, cfg, r); err != nil {
		if r.Result == nil {
			return nil, err
		}
		return r, err
	}
	return r, f.seal(ctx, r)
}

// last is the machine's newest point, nil when there is none.
func (o *Options) last(ctx context.Context) (*domain.Point, error) {
	if o.Domain.Flaw != nil {
		return nil, fmt.Errorf("the machine's chain of commits is not sound: %w", o.Domain.Flaw)
	}
	last, err := o.Domain.Last(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the last recovery point: %w", err)
	}
	return last, nil
}

// fill runs attempts until the point is complete. Each attempt that is followed by another on the same disks has got on, or has found one of them
// to be full or to have failed; so they come to an end.
func (f *fleet) fill(ctx context.Context, cfg save.Config, r *Report) error {
	for {
		before := f.progress()
		err := f.attempt(ctx, &cfg, r)
		stuck := false
		switch {
		case err == nil || ctx.Err() != nil || errors.As(err, new(*keepError)):
			return err
		case f.lostOne():
			cfg.Reason = "a disk failed, and the others went on"
		case errors.Is(err, durable.ErrFull):
			cfg.Reason = "the disks were full"
			f.noted, stuck = err, f.progress() == before
		default:
			return err
		}
		for ; stuck || f.room() == nil; stuck = false {
			if err := f.next(ctx, r.Set); err != nil {
				return err
			}
		}
	}
}

// attempt runs the engine once, from the last checkpoint on.
func (f *fleet) attempt(ctx context.Context, cfg *save.Config, r *Report) error {
	cfg.Adopted = f.adopt()
	f.size = f.packSizes(cfg)
	run := *cfg
	run.DataPack, run.Lanes = f.size[manifest.Data], max(1, len(f.data()))
	for _, d := range f.disks { // those that came later, too
		if d.Remote() {
			continue
		}
		path, err := filepath.Abs(d.Path())
		if err != nil {
			return err
		}
		run.Skip = append(slices.Clone(run.Skip), path)
	}
	run.Progress.Files.Store(0) // it looks at all of the tree again
	run.Progress.Bytes.Store(0)
	ctx, f.stop = context.WithCancelCause(ctx)
	defer f.stop(nil)
	result, err := save.Run(ctx, run)
	if result == nil {
		return err
	}
	if r.Result != nil {
		result.Packs = append(r.Result.Packs, result.Packs...)
	}
	r.Result = result
	cfg.Base = &save.Base{ID: result.ID, Point: result.Point, Loader: f.o.Domain, Lost: domain.Lost}
	cfg.Writer.Sequence, cfg.Writer.Head = result.Manifest.Sequence, result.ID
	return err
}

// packSizes is how large packs should be: data packs less on small disks, so that their last part is used too, and more when a Data Box order
// would have too many files.
func (f *fleet) packSizes(cfg *save.Config) map[manifest.Class]int64 {
	size := cfg.DataPack
	if size == 0 {
		var total int64
		disks := f.data()
		for _, d := range disks {
			free, err := d.Free()
			if err != nil {
				continue // it will be found to have failed
			}
			total += free
		}
		size = databox.PackSize(total, max(1, len(disks)))
	}
	if slices.ContainsFunc(f.data(), (*disk.Disk).Remote) {
		size = min(size, disk.MaxBlobPack)
	}
	return map[manifest.Class]int64{manifest.Data: min(size, pack.MaxPack), manifest.Catalogue: max(cfg.CataPack, 16<<20)}
}

// next asks for further disks and takes them in.
func (f *fleet) next(ctx context.Context, set manifest.ID) error {
	why := fmt.Errorf("%w: %w", ErrNextDisk, f.noted)
	if f.o.Next == nil {
		return why
	}
	ask := f.noted
	for {
		paths, err := f.o.Next(ctx, ask)
		if err != nil {
			return errors.Join(why, err)
		}
		if len(paths) == 0 {
			return why
		}
		if ask = f.take(paths, set); !errors.Is(ask, disk.ErrForeign) {
			return ask
		} // else the wrong one was given: no reason to end after days
	}
}

// finish seals those of a seed's disks that it was stopped before: the point is complete, and there may be
// later ones that rest on it. Disks may come one by one.
func finish(ctx context.Context, o *Options, last *domain.Point) (*Report, error) {
	seeded := fmt.Errorf("%w, commit %d", ErrSeeded, last.Manifest.Sequence)
	r := &Report{Set: setOf(o.Domain.Chain), Resumed: true,
		Result: &save.Result{Commit: save.Commit{Manifest: last.Manifest, ID: last.Digest}, Point: last.Point}}
	f, err := newFleet(ctx, o)
	if err != nil {
		return nil, err
	}
	defer f.close()
	fresh, err := f.gather(o.Disks)
	if err != nil {
		return nil, err
	}
	sealed := f.setAside(r.Set)
	if again := o.Again && len(sealed) > 0; len(fresh) > 0 || len(f.disks) == 0 && !again {
		return nil, seeded
	}
	for _, d := range f.disks {
		if err := f.check(d, r.Set); err != nil {
			return nil, err
		}
		mine, err := f.counted(d)
		if err != nil {
			return nil, err
		}
		if !mine {
			return nil, fmt.Errorf("disk %d (%s): %w: nothing of the seed is on it", d.Label().Disk, d.Path(), disk.ErrForeign)
		}
	}
	if err := f.resume(f.disks, r.Set); err != nil {
		return nil, err
	}
	for _, d := range f.disks {
		if err := f.tidy(d); err != nil {
			return nil, err
		}
	}
	f.disks = append(f.disks, sealed...)
	return r, f.seal(ctx, r)
}

// setAside takes the sealed disks of the set out of the fleet. Some come back to be sealed once more: those of parity, with what
// comes later, and all when they were named to be sealed again.
func (f *fleet) setAside(set manifest.ID) (back []*disk.Disk) {
	f.forget(func(d *disk.Disk) bool {
		l := d.Label()
		mine := l.State == disk.Sealed && l.Set == set
		if mine && (f.o.Again || l.Role == disk.RoleParity) {
			back = append(back, d)
		}
		return mine
	})
	return back
}

// setOf is the set of the machine's seed; empty when none has been begun.
func setOf(c manifest.Chain) manifest.ID {
	for i := len(c.Links) - 1; i >= 0; i-- {
		if set := c.Links[i].Manifest.Set; set != "" {
			return set
		}
	}
	return ""
}
