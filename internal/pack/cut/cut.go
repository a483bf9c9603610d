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
// Cuts are found in two steps. A cheap filter, eight places to a machine
// instruction, marks one place in 1024 by the 8 bytes before it. Each mark is
// weighed by a keyed SipHash of the 64 bytes before it, and the chunk ends at the
// lightest mark between its shortest and its longest length. Choosing the lightest
// of many keeps chunks near their mean and finds as many known chunks as any rule
// that takes the first acceptable place.
//
// A cut depends only on the key, the parameters and the bytes from the chunk's
// start on, at most Max of them, so cutting can start again at any chunk boundary.
// Without the key nobody can foretell the chunk lengths of a known file.
//
// The package neither reads, buffers nor hashes chunks. Its cuts are specified in
// manifest/FORMAT.md, section 6, and frozen by golden vectors: a cut that moves
// makes every machine store its files again.
package cut

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"
)

// Name is the algorithm's name, as machine.json records it.
const Name = "lightest mark 1"

// window is how many bytes before a mark are weighed. Longer, it would tell more
// repeated lines apart and notice more edits for nothing.
const window = 64

// Params are the bounds of chunk lengths in bytes. The zero value means the defaults.
type Params struct {
	Min  int // no chunk is shorter, except the last of its content; default half of Mean
	Mean int // the middle of Min and Max, and the mean to expect; default 64 KiB
	Max  int // no chunk is longer; default as far above Mean as Min is below
}

// Cutter finds cuts. It is immutable and safe for concurrent use.
type Cutter struct {
	params Params
	marks  filter
	scale  [2]uint64 // SipHash key
}

// New returns the cutter of a domain, whose cutter key is key.
func New(key [32]byte, p Params) (*Cutter, error) {
	p = p.withDefaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	var k [24]byte
	blake3.DeriveKey("waybill 1 cutter", key[:], k[:])
	le := binary.LittleEndian
	return &Cutter{
		params: p,
		scale:  [2]uint64{le.Uint64(k[0:]), le.Uint64(k[8:])},
		marks:  filter{factor: le.Uint32(k[16:]) | 1, addend: le.Uint32(k[20:])},
	}, nil
}

func (p Params) withDefaults() Params {
	if p.Mean == 0 {
		p.Mean = 64 << 10
	}
	if p.Min == 0 {
		p.Min = p.Mean / 2
	}
	if p.Max == 0 {
		p.Max = 2*p.Mean - p.Min
	}
	return p
}

// check refuses what machine.json must not say either.
func (p Params) check() error {
	const least, most = 4 << 10, 1 << 20
	switch {
	case p.Min < window:
		return fmt.Errorf("cutter: the shortest chunk is %d bytes: it must be at least %d", p.Min, window)
	case p.Max > most:
		return fmt.Errorf("cutter: the longest chunk is %d bytes: it must be at most %d", p.Max, most)
	case p.Max-p.Min < least: // fewer than four marks to choose from
		return fmt.Errorf("cutter: chunks of %d to %d bytes: the bounds must be at least %d apart", p.Min, p.Max, least)
	case 2*p.Mean != p.Min+p.Max:
		return fmt.Errorf("cutter: mean chunk %d bytes: it must be the middle of %d and %d", p.Mean, p.Min, p.Max)
	}
	return nil
}

// Params returns the bounds in force, defaults filled in.
func (c *Cutter) Params() Params { return c.params }

// Next returns the length of the chunk that starts at b[0]. With last, b runs to
// the content's end. Without, b must hold at least Max bytes; Next answers 0 when
// it holds fewer, at no cost. It doesn't keep or change b.
func (c *Cutter) Next(b []byte, last bool) int {
	p := c.params
	switch {
	case len(b) >= p.Max:
		return c.lightest(b[:p.Max], p.Max)
	case !last:
		return 0
	case len(b) < 2*p.Min:
		return len(b)
	default: // what remains is worth a chunk too, or this one takes it along
		return c.lightest(b[:len(b)-p.Min], len(b))
	}
}

// lightest returns the place from Min to the end of b that weighs least among the
// marked ones, the last of equals, so that repetitive content gets long chunks; or
// otherwise, when none is marked.
func (c *Cutter) lightest(b []byte, otherwise int) int {
	cut, least := otherwise, ^uint64(0)
	for n := c.params.Min; ; n++ {
		skip := c.marks.next(b[n-narrow:])
		if skip < 0 {
			return cut
		}
		n += skip
		if w := siphash(c.scale, b[n-window:n]); w <= least {
			cut, least = n, w
		}
	}
}
