package save

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/source"
	"waybill/manifest"
)

// A trail is the way from the base's root to a directory of it.
type trail []step

type step struct {
	volume *Volume
	inode  uint64
	place  *place
}

// enter is the trail of a directory in the last one's.
func (t trail) enter(s *session, e *catalog.Entry) trail {
	next := step{inode: e.Inode}
	if len(t) == 0 {
		next.place = s.places
	} else {
		up := t[len(t)-1]
		next.place = up.place.of(e.Name)
		if e.Flags&catalog.MountPoint == 0 {
			next.volume = up.volume
		}
	}
	if next.place != nil && next.place.volume != nil {
		next.volume = next.place.volume
	}
	return append(t, next)
}

// name has a name in the trail's last directory looked at, if its volume is not walked anyway.
func (t trail) name(name []byte) {
	last := t[len(t)-1]
	if d := last.volume.dirty(); d != nil {
		d.Name(last.inode, name)
		t.lead(d)
	}
}

// turn has what is gone from the trail's last directory looked for.
func (t trail) turn() {
	last := t[len(t)-1]
	d := last.volume.dirty()
	if d == nil {
		return
	}
	if x := d.Dirs[last.inode]; x != nil && x.Turns {
		return
	}
	d.Turn(last.inode)
	t.lead(d)
}

// lead has the way to the trail's last directory lead there. Where it was moved since, with what is above it, the journal told of that, and leads to what was moved.
func (t trail) lead(d *journal.Dirty) {
	volume := t[len(t)-1].volume
	for i := len(t) - 1; i >= 0 && t[i].volume == volume; i-- {
		d.Lead(t[i].inode)
	}
}

// remind has all looked at again that was a problem in the base, for what could not be read may be readable by now, and what was left
// out only then, or is only now, and where something was mounted that is no more.
func (s *session) remind(ctx context.Context) error {
	base := s.cfg.Base.Point
	root, err := base.RootEntry()
	if err != nil {
		return err
	}
	var paths []string
	for _, p := range base.Problems {
		paths = append(paths, p.Path)
	}
	left := s.cfg.leftOut()
	for _, p := range slices.Concat(left, base.LeftOut) {
		if slices.Contains(left, p) != slices.Contains(base.LeftOut, p) {
			paths = append(paths, p)
		}
	}
	now := s.cfg.mounted()
	for _, p := range mounted(base) {
		if !slices.Contains(now, p) {
			paths = append(paths, p)
		}
	}
	for _, p := range paths {
		path, err := manifest.UnescapePath(p)
		if err != nil {
			return err
		}
		if err := s.remindOf(ctx, root, path); err != nil && !s.lost(err) {
			return err
		}
	}
	return nil
}

// leftOut are the directories of Skip as paths of the tree.
func (c *Config) leftOut() (all []string) {
	for _, p := range c.Skip {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		p, _ = source.TreePath(p)
		all = append(all, manifest.EscapePath([]byte("/"+strings.Join(names(p), "/"))))
	}
	return all
}

func (s *session) remindOf(ctx context.Context, e catalog.Entry, path []byte) error {
	var way trail
	for name := range bytes.SplitSeq(path, []byte("/")) {
		if len(name) == 0 {
			continue
		}
		way = way.enter(s, &e)
		way.name(name)
		var err error
		if e, err = catalog.Lookup(ctx, s.cfg.Base.Loader, e.Node, name); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if e.Kind != catalog.Directory {
			return nil
		}
	}
	return nil
}

// askBase looks in the base for the names of files of which their journal could not tell all, and for those of files
// that are gone, where it knows only what there is. That takes a walk over the base's tree, so it is done only for such volumes.
func (s *session) askBase(ctx context.Context) error {
	if !slices.ContainsFunc(s.cfg.Volumes, func(v Volume) bool { return v.asks() }) {
		return nil
	}
	root, err := s.cfg.Base.Point.RootEntry()
	if err != nil {
		return err
	}
	return s.askBaseIn(ctx, trail{}.enter(s, &root), root.Node)
}

func (s *session) askBaseIn(ctx context.Context, way trail, node pack.ID) error {
	v := way[len(way)-1].volume
	var changed map[string]bool // directories in which something did
	c := catalog.NewCursor(ctx, s.cfg.Base.Loader, node)
	for raw := c.Next(); raw != nil; raw = c.Next() {
		gone := way.ask(raw, changed)
		if kind, _, _ := catalog.Identity(raw); kind != catalog.Directory {
			continue
		}
		e, err := catalog.ParseEntry(raw)
		if err != nil {
			return err
		}
		below := way.enter(s, &e)
		if last := below[len(below)-1]; last.place == nil && (gone || !last.volume.asks()) {
			continue
		}
		if err := s.askBaseIn(ctx, below, e.Node); err != nil {
			return err
		}
		if d := v.dirty(); d != nil && d.Alive != nil && d.Dirs[e.Inode] != nil {
			if changed == nil {
				changed = map[string]bool{}
			}
			changed[string(catalog.EntryName(raw))] = true
		}
	}
	if err := c.Err(); s.lost(err) {
		if v != nil { // names may have been in what is lost
			v.distrust("part of the last recovery point can't be read")
		}
		return nil
	}
	return c.Err()
}

// ask sees whether an entry of the base in the trail's last directory has to be looked at, and tells whether it is of a file that is gone. What changed in
// a directory changed its times, and those of its streams, which come behind it.
func (t trail) ask(raw []byte, changed map[string]bool) (gone bool) {
	d := t[len(t)-1].volume.dirty()
	kind, flags, inode := catalog.Identity(raw)
	if d == nil || flags&catalog.MountPoint != 0 {
		return false
	}
	name := catalog.EntryName(raw)
	if _, ok := d.Links[inode]; ok && kind != catalog.Directory {
		t.name(name)
	}
	if d.Alive == nil {
		return false
	}
	if owner, _, stream := bytes.Cut(name, []byte(":")); stream {
		if changed[string(owner)] {
			t.name(name)
		}
		return false
	}
	gone = !d.Alive.Has(inode)
	if gone || d.Files[inode] != nil || d.Dirs[inode] != nil {
		t.turn()
	} else if kind == catalog.Directory && !hasTimes(d, raw) {
		d.Dir(inode)
		t.lead(d)
	}
	return gone
}

// hasTimes tells whether a directory has the times that the base has of it. One that can't be asked has not.
func hasTimes(d *journal.Dirty, raw []byte) bool {
	e, err := catalog.ParseEntry(raw)
	if err != nil {
		return false
	}
	modified, changed, err := d.Times(e.Inode)
	return err == nil && e.Mtime == timeOf(modified) && e.Ctime == timeOf(changed)
}

// dirty is what is dirty in a volume that is not walked.
func (v *Volume) dirty() *journal.Dirty {
	if v == nil {
		return nil
	}
	return v.Dirty
}

// asks tells whether what is dirty in the volume depends on what the base has.
func (v *Volume) asks() bool {
	d := v.dirty()
	return d != nil && (len(d.Links) > 0 || d.Alive != nil)
}
