package ntfs

// unpackLZNT1 decompresses what NTFS compressed, and returns how many bytes of to it filled; false when it makes no sense. The data is chunks of
// up to 4096 bytes when plain, each behind a head of 16 bits: 12 for its length - 1, the top one says that it is compressed. A chunk
// is flags for 8 items each, a byte or a reference back. How many bits of a reference are distance depends on how far the chunk is.
func unpackLZNT1(to, from []byte) (int, bool) {
	const chunk = 4096
	n := 0
	for len(from) >= 2 && n < len(to) {
		head := int(u16(from, 0))
		if head == 0 {
			break
		}
		size := head&0xfff + 1
		if 2+size > len(from) {
			return n, false
		}
		body := from[2 : 2+size]
		from = from[2+size:]
		out := to[n:min(n+chunk, len(to))]
		m := 0
		if head&0x8000 == 0 {
			m = copy(out, body)
		} else {
			var ok bool
			if m, ok = unpackChunk(out, body); !ok {
				return n, false
			}
		}
		if len(from) >= 2 && u16(from, 0) != 0 { // only the last may be short
			clear(out[m:])
			m = len(out)
		}
		n += m
	}
	return n, true
}

func unpackChunk(to, from []byte) (int, bool) {
	n, bits := 0, 4
	for len(from) > 0 {
		flags := from[0]
		from = from[1:]
		for i := 0; i < 8 && len(from) > 0; i++ {
			if flags>>i&1 == 0 {
				if n == len(to) {
					return n, false
				}
				to[n] = from[0]
				n, from = n+1, from[1:]
				continue
			}
			if len(from) < 2 || n == 0 {
				return n, false
			}
			for n > 1<<bits {
				bits++
			}
			ref := int(u16(from, 0))
			from = from[2:]
			back, count := ref>>(16-bits)+1, ref&(1<<(16-bits)-1)+3
			if back > n || count > len(to)-n {
				return n, false
			}
			for range count {
				to[n] = to[n-back]
				n++
			}
		}
	}
	return n, true
}
