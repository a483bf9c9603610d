package ntfs

import "encoding/binary"

// lzx decompresses LZX ([MS-PATCH] 2) as archives of Windows have it: each chunk stands alone, is up to 32 KiB, and has the targets of calls in x86
// programs made absolute.
type lzx struct {
	bitReader
	to      []byte
	n       int
	recent  [3]int
	mainLen [lzxMain]byte // of codes; those of a block are told by how they differ from the block's before
	lenLen  [lzxLengths]byte
	main    huffman
	lengths huffman
	aligned huffman
	pre     huffman
}

const (
	lzxSlots   = 30 // of distances up to 32 KiB
	lzxMain    = 256 + 8*lzxSlots
	lzxLengths = 249
	lzxLongest = 16

	lzxVerbatim = 1
	lzxAligned  = 2
	lzxPlain    = 3
)

// unpackLZX fills to. It returns false when the data makes no sense.
func unpackLZX(to, from []byte) bool {
	d := &lzx{bitReader: bitReader{from: from}, to: to, recent: [3]int{1, 1, 1}}
	for d.n < len(to) {
		if !d.block() {
			return false
		}
	}
	relative(to)
	return true
}

func (d *lzx) block() bool {
	kind, size := d.read(3), 32<<10
	if d.read(1) == 0 {
		size = d.read(16)
	}
	if size == 0 || size > len(d.to)-d.n || d.bad() {
		return false
	}
	switch kind {
	case lzxPlain:
		return d.plain(size)
	case lzxAligned:
		var lens [8]byte
		for i := range lens {
			lens[i] = byte(d.read(3))
		}
		if !d.aligned.build(lens[:]) {
			return false
		}
	case lzxVerbatim:
	default:
		return false
	}
	ok := d.codeLengths(d.mainLen[:256]) && d.codeLengths(d.mainLen[256:]) && d.main.build(d.mainLen[:]) && d.codeLengths(d.lenLen[:]) && d.lengths.build(d.lenLen[:])
	return ok && d.packed(d.n+size, kind == lzxAligned)
}

// plain reads a block that isn't compressed. It begins at a word, after which bits go on; a word that was just begun counts as read.
func (d *lzx) plain(size int) bool {
	d.align()
	for i := range d.recent {
		b := d.bytes(4)
		if b == nil {
			return false
		}
		d.recent[i] = int(u32(b, 0))
	}
	b := d.bytes(size)
	if b == nil {
		return false
	}
	d.n += copy(d.to[d.n:], b)
	if size%2 == 1 {
		d.bytes(1)
	}
	return true
}

// codeLengths reads how the lengths of codes differ from those of the block before, by a code of its own.
func (d *lzx) codeLengths(lens []byte) bool {
	var own [20]byte
	for i := range own {
		own[i] = byte(d.read(4))
	}
	if !d.pre.build(own[:]) {
		return false
	}
	for i := 0; i < len(lens); {
		run, s := 1, d.pre.symbol(&d.bitReader, lzxLongest)
		value := byte(0)
		switch {
		case s < 0 || d.bad():
			return false
		case s == 17:
			run = 4 + d.read(4)
		case s == 18:
			run = 20 + d.read(5)
		default:
			if s == 19 {
				run = 4 + d.read(1)
				if s = d.pre.symbol(&d.bitReader, lzxLongest); s < 0 || s > 16 {
					return false
				}
			}
			value = byte((int(lens[i]) - s + 17) % 17)
		}
		for ; run > 0 && i < len(lens); run, i = run-1, i+1 {
			lens[i] = value
		}
	}
	return true
}

// packed reads up to byte end.
func (d *lzx) packed(end int, aligned bool) bool {
	for d.n < end {
		s := d.main.symbol(&d.bitReader, lzxLongest)
		switch {
		case s < 0 || d.bad():
			return false
		case s < 256:
			d.to[d.n] = byte(s)
			d.n++
			continue
		}
		count, slot := (s-256)%8, (s-256)/8
		if count == 7 {
			more := d.lengths.symbol(&d.bitReader, lzxLongest)
			if more < 0 {
				return false
			}
			count += more
		}
		count += 2
		back := d.distance(slot, aligned)
		if d.n+count > end || !copyBack(d.to, d.n, back, count) {
			return false
		}
		d.n += count
	}
	return true
}

// distance reads how far back it is: slots 0 to 2 are the last three distances, others begin at 1, 2, 4, 6, 10, 14 ... and have more bits, the lowest
// three of which may have a code of their own.
func (d *lzx) distance(slot int, aligned bool) int {
	if slot < 3 {
		d.recent[0], d.recent[slot] = d.recent[slot], d.recent[0]
		return d.recent[0]
	}
	extra := slot/2 - 1
	back := (2+slot&1)<<extra - 2
	if aligned && extra >= 3 {
		back += d.read(extra-3) << 3
		low := d.aligned.symbol(&d.bitReader, lzxLongest)
		if low < 0 {
			return -1
		}
		back += low
	} else {
		back += d.read(extra)
	}
	d.recent = [3]int{back, d.recent[0], d.recent[1]}
	return back
}

// relative makes targets of calls (E8) relative again, as they are in programs.
func relative(b []byte) {
	const size = 12000000 // that the file is said to have
	for i := 0; i < len(b)-10; i++ {
		if b[i] != 0xe8 {
			continue
		}
		at := int32(u32(b, i+1))
		switch {
		case at >= 0 && at < size:
			binary.LittleEndian.PutUint32(b[i+1:], uint32(at-int32(i)))
		case at < 0 && at >= -int32(i):
			binary.LittleEndian.PutUint32(b[i+1:], uint32(at+size))
		}
		i += 4
	}
}
