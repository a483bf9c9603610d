package seed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"waybill/internal/pack"
	"waybill/manifest"
	"waybill/seed/disk"
)

// begin opens the disks that the set has, and makes new ones of the rest.
func begin(ctx context.Context, o *Options, set manifest.ID) (*fleet, error) {
	f, err := newFleet(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := f.take(o.Disks, set); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// take adds disks to the fleet: ones that were begun, and new ones. Nothing is changed on any
// before all are known to be right. It fails with disk.ErrForeign, and adds none, when one is not.
func (f *fleet) take(paths []string, set manifest.ID) error {
	f.forget(func(d *disk.Disk) bool { return f.loads[d].failed != nil && among(d.Path(), paths) }) // it is connected again
	before := len(f.disks)
	fresh, roles, err := f.examine(paths, before, set)
	if err != nil {
		for _, d := range f.disks[before:] {
			d.Close()
			delete(f.loads, d)
		}
		f.disks = f.disks[:before]
		return err
	}
	if err := f.resume(f.disks[before:], set); err != nil {
		return err
	}
	for _, path := range fresh {
		if err := f.add(path, set, roles[path]); err != nil {
			return err
		}
	}
	slices.SortFunc(f.disks, func(a, b *disk.Disk) int { return a.Label().Disk - b.Label().Disk })
	return nil
}

// examine opens the disks that were begun, beside those that were there before, finds out which are new, and makes sure that all may be used.
func (f *fleet) examine(paths []string, before int, set manifest.ID) (fresh []string, roles map[string]string, err error) {
	if fresh, err = f.gather(paths); err != nil {
		return nil, nil, err
	}
	for _, d := range f.disks {
		if err := f.check(d, set); err != nil {
			return nil, nil, err
		}
	}
	if err := f.once(before); err != nil {
		return nil, nil, err
	}
	for _, path := range fresh {
		m, err := f.o.medium(path)
		if err != nil {
			return nil, nil, err
		}
		if err := errors.Join(m.Usable(), m.Close()); err != nil {
			return nil, nil, err
		}
	}
	roles, err = f.roles(fresh)
	return fresh, roles, err
}

// gather opens the disks that were begun, and returns the paths of the others.
func (f *fleet) gather(paths []string) (fresh []string, err error) {
	var seen []string
	for _, d := range f.disks {
		seen = append(seen, d.Path())
	}
	for _, path := range paths {
		m, err := f.o.medium(path)
		if err != nil {
			return nil, err
		}
		if among(m.Path(), seen) {
			m.Close()
			return nil, fmt.Errorf("%s: %w: it was given twice", path, disk.ErrForeign)
		}
		seen = append(seen, m.Path())
		d, err := disk.OpenOn(m)
		if errors.Is(err, disk.ErrNoDisk) {
			fresh = append(fresh, path)
			continue
		}
		if err != nil {
			return nil, err
		}
		f.hold(d)
	}
	return fresh, nil
}

// medium opens the medium at a path.
func (o *Options) medium(path string) (disk.Medium, error) {
	if o.Medium != nil {
		return o.Medium(path)
	}
	return disk.Directory(path)
}

// among tells whether a directory is one of others.
func among(path string, others []string) bool {
	info, err := os.Stat(path)
	return slices.ContainsFunc(others, func(other string) bool {
		there, oerr := os.Stat(other)
		return path == other || err == nil && oerr == nil && os.SameFile(info, there)
	})
}

// hold takes an open disk into the fleet, which closes it.
func (f *fleet) hold(d *disk.Disk) {
	f.disks = append(f.disks, d)
	f.loads[d] = &load{}
}

// forget takes disks out of the fleet again.
func (f *fleet) forget(which func(*disk.Disk) bool) { f.disks = slices.DeleteFunc(f.disks, which) }

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

// counted tells whether commits count a disk. Its number alone doesn't tell: a run that died before it committed anything may have given
// it away, and the next one again. So when they place packs on that disk, one must be here, or the first of the commits.
func (f *fleet) counted(d *disk.Disk) (bool, error) {
	n, first := d.Label().Disk, ""
	var names []string
	for _, link := range f.links {
		if m := link.Manifest; first == "" && m.Disks >= n {
			first = manifest.ManifestName(f.machine, m.Sequence)
		}
		for _, p := range link.Manifest.Packs {
			if p.Disk == n {
				names = append(names, manifest.PackName(f.machine, p.Name))
			}
		}
	}
	if n > f.committed || len(names) == 0 {
		return n <= f.committed, nil
	}
	for _, name := range append([]string{first}, names...) {
		_, err := d.Size(f.ctx, name)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("looking for %s on disk %d (%s): %w", name, n, d.Path(), err)
		}
	}
	return false, nil
}

// once makes sure that no two disks have a number that commits count. So many of them have theirs from this run.
func (f *fleet) once(before int) error {
	at := map[int]string{}
	for i, d := range f.disks {
		n := d.Label().Disk
		if i >= before {
			mine, err := f.counted(d)
			if err != nil {
				return err
			}
			if !mine {
				continue // it gets another
			}
		}
		if other, ok := at[n]; ok {
			return fmt.Errorf("%s: %w: it is disk %d, and so is %s", d.Path(), disk.ErrForeign, n, other)
		}
		at[n] = d.Path()
	}
	return nil
}

// resume brings the disks that were begun what they lack. One that no commit counts yet is numbered anew, so that numbers have no gaps.
func (f *fleet) resume(disks []*disk.Disk, set manifest.ID) error {
	for _, d := range disks {
		if err := d.Sweep(); err != nil {
			return err
		}
		mine, err := f.counted(d)
		if err != nil {
			return err
		}
		if l := d.Label(); !mine && !f.vacant(d) {
			f.numbers++
			l.Set, l.Disk = set, f.numbers
			if err := d.SetLabel(l); err != nil {
				return err
			}
		}
		if err := f.equip(d); err != nil {
			return err
		}
	}
	return nil
}

// vacant tells whether a disk has its number from this run, and was forgotten since.
func (f *fleet) vacant(d *disk.Disk) bool {
	n := d.Label().Disk
	return n > f.committed && n <= f.numbers && !slices.ContainsFunc(f.disks, func(o *disk.Disk) bool { return o != d && o.Label().Disk == n })
}

// roles chooses which of the new disks carry parity: the largest, of equals the last.
func (f *fleet) roles(fresh []string) (map[string]string, error) {
	roles, want := map[string]string{}, f.o.ParityDisks
	for _, d := range f.disks {
		if d.Label().Role == disk.RoleParity {
			want--
		}
	}
	if want <= 0 || len(fresh) == 0 {
		return roles, nil
	}
	if want > len(fresh) || want == len(fresh) && len(f.data()) == 0 {
		return nil, fmt.Errorf("of %d new disks %d shall carry parity: %w", len(fresh), want, ErrNoData)
	}
	type candidate struct {
		path string
		free int64
	}
	var all []candidate
	for _, path := range fresh {
		m, err := f.o.medium(path)
		if err != nil {
			return nil, err
		}
		free, err := m.Free()
		if err = errors.Join(err, m.Close()); err != nil {
			return nil, err
		}
		all = append(all, candidate{path, free >> 20}) // a few blocks make no difference
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b candidate) int { return int(b.free - a.free) })
	for _, c := range all[:want] {
		roles[c.path] = disk.RoleParity
	}
	return roles, nil
}

