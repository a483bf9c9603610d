package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"waybill/internal/pack"
)

var errBoom = errors.New("boom")

// nodes keeps catalogue nodes in memory, as a Loader and as what builders put to.
type nodes struct {
	m      map[pack.ID][]byte
	hasher *pack.Hasher
	fresh  int // nodes put that were not there
	loads  int
	fails  func(call int) bool // of put and Load, counted from 1; nil: never
	calls  int
}

func newNodes() *nodes {
	return &nodes{m: map[pack.ID][]byte{}, hasher: pack.NewHasher([32]byte([]byte("a dedupe key for tests, 32 bytes")))}
}

func (n *nodes) failing() bool {
	n.calls++
	return n.fails != nil && n.fails(n.calls)
}

func (n *nodes) put(b []byte) (pack.ID, error) {
	if n.failing() {
		return pack.ID{}, errBoom
	}
	id := n.hasher.Sum(b)
	if _, ok := n.m[id]; !ok {
		n.m[id] = bytes.Clone(b)
		n.fresh++
	}
	return id, nil
}

func (n *nodes) Load(_ context.Context, id pack.ID) ([]byte, error) {
	n.loads++
	if n.failing() {
		return nil, errBoom
	}
	b, ok := n.m[id]
	if !ok {
		return nil, fmt.Errorf("%w: no node %s", pack.ErrDamaged, id)
	}
	return b, nil
}

// build stores a directory of the entries and returns its id.
func (n *nodes) build(t testing.TB, entries map[string]Entry) pack.ID {
	t.Helper()
	id, err := n.tryBuild(NewDirBuilder(n.put), entries)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (n *nodes) tryBuild(b *DirBuilder, entries map[string]Entry) (pack.ID, error) {
	var raw []byte
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		e.Name = []byte(name)
		raw = e.Append(raw[:0])
		if err := b.Add(e.Name, raw); err != nil {
			b.Finish()
			return pack.ID{}, err
		}
	}
	return b.Finish()
}

// tree stores a tree of nested directories, the leaves given by their paths, and returns its root entry.
type tree struct {
	entry Entry
	kids  map[string]*tree
}

func (n *nodes) buildTree(t testing.TB, d *tree) Entry {
	entries := map[string]Entry{}
	for name, kid := range d.kids {
		entries[name] = n.buildTree(t, kid)
	}
	e := d.entry
	if e.Kind == Directory {
		e.Node = n.build(t, entries)
	}
	return e
}

// names makes n different names of many sorts.
func names(r *rand.Rand, n int) []string {
	set := map[string]bool{}
	for len(set) < n {
		var name string
		switch r.IntN(5) {
		case 0:
			name = fmt.Sprintf("file%08d.txt", r.IntN(1<<20))
		case 1:
			name = string(randomBytes(r, 1+r.IntN(8)))
		case 2:
			name = string(randomBytes(r, 255))
		case 3:
			name = fmt.Sprint(r.IntN(100_000))
		case 4:
			name = "prefix\n" + string(randomBytes(r, 3))
		}
		if name != "." && name != ".." {
			set[name] = true
		}
	}
	return slices.Collect(maps.Keys(set))
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		for b[i] == 0 || b[i] == '/' {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

// randomEntry makes an entry of any kind but a directory.
func randomEntry(r *rand.Rand) Entry {
	e := Entry{Kind: File, Flags: Flags(r.Uint32()) & (Changed | HardLinked), Inode: r.Uint64() >> r.IntN(64), Mode: r.Uint32() & 07777,
		UID: r.Uint32() >> r.IntN(32), GID: r.Uint32() >> r.IntN(32),
		Mtime: Time{int64(r.Uint64()) >> r.IntN(63), r.Uint32N(1e9)}, Ctime: Time{int64(r.Uint32()), 0}}
	switch k := Kind(1 + r.IntN(14)); k {
	case Symlink:
		e.Kind, e.Target = k, randomBytes(r, 1+r.IntN(100))
	case Fifo, Socket:
		e.Kind = k
	case CharDevice, BlockDevice:
		e.Kind, e.Major, e.Minor = k, r.Uint32(), r.Uint32N(256)
	default:
		for range r.IntN(4) {
			it := Item{Length: 1 + r.Int64N(1<<18), ID: randomID(r)}
			e.Content = it.append(e.Content)
			e.Size += it.Length
		}
	}
	if r.IntN(10) == 0 {
		e.Xattrs = XattrCount(nil, 2)
		e.Xattrs = AppendXattr(e.Xattrs, []byte("system.posix_acl_access"), randomBytes(r, 40))
		e.Xattrs = AppendXattr(e.Xattrs, []byte("user.note"), nil)
	}
	return e
}

func randomID(r *rand.Rand) (id pack.ID) {
	for i := 0; i < len(id); i += 8 {
		binary.LittleEndian.PutUint64(id[i:], r.Uint64())
	}
	return id
}

func randomDir(r *rand.Rand, n int) map[string]Entry {
	m := map[string]Entry{}
	for _, name := range names(r, n) {
		m[name] = randomEntry(r)
	}
	return m
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// specItem is an item of a list as FORMAT.md has it.
type specItem struct {
	encoded []byte
	h       uint64
	last    []byte
	weight  uint64
}

// specTop splits items as FORMAT.md says, written a second time from its text alone, and returns the top node's id.
func (n *nodes) specTop(items []specItem, leaf, index byte) pack.ID {
	kind := leaf
	for level := 0; ; level++ {
		var above []specItem
		var id pack.ID
		for len(items) > 0 {
			k := specEnd(items, level)
			node := []byte{kind}
			up := specItem{h: 1<<64 - 1}
			for _, it := range items[:k] {
				node = append(node, it.encoded...)
				up.weight += it.weight
				up.last = it.last
				if leaf == 'D' || it.h != 1<<64-1 {
					up.h = it.h
				}
			}
			id = n.hasher.Sum(node)
			if leaf == 'D' {
				up.encoded = append(binary.AppendUvarint(nil, uint64(len(up.last))), up.last...)
				up.encoded = append(up.encoded, id[:]...)
				up.encoded = binary.AppendUvarint(up.encoded, up.weight)
			} else {
				up.encoded = append(binary.AppendUvarint(nil, up.weight), id[:]...)
			}
			above = append(above, up)
			items = items[k:]
		}
		if len(above) <= 1 {
			return id
		}
		items, kind = above, index
	}
}

// specEnd is how many items the first node takes.
func specEnd(items []specItem, level int) int {
	size := 1
	for i, it := range items {
		size += len(it.encoded)
		if i+1 >= 4 && level < 16 && it.h>>(4*level)&15 == 0 || i+1 == 1024 || size >= 256<<10 {
			return i + 1
		}
	}
	return len(items)
}

func (n *nodes) specDir(entries map[string]Entry) pack.ID {
	var items []specItem
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		e.Name = []byte(name)
		raw := e.Append(nil)
		h := uint64(14695981039346656037) // FNV-1a
		for _, c := range e.Name {
			h = (h ^ uint64(c)) * 1099511628211
		}
		items = append(items, specItem{append(binary.AppendUvarint(nil, uint64(len(raw))), raw...), h ^ h>>32, e.Name, 1})
	}
	return n.specTop(items, 'D', 'd')
}
