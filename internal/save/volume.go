package save

import (
	"context"
	"slices"
	"time"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/source"
	"waybill/manifest"
)

// A Volume is a file system, or a subvolume of one, that the selection reaches.
//
// With Dirty it is not walked: what its journal doesn't name is taken from the base as it is. That is sound when the base's selection was the
// same, and Dirty tells all that changed since From.
type Volume struct {
	Path   string                         // where it is mounted: absolute, with all links resolved
	Open   func() (*source.Dir, error)    // opens its root, as in a snapshot; nil: what is found at Path
	Bound  bool                           // it is a part of the file system that it is mounted in, though that may be read from a snapshot
	Dirty  *journal.Dirty                 // nil: all of it is looked at. Run adds to it
	From   *catalog.JournalCursor         // what Dirty begins at; a partial point keeps it
	Ranges Ranges                         // may be nil
	Record catalog.Volume                 // what a complete point says of it, but for Missed; without a Mode, nothing
	Sweep  bool                           // look at all of it in spite of Dirty, and note in Missed what that lacked
	Later  func() (*journal.Dirty, error) // what changed after Dirty's end until now, for volumes not held still
	// Reuses is a moment before Dirty's end, for volumes not held still where the id of a directory that is gone may be given to a new one: of those
	// made since, Dirty tells nothing. Zero: there are none.
	Reuses time.Time
}

// Ranges tell which parts of a large file are to be read again. They are called by several goroutines at once.
type Ranges interface {
	// Changed returns the stretches of the file, ascending, that may differ from what old's content says; ok is false when that can't be told.
	Changed(f *source.File, old *catalog.Entry) (list []journal.Range, ok bool)
	// Saved is told of a file that was read, and did not change meanwhile, with its final entry.
	Saved(f *source.File, e *catalog.Entry)
}

// A place is a directory's name where a volume begins, or on the way to one.
type place struct {
	volume   *Volume // nil: only on the way
	children map[string]*place
}

// of returns the place of a name in this one, nil when there is none.
func (p *place) of(name []byte) *place {
	if p == nil {
		return nil
	}
	return p.children[string(name)]
}

// add returns the place at the end of the names.
func (p *place) add(names []string) *place {
	for _, name := range names {
		child := p.children[name]
		if child == nil {
			child = &place{}
			if p.children == nil {
				p.children = map[string]*place{}
			}
			p.children[name] = child
		}
		p = child
	}
	return p
}

// arrangeVolumes finds a place for each volume, and adds to what is dirty what only the base can tell.
func (s *session) arrangeVolumes(ctx context.Context) error {
	s.places = &place{}
	dirty := false
	for i := range s.cfg.Volumes {
		v := &s.cfg.Volumes[i]
		s.places.add(names(v.Path)).volume = v
		if s.cfg.Base == nil || s.cfg.Wary {
			v.Dirty = nil
		}
		dirty = dirty || v.Dirty != nil
	}
	for _, path := range s.cfg.Mounts {
		s.places.add(names(path))
	}
	s.remounted = s.cfg.Base != nil && !slices.Equal(s.cfg.mounted(), mounted(s.cfg.Base.Point))
	if !dirty {
		return nil
	}
	if err := s.remind(ctx); err != nil {
		return err
	}
	if err := s.askBase(ctx); err != nil {
		return err
	}
	for i := range s.cfg.Volumes {
		v := &s.cfg.Volumes[i]
		if v.Dirty != nil && v.Dirty.Overflow {
			v.distrust(journal.Overflown)
		}
		s.carries = s.carries || v.carried()
	}
	return nil
}

// mounted are the paths of all that was mounted when a point was made, ascending.
func mounted(p *catalog.Point) []string {
	all := slices.Clone(p.Mounts)
	for _, v := range p.Volumes {
		all = append(all, v.Path)
	}
	slices.Sort(all)
	return all
}

// mounted are those of the point to be made.
func (c *Config) mounted() []string {
	all := escapePaths(c.Mounts)
	for _, v := range c.Volumes {
		if v.Record.Mode != "" {
			all = append(all, manifest.EscapePath([]byte(v.Path)))
		}
	}
	slices.Sort(all)
	return all
}

// carried tells whether entries of the volume that its journal doesn't name are taken from the base.
func (v *Volume) carried() bool { return v != nil && v.Dirty != nil && !v.Sweep }

// distrust has all of the volume looked at.
func (v *Volume) distrust(reason string) {
	v.Dirty, v.Record.Mode, v.Record.Reason = nil, catalog.Unoptimised, reason
}

