package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math"

	"waybill/internal/source"
)

// twins finds files that are there more than once. Copies have the same size, so sizes are sampled, all files of a size or none: the files
// of chosen sizes are kept until they are too many, then fewer sizes are chosen (adaptive sampling). So of copies all are seen.
type twins struct {
	seed    uint64
	most    uint64 // sizes whose hash is larger are not chosen
	classes map[int64]*class
	kept    int
}

// A class is the files of a size.
type class struct {
	count int64
	files []file // of count, at most classFiles
}

const (
	keptFiles  = 8192
	classFiles = 1024
)

func newTwins(seed uint64) *twins {
	return &twins{seed: seed, most: math.MaxUint64, classes: map[int64]*class{}}
}

// hash spreads sizes evenly (SplitMix64's finisher).
func (t *twins) hash(size int64) uint64 {
	h := uint64(size)*0x9e3779b97f4a7c15 + t.seed
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func (t *twins) add(f file) {
	if t.hash(f.size) > t.most {
		return
	}
	c := t.classes[f.size]
	if c == nil {
		c = &class{}
		t.classes[f.size] = c
	}
	if c.count++; len(c.files) == classFiles {
		return
	}
	c.files = append(c.files, f)
	for t.kept++; t.kept > keptFiles && len(t.classes) > 1; {
		t.most /= 2
		for size, c := range t.classes {
			if t.hash(size) > t.most {
				t.kept -= len(c.files)
				delete(t.classes, size)
			}
		}
	}
}

// part is how much of the sizes is chosen.
func (t *twins) part() float64 { return float64(t.most) / math.MaxUint64 }

// duplicates are the bytes of the stratum that whole files have which are there already, and their variance.
func (s *stratum) duplicates(m *meter) (bytes, variance float64, err error) {
	if s.blocks.part() == 1 {
		return 0, 0, nil // all is read, and every chunk is compared
	}
	for i, t := range s.twins {
		var all float64
		for k, b := range s.sizes {
			if large := k >= 2; large == (i == 1) {
				all += float64(b.Bytes)
			}
		}
		n, v, err := t.duplicates(m, all)
		if err != nil {
			return 0, 0, err
		}
		bytes, variance = bytes+n, variance+v
	}
	return bytes, variance, nil
}

func (t *twins) duplicates(m *meter, all float64) (bytes, variance float64, err error) {
	type sum struct{ all, copies float64 }
	var sums []sum
	var a, c float64
	for size, class := range t.classes {
		copies := 0.0
		if class.count > 1 {
			n, err := m.copies(class.files)
			if err != nil {
				return 0, 0, err
			}
			copies = float64(n) / float64(len(class.files)) * float64(class.count)
		}
		x := sum{float64(class.count) * float64(size), copies * float64(size)}
		sums = append(sums, x)
		a, c = a+x.all, c+x.copies
	}
	if a == 0 {
		return 0, 0, nil
	}
	r := c / a
	if n := float64(len(sums)); n > 1 {
		for _, x := range sums {
			variance += (x.copies - r*x.all) * (x.copies - r*x.all)
		}
		variance *= (1 - t.part()) * n / (n - 1) / a / a * all * all
	}
	return r * all, variance, nil
}

// copies counts the files of a size that hold what another of them does, by samples of it, and notes them.
func (m *meter) copies(files []file) (n int, err error) {
	seen := map[[sha256.Size]byte]bool{}
	for _, f := range files {
		if err := m.ctx.Err(); err != nil {
			return 0, err
		}
		print, ok := m.print(f)
		if !ok {
			continue
		}
		if seen[print] {
			m.copied[maphash.Comparable(m.seed, f)] = true
			n++
		}
		seen[print] = true
	}
	return n, nil
}

// printSize is how much is read of a file's beginning, middle and end.
const printSize = 4 << 10

func (m *meter) print(f file) (sum [sha256.Size]byte, ok bool) {
	ok = m.open(f, func(r *source.File) error {
		h := sha256.New()
		var b [printSize]byte
		at := []int64{0, f.size / 2, max(f.size-printSize, 0)}
		if f.size <= 3*printSize {
			at = []int64{0, printSize, 2 * printSize}
		}
		for _, off := range at {
			n, _ := r.ReadAt(b[:], off) // a file that became shorter is none's copy
			m.took(n)
			h.Write(binary.AppendUvarint(nil, uint64(n)))
			h.Write(b[:n])
		}
		h.Sum(sum[:0])
		return nil
	})
	return sum, ok
}
