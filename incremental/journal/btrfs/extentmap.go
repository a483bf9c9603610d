package btrfs

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// A map's file:
//
//	"waybill extents 1\n"
//	what it is bound to                                      32 bytes
//	the extents of data, in order, each:
//	    uvarint  bytes from the end of the last one, or the file's begin
//	    uvarint  length
//	    varint   place on the disk, less the end of the last one
//	    uvarint  shift
//	    varint   transaction, less the last one's
//	    uvarint  coding
//	SHA-256 of all before                                    32 bytes
const mapHead = "waybill extents 1\n"

// maxMap bounds a map: a million extents and more fit in.
const maxMap = 16 << 20

// errLarge is that a map would be larger.
var errLarge = errors.New("too many extents to be remembered")

// A mapWriter makes a map's file.
type mapWriter struct {
	b    []byte
	last extent
}

func newMap(binding [32]byte) *mapWriter {
	return &mapWriter{b: append([]byte(mapHead), binding[:]...)}
}

func (w *mapWriter) add(e extent) error {
	w.b = binary.AppendUvarint(w.b, e.off-w.last.end())
	w.b = binary.AppendUvarint(w.b, e.length)
	w.b = binary.AppendVarint(w.b, int64(e.at-(w.last.at+w.last.length)))
	w.b = binary.AppendUvarint(w.b, e.shift)
	w.b = binary.AppendVarint(w.b, int64(e.made-w.last.made))
	w.b = binary.AppendUvarint(w.b, uint64(e.coding))
	if w.last = e; len(w.b) > maxMap-sha256.Size {
		return errLarge
	}
	return nil
}

func (w *mapWriter) finish() []byte {
	sum := sha256.Sum256(w.b)
	return append(w.b, sum[:]...)
}

// A mapReader reads what a mapWriter made.
type mapReader struct {
	b    []byte
	last extent
	bad  bool // what is left is no map
}

// openMap returns a reader of the map if it is whole and bound to that.
func openMap(b []byte, binding [32]byte) (*mapReader, bool) {
	head := append([]byte(mapHead), binding[:]...)
	if len(b) < len(head)+sha256.Size || string(b[:len(head)]) != string(head) {
		return nil, false
	}
	body := b[:len(b)-sha256.Size]
	if sha256.Sum256(body) != [32]byte(b[len(body):]) {
		return nil, false
	}
	return &mapReader{b: body[len(head):]}, true
}

func (r *mapReader) next() (extent, bool) {
	if len(r.b) == 0 || r.bad {
		return extent{}, false
	}
	e := extent{kind: regular}
	e.off = r.last.end() + r.uvarint()
	e.length = r.uvarint()
	e.at = r.last.at + r.last.length + uint64(r.varint())
	e.shift = r.uvarint()
	e.made = r.last.made + uint64(r.varint())
	e.coding = uint32(r.uvarint())
	r.last = e
	return e, !r.bad
}

func (r *mapReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.took(n)
	return v
}

func (r *mapReader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.took(n)
	return v
}

func (r *mapReader) took(n int) {
	if n <= 0 {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[n:]
}
