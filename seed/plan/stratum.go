package plan

import (
	"cmp"
	"slices"

	"waybill/internal/source"
)

// A stratum is a part of the source, with samples taken from it along the walk. Memory is bounded.
type stratum struct {
	scale float64 // how often the part counts
	files int64
	dirs  int64
	bytes int64
	refs  int64 // chunks of large files, whose ids are kept beside their entries
	sizes []Bucket
	trees []tree // that a random part consists of

	blocks  *blocks
	entries *entries
	twins   [2]*twins // of small files and of large ones
}

// A tree is what was below one directory that was chosen.
type tree struct{ files, bytes float64 }

// smallFile is one that is read whole, straight into a frame.
const smallFile = 128 << 10

func newStratum(o *Options) *stratum {
	s := &stratum{scale: 1, blocks: &blocks{first: o.generator(2).Uint64(), stride: 1, most: cmp.Or(o.blocks, keptBlocks)}, entries: &entries{random: o.generator(3)}}
	for i := range s.twins {
		s.twins[i] = newTwins(o.Random)
	}
	for _, to := range []int64{4 << 10, smallFile, 1 << 20, 16 << 20, 1 << 30, 0} {
		s.sizes = append(s.sizes, Bucket{To: to})
	}
	return s
}

// file takes in a file with data bytes of content.
func (s *stratum) file(dir string, name []byte, st *source.Stat, data int64) {
	s.files++
	s.bytes += data
	i := 0
	for i < len(s.sizes)-1 && data > s.sizes[i].To {
		i++
	}
	s.sizes[i].Files++
	s.sizes[i].Bytes += data
	if n := chunksOf(data); n > fewItems {
		s.refs += n
	}
	f := file{dir, string(name), data}
	s.blocks.add(f)
	if data > smallFile {
		s.twins[1].add(f)
	} else if data > 0 {
		s.twins[0].add(f)
	}
}

// spread is how much the scaled counts may be off because only a part of the trees was looked at: the variances of files and bytes.
func (s *stratum) spread() (files, bytes float64) {
	n := float64(len(s.trees))
	if n < 2 {
		return 0, 0
	}
	var f, b, ff, bb float64
	for _, t := range s.trees {
		f, b = f+t.files, b+t.bytes
	}
	f, b = f/n, b/n
	for _, t := range s.trees {
		ff += (t.files - f) * (t.files - f)
		bb += (t.bytes - b) * (t.bytes - b)
	}
	all := n * s.scale
	factor := all * all * (1 - 1/s.scale) / n / (n - 1)
	return ff * factor, bb * factor
}

// A file is a regular file and how much data it has.
type file struct {
	dir, name string
	size      int64
}

// Content is sampled by blocks: what the files of the walk hold, one after the other, is cut into blocks as large as a frame, and
// one of each few is kept, with the same distance between them (systematic sampling): neighbours are alike, so this tells more than as
// many at random. When they become too many every other is dropped.
type blocks struct {
	first  uint64 // a random number; the blocks that are kept have its last bits
	stride uint64 // a power of two
	most   int    // that are kept
	n      uint64 // blocks so far
	left   int64  // bytes to the end of the current one
	pieces int    // of the current one
	kept   []*block
	now    *block // the current one, nil when it isn't kept
}

// A block is stretches of files that lie together.
type block struct {
	number uint64
	pieces []piece
}

type piece struct {
	file
	off, n int64 // in the file's data
}

const (
	keptBlocks = 384 // at most, and about half as many at least
	blockSize  = 2 << 20
	mostPieces = 2048 // of a block, kept or not: then it is shorter
)

func (b *blocks) add(f file) {
	for off := int64(0); off < f.size; {
		if b.left == 0 || b.pieces == mostPieces {
			b.next()
		}
		b.pieces++
		n := min(f.size-off, b.left)
		if b.now != nil {
			b.now.pieces = append(b.now.pieces, piece{f, off, n})
		}
		off += n
		b.left -= n
	}
}

// next begins a block.
func (b *blocks) next() {
	number := b.n
	b.n++
	b.left, b.pieces, b.now = blockSize, 0, nil
	if !b.chosen(number) {
		return
	}
	if len(b.kept) == b.most {
		b.stride *= 2
		b.kept = slices.DeleteFunc(b.kept, func(k *block) bool { return !b.chosen(k.number) })
		if !b.chosen(number) {
			return
		}
	}
	b.now = &block{number: number}
	b.kept = append(b.kept, b.now)
}

func (b *blocks) chosen(number uint64) bool { return (number^b.first)&(b.stride-1) == 0 }

// part is how much of the blocks is kept.
func (b *blocks) part() float64 { return float64(len(b.kept)) / float64(max(b.n, 1)) }
