package btrfs

import (
	"encoding/binary"
	"fmt"
)

// Types of extents.
const (
	inline       = 0
	regular      = 1
	preallocated = 2
)

// A diskExtent is what is needed of an EXTENT_DATA item: a stretch of a file, and where that is on the disk.
type diskExtent struct {
	made   uint64 // the transaction that wrote it, if none but balancing moved it
	kind   uint8
	coding uint32 // compression, encryption and others
	at     uint64 // of the disk's extent; 0 for a hole. For an inline one nothing from here on is set
	off    uint64 // in it, decompressed
	length uint64
}

func parseExtent(b []byte) (e diskExtent, err error) {
	le := binary.LittleEndian
	if len(b) < 21 || b[20] != inline && len(b) < 53 {
		return e, fmt.Errorf("an extent item of %d bytes", len(b))
	}
	e = diskExtent{made: le.Uint64(b), kind: b[20]}
	e.coding = uint32(b[16]) | uint32(b[17])<<8 | uint32(le.Uint16(b[18:]))<<16
	if e.kind != inline {
		e.at, e.off, e.length = le.Uint64(b[21:]), le.Uint64(b[37:]), le.Uint64(b[45:])
	}
	return e, nil
}
