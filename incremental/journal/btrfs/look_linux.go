package btrfs

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"waybill/internal/source"
)

// looked is a file whose extents tell what it holds: one on btrfs that nobody can write to.
type looked struct {
	fs, sub uuid // sub: of the subvolume that a snapshot of ours is of
	inode   uint64
	tree    tree
}

type bare uintptr

func (b bare) Fd() uintptr { return uintptr(b) }

// look fails for a file of another kind.
func look(f *source.File) (x *looked, ok bool) {
	number, ok := f.Fd()
	if !ok {
		return nil, false
	}
	fd := bare(number)
	var fs unix.Statfs_t
	if unix.Fstatfs(int(fd), &fs) != nil || uint32(fs.Type) != unix.BTRFS_SUPER_MAGIC {
		return nil, false
	}
	s, err := subvolumeOf(fd)
	if err != nil || !s.readOnly {
		return nil, false
	}
	x = &looked{sub: s.uuid, inode: f.Opened().Inode, tree: tree{f: fd}}
	if isOurs(s.name) {
		x.sub = s.parent
	}
	x.fs, err = fileSystemOf(fd)
	return x, err == nil
}

// errOpaque is that extents don't tell what a file holds.
var errOpaque = errors.New("its extents don't tell what it holds")

// extents calls visit for the file's extents of data, in order.
func (x *looked) extents(visit func(extent) error) error {
	to := key{x.inode, extentData, math.MaxUint64}
	known := false
	for from := (key{id: x.inode}); ; {
		items, err := x.tree.batch(from, to, 0, everything)
		if err == nil && len(items) == 0 && !known {
			err = fmt.Errorf("inode %d is not there", x.inode)
		}
		if err != nil || len(items) == 0 {
			return err
		}
		from = items[len(items)-1].next()
		for _, it := range items {
			switch it.kind {
			case inodeItem:
				n, err := parseInode(it.data)
				if err != nil {
					return err
				}
				if n.flags&noCopy != 0 {
					return errOpaque
				}
				known = true
			case extentData:
				e, err := parseExtent(it.off, it.data)
				if err != nil {
					return err
				}
				if e.kind == inline || e.coding>>8 != 0 { // encryption and others that nobody knows yet
					return errOpaque
				}
				if e.isData() {
					err = visit(e)
				}
				if err != nil {
					return err
				}
			}
		}
	}
}

// isGone tells whether there is no such inode beside the file.
func (x *looked) isGone(inode uint64) bool {
	at := key{inode, inodeItem, 0}
	items, err := x.tree.batch(at, at, 0, 1)
	return err == nil && len(items) == 0
}
