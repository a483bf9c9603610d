package cut

import "golang.org/x/sys/cpu"

// A block is the 32 places that the vector code looks at in one turn; it reads
// narrow-1 bytes past them.
const block = 32

// skim looks at whole blocks of b. It returns the first marked place and true, or
// how many places hold no mark and false; the rest is for walk.
func (f filter) skim(b []byte) (int, bool) {
	if !cpu.X86.HasAVX2 || len(b) < block+narrow-1 {
		return 0, false
	}
	n := (len(b) - (narrow - 1)) / block * block
	i := skimAVX2(&b[0], n, f.factor, f.addend, limit)
	return i, i < n
}

// skimAVX2 returns the first marked place of n at p, or n. It reads p[:n+narrow-1].
//
//go:noescape
func skimAVX2(p *byte, n int, factor, addend uint32, limit int32) int
