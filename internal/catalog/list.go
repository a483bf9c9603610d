package catalog

import (
	"bytes"
	"encoding/binary"

	"waybill/internal/pack"
)

// A list splits a sequence of items into nodes, and builds levels of index nodes over
// them while there is more than one. Where nodes end follows from the items alone.
type list struct {
	put         func([]byte) (pack.ID, error)
	leaf, index byte
	isDir       bool
	levels      []*level
	scratch     []byte
}

// A level is the nodes at one height: the one being filled, and how many were ended.
type level struct {
	node  []byte
	items int
	sum   listItem // of the items in node
	nodes int
	first childRef // the first node that was ended; it moves up only when there is a second
}

// A listItem is what the level above keeps of an item or a node.
type listItem struct {
	h      uint64 // decides whether a node ends here
	weight uint64 // entries or bytes
	last   []byte // the last name, in directories
}

type childRef struct {
	id pack.ID
	listItem
}

const (
	minItems = 4
	maxItems = 1024
	maxNode  = 256 << 10
)

// add appends an encoded item to level k and ends the node where the format says so.
func (l *list) add(k int, item []byte, it listItem) error {
	if k == len(l.levels) {
		l.levels = append(l.levels, &level{})
	}
	v := l.levels[k]
	if v.items == 0 {
		kind := l.leaf
		if k > 0 {
			kind = l.index
		}
		v.node = append(v.node[:0], kind)
		v.sum = listItem{h: ^uint64(0)}
	}
	v.node = append(v.node, item...)
	v.items++
	v.sum.weight += it.weight
	v.sum.last = append(v.sum.last[:0], it.last...)
	if it.h != ^uint64(0) || l.isDir {
		v.sum.h = it.h
	}
	ends := v.items >= minItems && levelBits(it.h, k) == 0
	if ends || v.items == maxItems || len(v.node) >= maxNode {
		return l.end(k)
	}
	return nil
}

// levelBits are the four bits of h that decide at level k: a node has 16 items on average. Ids can't be compressed, so small nodes make
// for small incrementals.
func levelBits(h uint64, k int) uint64 {
	if 4*k+4 > 64 {
		return 1
	}
	return h >> (4 * k) & 15
}

// end stores level k's node and hands its reference up, once it is sure that there is an up.
func (l *list) end(k int) error {
	v := l.levels[k]
	id, err := l.put(v.node)
	if err != nil {
		return err
	}
	ref := childRef{id, v.sum}
	ref.last = bytes.Clone(ref.last)
	v.items = 0
	v.nodes++
	if v.nodes == 1 {
		v.first = ref
		return nil
	}
	if v.nodes == 2 {
		if err := l.addRef(k+1, v.first); err != nil {
			return err
		}
	}
	return l.addRef(k+1, ref)
}

func (l *list) addRef(k int, ref childRef) error {
	var b []byte
	if l.isDir {
		b = appendBytes(b, ref.last)
		b = append(b, ref.id[:]...)
		b = binary.AppendUvarint(b, ref.weight)
	} else {
		b = binary.AppendUvarint(b, ref.weight)
		b = append(b, ref.id[:]...)
	}
	return l.add(k, b, ref.listItem)
}

// finish ends what is open and returns the top node's id, zero when there was no item.
func (l *list) finish() (pack.ID, error) {
	for k := 0; k < len(l.levels); k++ {
		v := l.levels[k]
		if v.items > 0 {
			if err := l.end(k); err != nil {
				return pack.ID{}, err
			}
		}
		if v.nodes == 1 {
			return v.first.id, nil
		}
	}
	return pack.ID{}, nil
}

// reset makes the list ready for another sequence and keeps its buffers.
func (l *list) reset() {
	for _, v := range l.levels {
		v.items, v.nodes = 0, 0
	}
}

func (l *list) clone() *list {
	c := *l
	c.scratch = nil
	c.levels = make([]*level, len(l.levels))
	for i, v := range l.levels {
		w := *v
		w.node = bytes.Clone(v.node)
		w.sum.last = bytes.Clone(v.sum.last)
		c.levels[i] = &w
	}
	return &c
}
