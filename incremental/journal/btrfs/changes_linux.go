package btrfs

import (
	"cmp"
	"context"
	"math"
	"slices"

	"waybill/incremental/journal"
)

// Changes is [journal.Journal]. Entries of changed inodes are named by all the names they have; of a changed directory only the names are
// looked at, which tell what is gone from it: reading a directory changes its access time, and that of many are read by anybody each day. Nested subvolumes are always named: what is in them has a journal of its own, and in a snapshot the kernel makes up
// what stands in their place, with times of now.
func (v *Volume) Changes(ctx context.Context, from, to *journal.Cursor, d *journal.Dirty) error {
	if err := v.vouch(from, to); err != nil {
		return err
	}
	t := v.tree()
	found, err := t.changed(ctx, from.Position)
	if err != nil {
		return err
	}
	if err := found.name(t, d); err != nil {
		return err
	}
	subs, err := nestedIn(v.root, v.sub.id)
	if err != nil {
		return err
	}
	for _, s := range subs {
		d.Name(s.dir, []byte(s.name))
	}
	return lead(ctx, t, d)
}

// changes are the inodes that changed.
type changes struct {
	all  []uint64        // ascending
	dirs map[uint64]bool // those of them that are directories, and whether they are new
	read []uint64        // files with new content that was not necessarily there when the times were set
}

// changed finds the inodes that changed after a snapshot that transaction after took.
//
// A transaction that takes a snapshot does nothing to the subvolume any more, but for one thing: the directory that gets
// a snapshot, by whomever, changes in that transaction and yet isn't so in a snapshot taken just before. So
// directories of that very transaction count as changed.
func (t *tree) changed(ctx context.Context, after uint64) (*changes, error) {
	c := &changes{dirs: map[uint64]bool{}}
	to := key{lastInode, math.MaxUint8, math.MaxUint64}
	var node inode // the last one met
	for from, of := (key{id: firstInode}), uint64(0); ; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		items, err := t.batch(from, to, after, everything)
		if err != nil || len(items) == 0 {
			return c, err
		}
		from = items[len(items)-1].next()
		for _, it := range items {
			switch it.kind {
			case inodeItem:
				if node, err = parseInode(it.data); err != nil {
					return nil, err
				}
				of = it.id
				c.inode(of, &node, after)
			case extentData:
				if it.id != of {
					node, of = inode{}, it.id // its item lies in an older leaf, so it can't have changed; but for a file that is cheap to look at
				}
				if e, err := parseExtent(it.off, it.data); err != nil {
					return nil, err
				} else if e.made > after && e.kind != reserved {
					c.extent(of, &node, after)
				}
			}
		}
	}
}

// inode counts an inode if it changed.
func (c *changes) inode(id uint64, n *inode, after uint64) {
	switch {
	case n.isDir() && n.changed >= after:
		c.dirs[id] = n.made > after
		c.add(id)
	case n.changed > after:
		c.add(id)
		if n.isRegular() && n.flags&noCopy != 0 && n.made <= after {
			c.read = append(c.read, id)
		}
	}
}

// extent counts a file that has new content. A file that is new as a whole needs no word about its content.
func (c *changes) extent(id uint64, n *inode, after uint64) {
	c.add(id)
	if n.made <= after && (len(c.read) == 0 || c.read[len(c.read)-1] != id) {
		c.read = append(c.read, id)
	}
}

func (c *changes) add(id uint64) {
	if len(c.all) == 0 || c.all[len(c.all)-1] != id {
		c.all = append(c.all, id)
	}
}

// name puts what changed into d. Of a directory that is new all is looked at, and nothing needs to be named: the base may have it
// all the same, as it was when a run came by that was interrupted there, or that read the volume live.
func (c *changes) name(t *tree, d *journal.Dirty) error {
	err := t.refs(c.all, func(r ref) {
		if isNew, ok := c.dirs[r.inode]; ok && isNew {
			d.List(r.inode)
		} else if ok {
			d.Turn(r.inode)
		}
		if r.inode != firstInode && !c.dirs[r.dir] { // the root's name is ".." in itself
			d.Name(r.dir, r.name)
		}
	})
	for _, id := range c.read {
		d.File(id).Read = true
	}
	return err
}

// lead notes all directories above those in d, level by level.
func lead(ctx context.Context, t *tree, d *journal.Dirty) error {
	var level, above []uint64
	for id := range d.Dirs {
		level = append(level, id)
	}
	for len(level) > 0 && ctx.Err() == nil {
		slices.SortFunc(level, cmp.Compare)
		err := t.refs(level, func(r ref) {
			if r.inode != firstInode && d.Lead(r.dir) {
				above = append(above, r.dir)
			}
		})
		if err != nil {
			return err
		}
		level, above = above, level[:0]
	}
	return context.Cause(ctx)
}
