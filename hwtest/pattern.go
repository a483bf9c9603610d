package hwtest

import (
	"bytes"
	"encoding/binary"
)

// blockSize is the unit of the pattern, and what direct transfers are aligned to.
const blockSize = 4096

// fill writes the pattern of a position, a multiple of blockSize, to p. Every block of it is
//
//	 0  8 bytes  the run's key
//	 8  8 bytes  the block's position on the medium
//	16           a sequence that follows from both, and that can't be compressed
//
// so that a block that is read elsewhere, or in another run, betrays where and when it was written.
func fill(p []byte, key uint64, pos int64) {
	for ; len(p) >= blockSize; p, pos = p[blockSize:], pos+blockSize {
		b := p[:blockSize]
		binary.LittleEndian.PutUint64(b, key)
		binary.LittleEndian.PutUint64(b[8:], uint64(pos))
		s := (key ^ uint64(pos)*0x9e3779b97f4a7c15) | 1 // xorshift must not begin with 0
		for i := 16; i < blockSize; i += 8 {
			s ^= s << 13
			s ^= s >> 7
			s ^= s << 17
			binary.LittleEndian.PutUint64(b[i:], s)
		}
	}
}

// Capacity is what became of the pattern: whether the medium keeps what it takes.
type Capacity struct {
	Covered    int64 `json:"covered"`    // bytes over which the pattern was spread; in the quick form it is in a few places of them only
	Tested     int64 `json:"tested"`     // bytes that were written and read back
	Good       int64 `json:"good"`       // of them came back right
	Wrong      int64 `json:"wrong"`      // came back changed
	Moved      int64 `json:"moved"`      // came back with what was written elsewhere: the medium is smaller than it says
	Empty      int64 `json:"empty"`      // came back as zeros: never stored
	Unreadable int64 `json:"unreadable"` // could not be read
	FirstBad   int64 `json:"first_bad"`  // position of the first that was not good; -1 for none
	Real       int64 `json:"real"`       // about how much the medium holds, in the quick form at most; 0 when it couldn't be told
}

// check compares what was read at a position with the pattern.
func (c *Capacity) check(p []byte, key uint64, pos int64, scratch []byte) {
	for ; len(p) >= blockSize; p, pos = p[blockSize:], pos+blockSize {
		b := p[:blockSize]
		fill(scratch[:blockSize], key, pos)
		if bytes.Equal(b, scratch[:blockSize]) {
			c.Good += blockSize
			continue
		}
		c.note(pos)
		there := int64(binary.LittleEndian.Uint64(b[8:]))
		switch {
		case binary.LittleEndian.Uint64(b) == key && there != pos && there >= 0 && there%blockSize == 0:
			c.Moved += blockSize
			if d := max(there-pos, pos-there); c.Real == 0 || d < c.Real {
				c.Real = d
			}
		case len(bytes.Trim(b, "\x00")) == 0:
			c.Empty += blockSize
		default:
			c.Wrong += blockSize
		}
	}
}

// unreadable notes n bytes that could not be read.
func (c *Capacity) unreadable(pos, n int64) {
	c.note(pos)
	c.Unreadable += n
}

func (c *Capacity) note(pos int64) {
	if c.FirstBad < 0 || pos < c.FirstBad {
		c.FirstBad = pos
	}
}
