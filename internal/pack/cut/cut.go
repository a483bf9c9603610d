// Package cut divides content into chunks at places that the content itself
// chooses, so that bytes inserted or removed move only the cuts around them and
// everything else is found again by its chunk's hash.
//
// Give Next the bytes from a chunk's start on; it answers how long the chunk is:
//
//	for len(b) > 0 {
//		n := cutter.Next(b, true)
//		save(b[:n])
//		b = b[n:]
//	}
//
// A cut depends only on the key, the parameters and the bytes since the chunk's
// start, so cutting can start again at any chunk boundary. The key decides where
// the cuts fall: without it nobody can foretell the chunk lengths of a known file.
//
// The package neither reads, buffers nor hashes chunks. Its cuts are specified in
// manifest/FORMAT.md, section 6, and frozen by golden vectors: a cut that moves
// makes every machine store its files again.
package cut

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/zeebo/blake3"
)

// Name is the algorithm's name, as machine.json records it.
const Name = "waybill gear 1"

// window is how many bytes before a cut decide about it: the gear hash shifts by
// one bit a byte, so that a byte has left its 64 bits after 64 more.
const window = 64

// Params are the bounds of chunk lengths in bytes. A zero field stands for its default.
type Params struct {
	Min  int // no chunk is shorter, except the last of its content; default 16 KiB
	Mean int // where cutting becomes easier; a power of two; default 64 KiB
	Max  int // no chunk is longer; default 256 KiB
}

// Cutter finds cuts. It is immutable and safe for concurrent use.
type Cutter struct {
	params Params
	gear   [256]uint64
	hard   uint64 // mask for lengths below the mean: 2 bits more than its logarithm
	easy   uint64 // mask from the mean on: 2 bits fewer
}

// New returns the cutter of a domain, whose cutter key is key.
func New(key [32]byte, p Params) (*Cutter, error) {
	p = p.withDefaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	c := &Cutter{params: p}
	n := bits.TrailingZeros(uint(p.Mean))
	c.hard = ^uint64(0) << (64 - n - 2)
	c.easy = ^uint64(0) << (64 - n + 2)

	var table [256 * 8]byte
	blake3.DeriveKey("waybill 1 gear table", key[:], table[:])
	for i := range c.gear {
		c.gear[i] = binary.LittleEndian.Uint64(table[8*i:])
	}
	return c, nil
}

func (p Params) withDefaults() Params {
	if p.Min == 0 {
		p.Min = 16 << 10
	}
	if p.Mean == 0 {
		p.Mean = 64 << 10
	}
	if p.Max == 0 {
		p.Max = 256 << 10
	}
	return p
}

// check refuses what machine.json must not say either.
func (p Params) check() error {
	switch {
	case p.Min < window:
		return fmt.Errorf("cutter: the shortest chunk may be %d bytes: it must be at least %d", p.Min, window)
	case p.Mean < 4<<10 || p.Mean&(p.Mean-1) != 0:
		return fmt.Errorf("cutter: the mean chunk is %d bytes: it must be a power of two, at least 4096", p.Mean)
	case p.Max > 1<<20:
		return fmt.Errorf("cutter: the longest chunk may be %d bytes: it must be at most %d", p.Max, 1<<20)
	case p.Min >= p.Mean || p.Mean >= p.Max:
		return fmt.Errorf("cutter: chunks of %d to %d bytes, mean %d: they must ascend from shortest to mean to longest",
			p.Min, p.Max, p.Mean)
	}
	return nil
}

// Params returns the bounds in force, defaults filled in.
func (c *Cutter) Params() Params { return c.params }

// Next returns the length of the chunk that starts at b[0]. With last, b runs to
// the content's end. Without, it may answer 0: call again with more bytes; that
// never happens once b holds Max bytes. It doesn't keep or change b.
func (c *Cutter) Next(b []byte, last bool) int {
	p := c.params
	end := min(len(b), p.Max)
	if n := c.find(b[:end]); n > 0 {
		return n
	}
	if last || end == p.Max {
		return end
	}
	return 0
}

// find returns where b's first chunk is cut by its content, or 0.
func (c *Cutter) find(b []byte) int {
	p := c.params
	if len(b) < p.Min {
		return 0
	}
	var h uint64
	for _, v := range b[p.Min-window : p.Min-1] { // what lies before can't reach the hash
		h = h<<1 + c.gear[v]
	}
	middle := min(len(b), p.Mean-1)
	for i, v := range b[p.Min-1 : middle] {
		if h = h<<1 + c.gear[v]; h&c.hard == 0 {
			return p.Min + i
		}
	}
	for i, v := range b[middle:] {
		if h = h<<1 + c.gear[v]; h&c.easy == 0 {
			return middle + i + 1
		}
	}
	return 0
}
