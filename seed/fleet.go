package seed

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"waybill/internal/durable"
	"waybill/internal/pack"
	"waybill/internal/save"
	"waybill/manifest"
	"waybill/seed/disk"
)

// A fleet is the disks being filled, as the engine's destination.
type fleet struct {
	o         *Options
	ctx       context.Context // of what must be finished even when the run is cancelled
	machine   manifest.ID
	now       func() time.Time
	links     []manifest.Link // the machine's commits, those of this run too
	committed int             // how many disks the set has by its commits
	numbers   int             // the highest number of a disk of the set
	choosing  sync.Mutex      // held while a pack looks for a disk: two must not take the same room
	size      map[manifest.Class]int64
	stop      context.CancelCauseFunc // ends the attempt with a checkpoint
	noted     error                   // why the last attempt ended

	mu       sync.Mutex // guards what follows, and of each disk what is in loads
	disks    []*disk.Disk
	loads    map[*disk.Disk]*load
	finished map[manifest.Digest]manifest.Pack // and in no commit yet
}

// A load is how far a disk is.
type load struct {
	open   int   // packs that are being written
	stored int64 // bytes of packs
	full   bool  // it had less room than it said
	failed error // and is left behind
	told   bool  // of the failure
}

// newFleet is a fleet without disks.
func newFleet(ctx context.Context, o *Options) (*fleet, error) {
	f := &fleet{o: o, ctx: context.WithoutCancel(ctx), machine: o.Domain.Machine.Machine, now: o.Save.Now, stop: func(error) {},
		links: slices.Clone(o.Domain.Chain.Links), loads: map[*disk.Disk]*load{}, finished: map[manifest.Digest]manifest.Pack{}}
	if f.now == nil {
		f.now = time.Now
	}
	for _, link := range f.links {
		f.committed = max(f.committed, link.Manifest.Disks)
	}
	f.numbers = f.committed
	if o.Ledger == nil {
		return f, nil
	}
	packs, err := o.Ledger.Packs()
	for _, p := range packs {
		f.finished[p.Name] = p
	}
	return f, err
}

func (f *fleet) close() {
	for d := range f.loads {
		d.Close()
	}
}

// data is the disks that take packs and have not failed.
func (f *fleet) data() []*disk.Disk {
	return f.working(func(l disk.Label) bool { return l.Role != disk.RoleParity })
}

func (f *fleet) working(want func(disk.Label) bool) (some []*disk.Disk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.disks {
		if f.loads[d].failed == nil && want(d.Label()) {
			some = append(some, d)
		}
	}
	return some
}

