package btrfs

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// Subvolumes returns the subvolumes below the one whose root directory is dir, those in nested ones too, by path. Snapshots that were
// taken here are left out.
func Subvolumes(dir string) ([]Sub, error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var list []Sub
	if err = isRoot(root); err == nil {
		var top subvolume
		if top, err = subvolumeOf(root); err == nil {
			list, err = below(root, top.id, nil, "")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("looking for subvolumes in %s: %w", dir, err)
	}
	slices.SortFunc(list, func(a, b Sub) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// below adds the subvolumes in the one of that id, whose path is prefix.
func below(f descriptor, id uint64, list []Sub, prefix string) ([]Sub, error) {
	nested, err := nestedIn(f, id)
	if err != nil {
		return nil, err
	}
	tree := &tree{f: f, id: id}
	roots := rootsOf(f)
	for _, n := range nested {
		way, ok, err := tree.path(n.dir)
		if err != nil {
			return nil, err
		}
		s := Sub{Path: prefix + way + n.name, ID: n.id}
		if s.ReadOnly, err = roots.isReadOnly(s.ID); err != nil {
			return nil, err
		}
		if !ok || s.ReadOnly && isOurs(n.name) {
			continue
		}
		if list, err = below(f, s.ID, append(list, s), s.Path+"/"); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// A nested is a subvolume's entry in another one.
type nested struct {
	dir  uint64 // inode of the directory
	name string
	id   uint64 // of the subvolume
}

func rootsOf(f descriptor) *tree { return &tree{f: f, id: rootTree} }

// nestedIn lists the subvolumes right below the one of that id.
func nestedIn(f descriptor, id uint64) (list []nested, err error) {
	roots := rootsOf(f)
	for from, to := (key{id: id, kind: rootRef}), (key{id, rootRef, math.MaxUint64}); ; {
		items, err := roots.batch(from, to, 0, everything)
		if err != nil || len(items) == 0 {
			return list, err
		}
		from = items[len(items)-1].next()
		for _, it := range items {
			dir, name, err := parseRootRef(it.data)
			if err != nil {
				return nil, err
			}
			list = append(list, nested{dir, name, it.off})
		}
	}
}

// parseRootRef reads a ROOT_REF item: where a subvolume is, in the one that holds it.
func parseRootRef(b []byte) (dir uint64, name string, err error) {
	if len(b) < 18 || len(b) < 18+int(binary.LittleEndian.Uint16(b[16:])) {
		return 0, "", fmt.Errorf("a reference to a subvolume of %d bytes", len(b))
	}
	return binary.LittleEndian.Uint64(b), string(b[18:][:binary.LittleEndian.Uint16(b[16:])]), nil
}

// path returns the way to a directory from the root, with a slash at its end; ok is false when it is gone.
func (t *tree) path(dir uint64) (way string, ok bool, err error) {
	for dir != firstInode {
		ok = false
		err := t.refs([]uint64{dir}, func(r ref) {
			way, dir, ok = string(r.name)+"/"+way, r.dir, true
		})
		if err != nil || !ok {
			return "", false, err
		}
	}
	return way, true, nil
}

// isReadOnly tells it of a subvolume, in the tree of roots.
func (t *tree) isReadOnly(id uint64) (bool, error) {
	const flags = 208 // struct btrfs_root_item
	items, err := t.batch(key{id, rootItem, 0}, key{id, rootItem, math.MaxUint64}, 0, 1)
	if err != nil || len(items) == 0 || len(items[0].data) < flags+8 {
		return false, err
	}
	return binary.LittleEndian.Uint64(items[0].data[flags:])&1 != 0, nil
}
