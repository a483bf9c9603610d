package parity

import "github.com/klauspost/reedsolomon"

// The arithmetic of FORMAT.md, section 10: GF(2^8) of the polynomial 0x11d, and a Cauchy matrix.

// coefficient is what a member's bytes are multiplied by for a shard.
func coefficient(shard, member int) byte { return reedsolomon.Inv(byte(128+shard) ^ byte(member)) }

func multiply(a, b byte) (p byte) {
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			p ^= a
		}
		carry := a & 0x80
		a <<= 1
		if carry != 0 {
			a ^= 0x1d
		}
	}
	return p
}

// lane is how many bytes are added to all shards before the next are: they stay in the processor's cache.
const lane = 32 << 10

// add adds a member's bytes, from the window's byte off on, to the shards' windows.
func add(shards [][]byte, index []int, member, off int, p []byte) {
	var low reedsolomon.LowLevel
	for len(p) > 0 {
		part := p[:min(len(p), lane)]
		for j, w := range shards {
			low.GalMulSliceXor(coefficient(index[j], member), part, w[off:])
		}
		p, off = p[len(part):], off+len(part)
	}
}

// addTimes adds p, multiplied, to w.
func addTimes(w, p []byte, factor byte) { reedsolomon.LowLevel{}.GalMulSliceXor(factor, p, w) }

// solution is how the bad member at place at of bad follows from what shards lack: factors of each of the shards.
func solution(shards, bad []int, at int) []byte {
	n := len(bad)
	m := make([][]byte, n) // the coefficients, and the unit matrix beside them
	for j := range m {
		m[j] = make([]byte, 2*n)
		for i, member := range bad {
			m[j][i] = coefficient(shards[j], member)
		}
		m[j][n+j] = 1
	}
	for c := range n {
		pivot := c
		for m[pivot][c] == 0 { // a Cauchy matrix has an inverse: there is one
			pivot++
		}
		m[c], m[pivot] = m[pivot], m[c]
		scale(m[c], reedsolomon.Inv(m[c][c]))
		for r := range n {
			if f := m[r][c]; r != c && f != 0 {
				for k := range m[r] {
					m[r][k] ^= multiply(f, m[c][k])
				}
			}
		}
	}
	return m[at][n:]
}

func scale(row []byte, f byte) {
	for k := range row {
		row[k] = multiply(row[k], f)
	}
}