// volumeOf is the volume of a directory that is being entered, whose place is here.
func (d *dir) volumeOf() *Volume {
	switch {
	case d.place != nil && d.place.volume != nil:
		return d.place.volume
	case d.parent != nil && d.parent.dev == d.dev:
		return d.parent.volume
	}
	return nil
}

// open opens the directory called name in parent, which is the place's, if it has one.
func (p *place) open(parent *dir, name []byte) (*source.Dir, error) {
	if p != nil && p.volume != nil && p.volume.Open != nil {
		return p.volume.Open()
	}
	return parent.src.OpenDir(name)
}

// carried tells the same of the directory's volume.
func (d *dir) carried() bool { return d.volume.carried() }

// trusts tells whether what the journal doesn't name in d is as in the base: which it is for the very directory that the base has.
func (w *worker) trusts(d *dir) bool {
	if !d.carried() || d.rescan || d.base == nil || d.only.leads() {
		return false
	}
	kind, flags, inode := catalog.Identity(d.base)
	if kind != catalog.Directory || inode != d.entry.Inode || flags&catalog.Unreadable != 0 {
		return false
	}
	if d.isNew() {
		d.rescan = true
		return false
	}
	d.dirt = d.volume.Dirty.Dirs[inode]
	return true
}

// isPartial tells whether an entry of the base is of something that an interrupted run was at, and no journal can tell what is left of it.
func isPartial(raw []byte) bool {
	if raw == nil {
		return false
	}
	_, flags, _ := catalog.Identity(raw)
	return flags&catalog.Partial != 0
}

// isNew tells whether a directory that has the base's id may be another for all that, made since the journal was asked. What the base has in that of the
// same id is not of now: Dirty knows no way to what changed there before it went, and the next run would go by it wherever
// something of it, by its own id, turned up.
func (d *dir) isNew() bool {
	from := d.volume.Reuses
	if from.IsZero() || d.place != nil && d.place.volume != nil {
		return false
	}
	const ticks = time.Second // clocks of file systems go in steps
	from = from.Add(-ticks)
	if born, ok := d.src.Born(); ok {
		return born.After(from)
	}
	return time.Unix(d.entry.Ctime.Sec+1, 0).After(from)
}

// leads tells whether there is something to look at in a directory that is trusted, or below it.
func (d *dir) leads() bool {
	return d.volume.Dirty.Leads(d.entry.Inode) || d.place != nil && len(d.place.children) > 0 || d.only != nil && len(d.only.children) > 0
}

// keeps tells whether an entry of a trusted directory is the base's.
func (w *worker) keeps(d *dir, i int) bool {
	raw, name := d.slots[i], d.list.Name(i)
	if raw == nil || d.dirt.Has(name) || d.place.of(name) != nil {
		return false
	}
	if root, _ := d.only.of(name); root != nil {
		return false
	}
	kind, flags, inode := catalog.Identity(raw)
	if kind == 0 || flags&catalog.Partial != 0 || d.list.Inode(i) != inode && flags&catalog.MountPoint == 0 {
		return false
	}
	return kind != catalog.Directory || !d.volume.Dirty.Leads(inode)
}

// match makes sure that a slot's base entry is of what is there now, if the run goes by identity.
func (w *worker) match(d *dir, i int, st *source.Stat) {
	raw := d.slots[i]
	if raw == nil || !w.s.carries {
		return
	}
	if here := d.place.of(d.list.Name(i)); here != nil && here.volume != nil {
		return // what is mounted is asked, not what it is mounted on
	}
	kind, _, inode := catalog.Identity(raw)
	switch {
	case kind != catalog.Kind(st.Kind) || inode != st.Inode && d.carried():
		w.orphaned(d, raw)
		d.changed.Store(true)
		d.slots[i] = nil
	case kind != catalog.Directory:
		w.forget(raw)
	}
}

// mustRead tells whether a file's content has to be read whatever its size and times are.
func (d *dir) mustRead(st *source.Stat) bool {
	if d.volume == nil || d.volume.Dirty == nil {
		return false
	}
	f := d.volume.Dirty.Files[st.Inode]
	return f != nil && f.Read
}

// enterMoved enters a directory that was elsewhere in the base. Where other patterns leave things out than did there, all of
// it is looked at.
func (w *worker) enterMoved(parent *dir, slot int, x orphan) error {
	rescan := parent.rescan || x.scope != parent.scope.Enter(parent.list.Name(slot)) || w.s.remounted
	return w.enterWith(parent, slot, x.entry, rescan)
}
