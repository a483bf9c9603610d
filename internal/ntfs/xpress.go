package ntfs

// unpackXpress fills to from data compressed by Xpress with Huffman codes ([MS-XCA] 2.2): 256 bytes have the lengths of 512 codes, the
// first in the lower half; symbols below 256 are bytes, others repeat what came before. It returns false when it makes no sense.
func unpackXpress(to, from []byte) bool {
	const longest = 15
	if len(from) < 256 {
		return false
	}
	var lens [512]byte
	for i, b := range from[:256] {
		lens[2*i], lens[2*i+1] = b&15, b>>4
	}
	var h huffman
	if !h.build(lens[:]) {
		return false
	}
	b := bitReader{from: from[256:]}
	for n := 0; n < len(to); {
		s := h.symbol(&b, longest)
		switch {
		case s < 0 || b.bad():
			return false
		case s < 256:
			to[n] = byte(s)
			n++
			continue
		}
		b.ensure(16)
		count, log := s&15, s>>4&15
		back := 1<<log | b.read(log)
		if count == 15 {
			if count += b.byte(); count == 15+255 {
				count = b.byte() | b.byte()<<8
			}
		}
		if count += 3; !copyBack(to, n, back, count) {
			return false
		}
		n += count
	}
	return true
}
