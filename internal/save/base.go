package save

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

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
	if last.volume == nil || last.volume.Dirty == nil {
		return
	}
	d := last.volume.Dirty
	d.Name(last.inode, name)
	for i := len(t) - 1; i >= 0 && t[i].volume == last.volume; i-- {
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

// nameLinks looks in the base for the names of files of which their journal could not tell all. That
// takes a walk over the base's tree, so it is done only when there are such files.
func (s *session) nameLinks(ctx context.Context) error {
	wanted := false
	for i := range s.cfg.Volumes {
		d := s.cfg.Volumes[i].Dirty
		wanted = wanted || d != nil && len(d.Links) > 0
	}
	if !wanted {
		return nil
	}
	root, err := s.cfg.Base.Point.RootEntry()
	if err != nil {
		return err
	}
	return s.nameLinksIn(ctx, trail{}.enter(s, &root), root.Node)
}

func (s *session) nameLinksIn(ctx context.Context, way trail, node pack.ID) error {
	v := way[len(way)-1].volume
	c := catalog.NewCursor(ctx, s.cfg.Base.Loader, node)
	for raw := c.Next(); raw != nil; raw = c.Next() {
		kind, _, inode := catalog.Identity(raw)
		if kind != catalog.Directory {
			if _, ok := v.links()[inode]; ok {
				way.name(catalog.EntryName(raw))
			}
			continue
		}
		e, err := catalog.ParseEntry(raw)
		if err != nil {
			return err
		}
		below := way.enter(s, &e)
		if last := below[len(below)-1]; last.place == nil && len(last.volume.links()) == 0 {
			continue
		}
		if err := s.nameLinksIn(ctx, below, e.Node); err != nil {
			return err
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

func (v *Volume) links() map[uint64]struct{} {
	if v == nil || v.Dirty == nil {
		return nil
	}
	return v.Dirty.Links
}