// fail leaves a disk behind, or only counts it as full. It returns the error with the disk's name.
func (f *fleet) fail(d *disk.Disk, err error) error {
	if !errors.Is(err, durable.ErrFull) {
		return f.leave(d, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads[d].full = true
	return named(d, err)
}

// leave leaves a disk behind, for whatever reason.
func (f *fleet) leave(d *disk.Disk, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err = named(d, err)
	if l := f.loads[d]; l.failed == nil {
		l.failed = err
	}
	return err
}

func named(d *disk.Disk, err error) error {
	return fmt.Errorf("disk %d (%s): %w", d.Label().Disk, d.Path(), err)
}

// lostOne tells whether a disk has failed since it was asked last, and tells the user.
func (f *fleet) lostOne() (lost bool) {
	for _, d := range f.disks {
		l := f.loads[d]
		if l.failed == nil || l.told {
			continue
		}
		lost, l.told, f.noted = true, true, l.failed
		if f.o.Failed != nil {
			f.o.Failed(d.Label(), d.Path(), l.failed)
		}
	}
	return lost
}

// A progress is how far the fleet is: it never has the same twice, unless nothing came of what was done meanwhile.
type progress struct{ commits, finished, full int }

func (f *fleet) progress() progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := progress{commits: len(f.links), finished: len(f.finished)}
	for _, l := range f.loads {
		if l.full {
			p.full++
		}
	}
	return p
}

// room is a disk that has room for another pack of data, nil when none has.
func (f *fleet) room() *disk.Disk {
	for _, d := range f.byTurn() {
		if f.hasRoom(d, f.size[manifest.Data]) == nil {
			return d
		}
	}
	return nil
}

// byTurn is the disks that take packs, the one that should get the next first: with the fewest packs open, then with the fewest bytes.
func (f *fleet) byTurn() []*disk.Disk {
	disks := f.data()
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortStableFunc(disks, func(a, b *disk.Disk) int {
		x, y := f.loads[a], f.loads[b]
		return cmp.Or(cmp.Compare(x.open, y.open), cmp.Compare(x.stored, y.stored))
	})
	return disks
}

// hasRoom is nil when a disk has room for a pack, for the parity of all its packs, and a reserve.
func (f *fleet) hasRoom(d *disk.Disk, size int64) error {
	f.mu.Lock()
	l := *f.loads[d]
	f.mu.Unlock()
	stored := l.stored + int64(l.open+1)*size
	if l.full || f.limit() > 0 && stored > f.limit() {
		return fmt.Errorf("disk %d (%s) has no room for more: %w", d.Label().Disk, d.Path(), durable.ErrFull)
	}
	return d.Room(size, f.o.Parity.Bytes(stored, size)+f.onItsWay(d, size, l.stored))
}

// onItsWay is the room for what the engine still holds when the disks are full, as far as it is more than the disk's own reserve. All disks
// share it, though not evenly. A small disk keeps half at most: else nothing would go to it.
func (f *fleet) onItsWay(d *disk.Disk, size, stored int64) int64 {
	free, err := d.Free()
	if err != nil {
		return 0 // Room will tell
	}
	n := int64(len(f.data()))
	share := min(pack.InFlight(int(n)), 2*pack.InFlight(int(n))/n, (free+stored)/2)
	return max(0, share-min(2*size, disk.Reserve))
}

// limit is how many bytes of packs a disk may carry so that the smallest parity disk can cover it; 0 without parity disks.
func (f *fleet) limit() (limit int64) {
	for _, d := range f.disks {
		if d.Label().Role != disk.RoleParity {
			continue
		}
		free, err := d.Free()
		if err != nil {
			continue
		}
		free -= disk.Reserve
		if free -= f.o.Parity.Bytes(free, f.size[manifest.Data]); limit == 0 || free < limit {
			limit = max(free, 1)
		}
	}
	return limit
}

// Create begins the next pack, on the disk whose turn it is or the next one with room. When none has, it ends the attempt, and what is
// on the way still goes to a disk's reserve.
func (f *fleet) Create(class manifest.Class) (pack.Target, error) {
	f.choosing.Lock()
	defer f.choosing.Unlock()
	var first error
	disks := f.byTurn()
	for _, d := range disks {
		err := f.hasRoom(d, f.size[class])
		if err == nil {
			var t pack.Target
			if t, err = f.begin(d, class, f.size[class]); err == nil {
				return t, nil
			}
		}
		if !errors.Is(err, durable.ErrFull) {
			err = f.fail(d, err)
		}
		if first == nil || !errors.Is(err, durable.ErrFull) {
			first = err
		}
	}
	if first == nil && f.noted == nil {
		return nil, ErrNoData
	}
	if first == nil {
		return nil, fmt.Errorf("no disk is left: %w", f.noted)
	}
	if !errors.Is(first, durable.ErrFull) {
		return nil, first
	}
	f.stop(first)
	for _, d := range disks {
		if t, err := f.begin(d, class, 0); err == nil {
			return t, nil
		}
	}
	return nil, first
}

// begin begins a pack on a disk.
func (f *fleet) begin(d *disk.Disk, class manifest.Class, size int64) (pack.Target, error) {
	file, err := d.NewPack(size)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads[d].open++
	return &target{fleet: f, disk: d, file: file, class: class}, nil
}

// Publish keeps the commit on this machine, and then writes it to every disk. One that can't take it, be it for want of room, is left behind:
// sealed without, it would look whole. What it lacks it gets when the seed goes on with it.
func (f *fleet) Publish(ctx context.Context, c save.Commit) error {
	seq := c.Manifest.Sequence
	err := f.keep(manifest.SignatureName(f.machine, seq, c.ID), c.Signature)
	if err == nil {
		err = f.keep(manifest.ManifestName(f.machine, seq), c.Bytes)
	}
	if err != nil {
		return err
	}
	for _, d := range f.working(func(disk.Label) bool { return true }) {
		if err := d.Publish(ctx, c.Manifest, c.ID, c.Bytes, c.Signature); err != nil {
			f.leave(d, err)
		}
	}
	f.links = append(f.links, manifest.Link{Manifest: c.Manifest, Digest: c.ID})
	f.committed = max(f.committed, c.Manifest.Disks)
	f.mu.Lock()
	clear(f.finished)
	f.mu.Unlock()
	if f.o.Ledger != nil {
		return f.o.Ledger.Clear()
	}
	return nil
}

// A keepError says that this machine could not keep what it must. That is no disk's fault, and no other disk helps.
type keepError struct {
	name string
	err  error
}

func (e *keepError) Error() string {
	return fmt.Sprintf("keeping %s on this machine: %v", e.name, e.err)
}
func (e *keepError) Unwrap() error { return e.err }

// keep stores an object on this machine. One of a name that tells its content may be there already; another manifest of
// that number may not.
func (f *fleet) keep(name string, b []byte) error {
	err := f.o.Cache.Put(f.ctx, name, bytes.NewReader(b))
	if _, _, commit := manifest.ParseManifestName(name); err == nil || errors.Is(err, fs.ErrExist) && !commit {
		return nil
	}
	return &keepError{name, err}
}

// A target is a pack on its way to a disk.
type target struct {
	fleet *fleet
	disk  *disk.Disk
	file  disk.File
	class manifest.Class
	copy  bytes.Buffer // of a catalogue pack, for the cache
}

func (t *target) Write(p []byte) (int, error) {
	if t.class == manifest.Catalogue {
		t.copy.Write(p)
	}
	n, err := t.file.Write(p)
	if err != nil {
		err = t.fleet.fail(t.disk, err)
	}
	return n, err
}

// Commit publishes the pack on its disk and, of the catalogue, in the cache.
func (t *target) Commit(p manifest.Pack) error {
	t.fleet.ended(t.disk, p.Size)
	name := manifest.PackName(t.fleet.machine, p.Name)
	if err := disk.CommitPack(t.file, name, p); err != nil && !errors.Is(err, fs.ErrExist) {
		return t.fleet.fail(t.disk, err)
	}
	if t.class == manifest.Catalogue {
		if err := t.fleet.keep(name, t.copy.Bytes()); err != nil {
			return err
		}
	}
	return t.fleet.finish(p)
}

func (t *target) Abort() {
	t.fleet.ended(t.disk, 0)
	t.file.Abort()
}

// ended counts a pack that is no longer being written.
func (f *fleet) ended(d *disk.Disk, stored int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads[d].open--
	f.loads[d].stored += stored
}

// finish remembers a durable pack until a commit lists it.
func (f *fleet) finish(p manifest.Pack) error {
	f.mu.Lock()
	f.finished[p.Name] = p
	f.mu.Unlock()
	if f.o.Ledger == nil {
		return nil
	}
	return f.o.Ledger.Add(p)
}

// Disk tells the manifest which disk carries the pack.
func (t *target) Disk() int { return t.disk.Label().Disk }
