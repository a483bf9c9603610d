package btrfs

import (
	"encoding/binary"
	"fmt"
	"math"

	"waybill/incremental/journal"
)

// An extent is a stretch of a file, and where that is on the disk. Two extents of the same disk space that the same transaction wrote
// hold the same: space that is freed is given out again only by a later one.
//
// BUG: balancing moves extents and leaves their transaction as it is. Were two extents of one transaction moved, the second to where
// the first had been when a map was saved, and the second then cloned to the first one's place in the file, it would be taken for the first.
type extent struct {
	made   uint64 // the transaction that wrote it
	kind   uint8
	coding uint32 // compression, encryption and others
	at     uint64 // where the disk's extent begins; 0 for a hole
	shift  uint64 // where in that, decompressed, the stretch begins
	off    uint64 // where in the file the stretch begins
	length uint64
}

// Kinds of extents: in the tree itself, on the disk, and space that is set aside and read as zeros. Of the first only made and coding are known.
const (
	inline   = 0
	regular  = 1
	reserved = 2
)

// parseExtent reads an EXTENT_DATA item, whose key says where in the file it is.
func parseExtent(off uint64, b []byte) (e extent, err error) {
	le := binary.LittleEndian
	if len(b) < 21 || b[20] != inline && len(b) < 53 {
		return e, fmt.Errorf("an extent item of %d bytes", len(b))
	}
	e = extent{made: le.Uint64(b), kind: b[20], coding: le.Uint32(b[16:]), off: off}
	if e.kind != inline {
		e.at, e.shift, e.length = le.Uint64(b[21:]), le.Uint64(b[37:]), le.Uint64(b[45:])
	}
	return e, nil
}

func (e *extent) end() uint64 { return e.off + e.length }

// isData tells whether it isn't just zeros.
func (e *extent) isData() bool { return e.kind == regular && e.at != 0 }

// same tells whether two extents, where they overlap in the file, hold the same.
func (e *extent) same(o *extent) bool {
	return e.at == o.at && e.made == o.made && e.kind == o.kind && e.coding == o.coding && e.off-e.shift == o.off-o.shift
}

// A comparison finds where a file differs from what it was. It is given the extents of data that the file has now, in order, and pulls those that it
// had; what is in no extent is a hole.
type comparison struct {
	was   func() (extent, bool)
	old   extent // the one at hand
	more  bool   // old is one
	pos   uint64 // compared up to here
	limit uint64 // the smaller size
	list  []journal.Range
}

func compare(oldSize, size int64, was func() (extent, bool)) *comparison {
	c := &comparison{was: was, limit: uint64(min(oldSize, size))}
	c.old, c.more = was()
	return c
}

// add goes on to the end of the file's next extent.
func (c *comparison) add(e extent) {
	c.upTo(e.off, nil)
	c.upTo(e.end(), &e)
}

// finish returns where the file differs, ascending.
func (c *comparison) finish(oldSize, size int64) []journal.Range {
	c.upTo(math.MaxUint64, nil)
	if oldSize < size {
		c.mark(uint64(oldSize), uint64(size))
	}
	return c.list
}

// upTo compares what follows, which is of the extent e, or a hole.
func (c *comparison) upTo(end uint64, e *extent) {
	for end = min(end, c.limit); c.pos < end; {
		for c.more && c.old.end() <= c.pos {
			c.old, c.more = c.was()
		}
		to, same := end, e == nil
		if c.more && c.old.off > c.pos {
			to = min(end, c.old.off)
		} else if c.more {
			to, same = min(end, c.old.end()), e != nil && e.same(&c.old)
		}
		if !same {
			c.mark(c.pos, to)
		}
		c.pos = to
	}
}

// mark adds a stretch, and joins it with the one before where there is little in between: chunks are longer.
func (c *comparison) mark(from, to uint64) {
	const little = 16 << 10
	if n := len(c.list); n > 0 {
		if last := &c.list[n-1]; from <= uint64(last.Off+last.Len)+little {
			last.Len = int64(to) - last.Off
			return
		}
	}
	c.list = append(c.list, journal.Range{Off: int64(from), Len: int64(to - from)})
}