// add begins a new disk.
func (f *fleet) add(path string, set manifest.ID, role string) error {
	f.numbers++
	l := disk.Label{Vault: f.o.Domain.Machine.Vault, Machine: f.machine, Set: set, Disk: f.numbers, Role: role, Parity: f.o.Parity.String(),
		Host: f.o.Save.Host, Time: f.now().UTC().Truncate(time.Second)}
	if f.o.Serial != nil {
		l.Serial = f.o.Serial(path)
	}
	m, err := f.o.medium(path)
	if err != nil {
		return err
	}
	d, err := disk.CreateOn(m, l)
	if err != nil {
		return err
	}
	f.hold(d)
	return f.equip(d)
}

// equip gives a disk the documents that make it enough, with the passphrase, to restore, and all commits so far.
func (f *fleet) equip(d *disk.Disk) error {
	for name, b := range f.o.Copies {
		if err := d.Put(f.ctx, name, bytes.NewReader(b)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("writing %s to disk %d: %w", name, d.Label().Disk, err)
		}
	}
	for _, link := range f.links {
		body, err := link.Manifest.Encode()
		if err != nil {
			return err
		}
		name := manifest.SignatureName(f.machine, link.Manifest.Sequence, link.Digest)
		signature, err := f.o.Domain.ReadObject(f.ctx, name)
		if err == nil {
			err = d.Publish(f.ctx, link.Manifest, link.Digest, body, signature)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// adopt finds on the disks the packs that were finished and that no commit lists. What is neither known nor listed is removed. A disk that
// can't be read is left behind.
func (f *fleet) adopt() (adopted []pack.Finished) {
	listed := f.listed()
	for _, d := range f.data() {
		some, err := f.adoptFrom(d, listed)
		if err != nil {
			f.fail(d, err)
			continue
		}
		adopted = append(adopted, some...)
	}
	f.lostOne()
	return adopted
}

// listed is the packs that are in a commit.
func (f *fleet) listed() map[manifest.Digest]bool {
	listed := map[manifest.Digest]bool{}
	for _, link := range f.links {
		for _, p := range link.Manifest.Packs {
			listed[p.Name] = true
		}
	}
	return listed
}

func (f *fleet) adoptFrom(d *disk.Disk, listed map[manifest.Digest]bool) (adopted []pack.Finished, err error) {
	l := &load{}
	var keep []pack.Finished
	drop := map[manifest.Digest]bool{}
	err = d.List(f.ctx, manifest.PacksPrefix(f.machine), func(name string, size int64) error {
		_, digest, ok := manifest.ParsePackName(name)
		if !ok {
			return nil
		}
		if !listed[digest] {
			p, ok := f.known(d, digest, size)
			if !ok {
				drop[digest] = true
				return nil
			}
			keep = append(keep, p)
		}
		l.stored += size
		return nil
	})
	if err == nil {
		err = d.Tidy(f.ctx, func(name manifest.Digest) bool { return !drop[name] })
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l.full = f.loads[d].full
	f.loads[d] = l
	return keep, err
}

// known is a pack that was finished, with its table; false when it isn't, or can't be read: then it is written once more.
func (f *fleet) known(d *disk.Disk, name manifest.Digest, size int64) (pack.Finished, bool) {
	p, ok := f.finished[name]
	if !ok || p.Size != size {
		return pack.Finished{}, false
	}
	table, err := f.o.Domain.TableIn(f.ctx, d, p)
	p.Disk = d.Label().Disk
	return pack.Finished{Pack: p, Table: table}, err == nil
}

// tidy removes from a disk what no commit lists.
func (f *fleet) tidy(d *disk.Disk) error {
	listed := f.listed()
	return d.Tidy(f.ctx, func(name manifest.Digest) bool { return listed[name] })
}
