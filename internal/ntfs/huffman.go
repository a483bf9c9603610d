package ntfs

// bitReader reads what LZX and Xpress write: 16 bits at a time, little-endian, the upper ones first, among which whole bytes lie.
type bitReader struct {
	from []byte
	at   int
	buf  uint32 // the next bits are on top
	n    int
	past int // words that were read behind the end, as zeros
}

// ensure has at least n bits at hand, up to 17, by reading words for as long as they aren't.
func (b *bitReader) ensure(n int) {
	for b.n < n {
		w := uint32(0)
		if b.at+2 <= len(b.from) {
			w = uint32(u16(b.from, b.at))
			b.at += 2
		} else {
			b.past++
		}
		b.buf |= w << (16 - b.n)
		b.n += 16
	}
}

func (b *bitReader) read(n int) int {
	if n == 0 {
		return 0
	}
	b.ensure(n)
	v := b.buf >> (32 - n)
	b.buf <<= n
	b.n -= n
	return int(v)
}

// bytes returns the next n bytes that aren't bits yet, nil if there are no more.
func (b *bitReader) bytes(n int) []byte {
	if n > len(b.from)-b.at {
		b.past += 3
		return nil
	}
	b.at += n
	return b.from[b.at-n : b.at]
}

func (b *bitReader) byte() int {
	if p := b.bytes(1); p != nil {
		return int(p[0])
	}
	return 0
}

// align forgets the rest of the word of which bits were read last, or the next one if none is begun.
func (b *bitReader) align() {
	b.ensure(1)
	if b.n > 16 && b.past == 0 { // the word behind it was read too soon
		b.at -= 2
	}
	b.buf, b.n = 0, 0
}

// bad says that it was read far behind the end.
func (b *bitReader) bad() bool { return b.past > 2 }

// huffman is a canonical code: shorter codes are smaller, and those of one length go by symbol.
type huffman struct {
	count  [17]int
	sorted []uint16
	fast   [1 << fastBits]uint16 // length and symbol of codes that begin so, 0 for longer ones
}

const fastBits = 9

// build takes the lengths of codes, at most 16 bits. It returns false if there can't be such a code.
func (h *huffman) build(lens []byte) bool {
	h.count = [17]int{}
	for _, n := range lens {
		h.count[n]++
	}
	h.count[0] = 0
	var next [18]int // places in sorted
	left := 1
	for n := 1; n <= 16; n++ {
		if left = left<<1 - h.count[n]; left < 0 {
			return false
		}
		next[n+1] = next[n] + h.count[n]
	}
	if cap(h.sorted) < next[17] {
		h.sorted = make([]uint16, next[17])
	}
	h.sorted = h.sorted[:next[17]]
	for s, n := range lens {
		if n > 0 {
			h.sorted[next[n]] = uint16(s)
			next[n]++
		}
	}
	h.fast = [1 << fastBits]uint16{}
	code, at := 0, 0
	for n := 1; n <= fastBits; n++ {
		for range h.count[n] {
			from := code << (fastBits - n)
			for i := range 1 << (fastBits - n) {
				h.fast[from+i] = uint16(n)<<12 | h.sorted[at]
			}
			code, at = code+1, at+1
		}
		code <<= 1
	}
	return true
}

// symbol reads a symbol, -1 if there is none with such a code.
func (h *huffman) symbol(b *bitReader, longest int) int {
	b.ensure(longest)
	if f := h.fast[b.buf>>(32-fastBits)]; f != 0 {
		b.buf <<= f >> 12
		b.n -= int(f >> 12)
		return int(f & 0xfff)
	}
	code, first, at := 0, 0, 0
	for n := 1; n <= 16; n++ {
		code = int(b.buf >> (32 - n))
		if code-first < h.count[n] {
			b.buf <<= n
			b.n -= n
			return int(h.sorted[at+code-first])
		}
		at += h.count[n]
		first = (first + h.count[n]) << 1
	}
	return -1
}

// copyBack repeats count bytes that begin back bytes before to[n]; false if they aren't there or don't fit.
func copyBack(to []byte, n, back, count int) bool {
	if back <= 0 || back > n || count > len(to)-n {
		return false
	}
	for i := range count {
		to[n+i] = to[n+i-back]
	}
	return true
}
