package pack

import (
	"encoding/binary"
	"iter"
)

// A Frame is a table's line about one sealed frame of a pack.
type Frame struct {
	Number uint32 // its place in the pack, which its encryption is bound to
	Offset uint32 // of its first sealed byte in the pack
	Sealed uint32 // bytes, with the tag
	Plain  uint32 // bytes when opened and decompressed
	Method uint8  // 0 stored, 1 zstd
}

// A Chunk is a table's line about one chunk: where it lies in its frame.
type Chunk struct {
	Prefix [16]byte
	Start  uint32 // in the plain frame
	Length uint32
}

// A Table lists a pack's frames and chunks. It is kept encoded, at about 19 bytes a
// chunk, and read by iterating.
type Table struct{ b []byte }

// add appends a frame's line to a table under construction.
func (t *Table) add(sealed, plain int, method uint8, chunks []Chunk) {
	t.b = binary.AppendUvarint(t.b, uint64(sealed))
	t.b = binary.AppendUvarint(t.b, uint64(plain))
	t.b = append(t.b, method)
	t.b = binary.AppendUvarint(t.b, uint64(len(chunks)))
	for i := range chunks {
		t.b = append(t.b, chunks[i].Prefix[:]...)
		t.b = binary.AppendUvarint(t.b, uint64(chunks[i].Length))
	}
}

// encode is the table as it is sealed: the lines, after their number.
func (t *Table) encode(frames uint32) []byte {
	return append(binary.AppendUvarint(nil, uint64(frames)), t.b...)
}

// parseTable checks a whole table against the format's limits and the bytes its
// frames must fill, so that iterating over it can't fail.
func parseTable(b []byte, end int64) (*Table, error) {
	d := decoder{b: b}
	frames := d.uvarint(maxFrames)
	lines := d.b
	off := int64(headerSize)
	for range frames {
		sealed := d.uvarint(maxSealed)
		plain := d.uvarint(maxPlain)
		method := d.byte()
		chunks := d.uvarint(maxPerFrame)
		if sealed < tagSize || method > methodZstd || chunks == 0 {
			d.bad = true
		}
		for range chunks {
			d.skip(16)
			n := d.uvarint(maxPlain)
			if n == 0 || n > plain {
				d.bad = true
				break
			}
			plain -= n
		}
		if d.bad || plain != 0 {
			return nil, damaged("a pack table that does not parse")
		}
		off += int64(sealed)
	}
	if d.bad || len(d.b) != 0 || off != end {
		return nil, damaged("a pack table that does not fit its pack")
	}
	return &Table{lines}, nil
}

// All yields each frame with its chunks. The slice is only valid until the next step.
func (t *Table) All() iter.Seq2[Frame, []Chunk] {
	return func(yield func(Frame, []Chunk) bool) {
		d := decoder{b: t.b}
		var chunks []Chunk
		offset := uint32(headerSize)
		for n := uint32(0); len(d.b) > 0; n++ {
			f := Frame{Number: n, Offset: offset}
			f.Sealed, f.Plain = uint32(d.uvarint(maxSealed)), uint32(d.uvarint(maxPlain))
			f.Method = d.byte()
			chunks = chunks[:0]
			start := uint32(0)
			for range d.uvarint(maxPerFrame) {
				c := Chunk{Prefix: [16]byte(d.take(16)), Start: start}
				c.Length = uint32(d.uvarint(maxPlain))
				start += c.Length
				chunks = append(chunks, c)
			}
			if d.bad || !yield(f, chunks) {
				return
			}
			offset += f.Sealed
		}
	}
}

// Size is how many bytes the table takes in its pack.
func (t *Table) Size() int64 { return int64(len(t.b)) + binary.MaxVarintLen16 + tagSize }

// Has tells whether the table lists a chunk of that prefix.
func (t *Table) Has(prefix [16]byte) bool {
	for _, chunks := range t.All() {
		for i := range chunks {
			if chunks[i].Prefix == prefix {
				return true
			}
		}
	}
	return false
}

// A decoder reads the format's integers off a slice. After anything that does not
// fit, bad is set and what it returns is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit || (n > 1 && d.b[n-1] == 0) {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

var zeros [16]byte

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.bad, d.b = true, nil
		return zeros[:n]
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) skip(n int) { d.take(n) }
