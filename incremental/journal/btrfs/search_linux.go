package btrfs

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Types of items, of linux/btrfs_tree.h.
const (
	inodeItem   = 1
	inodeRef    = 12
	inodeExtRef = 13
	extentData  = 108
	rootItem    = 132
	rootRef     = 156
)

// Object ids: those of inodes lie in between.
const (
	firstInode = 256 // a subvolume's root directory
	lastInode  = math.MaxUint64 - 255
	rootTree   = 1
)

// A key is an item's place in a tree. Keys are ordered by their fields.
type key struct {
	id   uint64
	kind uint32
	off  uint64
}

func (k key) less(o key) bool {
	if k.id != o.id {
		return k.id < o.id
	}
	if k.kind != o.kind {
		return k.kind < o.kind
	}
	return k.off < o.off
}

// next is the key right after k.
func (k key) next() key {
	switch {
	case k.off < math.MaxUint64:
		k.off++
	case k.kind < math.MaxUint8:
		k.kind, k.off = k.kind+1, 0
	default:
		k = key{id: k.id + 1}
	}
	return k
}

// An item is one of a tree. Its bytes last until the tree is asked again.
type item struct {
	key
	data []byte
}

// A tree is read by TREE_SEARCH_V2. It is not safe for concurrent use.
type tree struct {
	f     descriptor // the subvolume, or any file of the file system when id is given
	id    uint64     // 0: of the subvolume that f lies in
	buf   []byte
	items []item
}

const (
	searchHead = 112 // struct btrfs_ioctl_search_args_v2
	itemHead   = 32  // struct btrfs_ioctl_search_header
	searchSize = 1 << 20
)

// everything is for batch: as many items as there is room for.
const everything = math.MaxUint32

// batch returns the first items, at most limit, of those from from to to that lie in leaves written in transaction since or
// later. An item that didn't change may lie in such a leaf. None means that there are no more; fewer than limit do not.
func (t *tree) batch(from, to key, since uint64, limit uint32) ([]item, error) {
	if t.buf == nil {
		t.buf = make([]byte, searchHead+searchSize)
	}
	b := t.buf
	for i, v := range [...]uint64{t.id, from.id, to.id, from.off, to.off, since, math.MaxUint64} {
		binary.NativeEndian.PutUint64(b[8*i:], v)
	}
	clear(b[56:104])
	binary.NativeEndian.PutUint32(b[56:], from.kind)
	binary.NativeEndian.PutUint32(b[60:], to.kind)
	binary.NativeEndian.PutUint32(b[64:], limit)
	binary.NativeEndian.PutUint64(b[104:], searchSize)
	if err := ioctl(t.f, iocTreeSearch, unsafe.Pointer(&b[0])); err != nil {
		if err == unix.EPERM {
			return nil, needsRoot()
		}
		return nil, fmt.Errorf("searching the tree: %w", err)
	}
	n := binary.NativeEndian.Uint32(b[64:])
	t.items = t.items[:0]
	for b = b[searchHead:]; n > 0; n-- {
		size := itemHead + int(binary.NativeEndian.Uint32(b[28:]))
		t.items = append(t.items, item{key{binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint32(b[24:]), binary.NativeEndian.Uint64(b[16:])},
			b[itemHead:size:size]})
		b = b[size:]
	}
	return t.items, nil
}

// An inode is what is needed of an INODE_ITEM.
type inode struct {
	made, changed uint64 // transactions
	size          uint64
	links, mode   uint32
	flags         uint64
}

// noCopy is the flag of files that are written in place (chattr +C), so that their extents don't tell what changed.
const noCopy = 1 << 1

func (i *inode) isDir() bool     { return i.mode&unix.S_IFMT == unix.S_IFDIR }
func (i *inode) isRegular() bool { return i.mode&unix.S_IFMT == unix.S_IFREG }

func parseInode(b []byte) (i inode, err error) {
	if len(b) < 160 {
		return i, fmt.Errorf("an inode item of %d bytes", len(b))
	}
	le := binary.LittleEndian
	return inode{made: le.Uint64(b), changed: le.Uint64(b[8:]), size: le.Uint64(b[16:]), links: le.Uint32(b[40:]), mode: le.Uint32(b[52:]),
		flags: le.Uint64(b[64:])}, nil
}

// A ref is a name of an inode.
type ref struct {
	inode, dir uint64
	name       []byte
}

// refsIn calls visit for the names in an INODE_REF or INODE_EXTREF item.
func refsIn(it item, visit func(ref)) error {
	for b := it.data; len(b) > 0; {
		r, head := ref{inode: it.id, dir: it.off}, 10
		if it.kind == inodeExtRef {
			head = 18
		}
		if len(b) < head {
			return fmt.Errorf("a name of inode %d is cut short", it.id)
		}
		if it.kind == inodeExtRef {
			r.dir = binary.LittleEndian.Uint64(b)
		}
		size := head + int(binary.LittleEndian.Uint16(b[head-2:]))
		if len(b) < size {
			return fmt.Errorf("a name of inode %d is cut short", it.id)
		}
		r.name, b = b[head:size:size], b[size:]
		visit(r)
	}
	return nil
}

// refs calls visit for all names of the inodes, which ascend. A ref's name lasts until visit returns. An inode without a name, or that isn't there, is
// passed over.
func (t *tree) refs(inodes []uint64, visit func(ref)) error {
	const few = 128 // items; names of neighbours come along at no further call
	for from := (key{}); len(inodes) > 0; {
		if next := (key{inodes[0], inodeRef, 0}); from.less(next) {
			from = next
		}
		items, err := t.batch(from, key{inodes[len(inodes)-1], inodeExtRef, math.MaxUint64}, 0, few)
		if err != nil || len(items) == 0 {
			return err
		}
		from = items[len(items)-1].next()
		for _, it := range items {
			for len(inodes) > 0 && (key{inodes[0], inodeExtRef, math.MaxUint64}).less(it.key) {
				inodes = inodes[1:]
			}
			if len(inodes) > 0 && it.id == inodes[0] && it.kind >= inodeRef {
				if err := refsIn(it, visit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
