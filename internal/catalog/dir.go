package catalog

import (
	"encoding/binary"

	"waybill/internal/pack"
)

// A DirBuilder turns a directory's entries, added in ascending order of their names,
// into nodes. It is reusable after Finish.
type DirBuilder struct{ list list }

// NewDirBuilder returns a builder that stores nodes with put, which keeps none of the slice.
func NewDirBuilder(put func(node []byte) (pack.ID, error)) *DirBuilder {
	return &DirBuilder{list{put: put, leaf: 'D', index: 'd', isDir: true}}
}

// Add appends an encoded entry and its name.
func (b *DirBuilder) Add(name, entry []byte) error {
	l := &b.list
	l.scratch = appendBytes(l.scratch[:0], entry)
	return l.add(0, l.scratch, listItem{h: nameHash(name), weight: 1, last: name})
}

// Finish returns the directory's id, zero for an empty one, and resets the builder.
func (b *DirBuilder) Finish() (pack.ID, error) {
	id, err := b.list.finish()
	b.list.reset()
	return id, err
}

// nameHash is FNV-1a-64 with its halves folded: where nodes end must not depend on
// anything but names, so that a change of content moves no boundary.
func nameHash(name []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range name {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h ^ h>>32
}

// EntryName returns the name of an encoded entry without parsing the rest; nil when there is none.
func EntryName(entry []byte) []byte {
	d := decoder{b: entry}
	d.byte()
	d.uvarint(1 << 7)
	return d.bytes(maxName)
}

// AppendXattr appends one attribute to an encoding that XattrCount began.
func AppendXattr(b, name, value []byte) []byte { return appendBytes(appendBytes(b, name), value) }

// XattrCount begins the encoding of n attributes, n > 0; they follow in ascending order of their names.
func XattrCount(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

// EachXattr calls f with each attribute of a parsed entry, until f returns false.
func (e *Entry) EachXattr(f func(name, value []byte) bool) {
	d := decoder{b: e.Xattrs}
	for n := d.uvarint(1 << 16); n > 0 && !d.bad; n-- {
		name, value := d.bytes(maxName), d.bytes(maxXattr)
		if d.bad || !f(name, value) {
			return
		}
	}
}

// Identity returns what an encoded entry is and its inode, without parsing the rest; zeros when it doesn't parse that far.
func Identity(entry []byte) (Kind, Flags, uint64) {
	d := decoder{b: entry}
	kind, flags := Kind(d.byte()), Flags(d.uvarint(1<<7))
	d.bytes(maxName)
	inode := d.uvarint(1<<64 - 1)
	if d.bad {
		return 0, 0, 0
	}
	return kind, flags, inode
}
