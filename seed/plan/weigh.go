package plan

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"runtime"
	"time"

	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/source"
)

// A meter reads samples and puts them through the engine's parts.
type meter struct {
	ctx    context.Context
	o      *Options
	pack   *pack.Meter
	cutter *cut.Cutter
	hasher *pack.Hasher
	seed   maphash.Seed
	copied map[uint64]bool // hashes of files that are there already
	path   string          // of dir
	dir    *source.Dir     // the last one opened
	buf    []byte

	read   int64 // bytes
	failed int64 // files that could not be read
	first  error
	weight int64         // bytes that were cut and compressed
	spent  time.Duration // on it
}

func newMeter(ctx context.Context, o *Options) (*meter, error) {
	var key [2][32]byte // of nobody's domain: only for this survey
	rand.Read(key[0][:])
	rand.Read(key[1][:])
	c, err := cut.New(key[0], cut.Params{})
	return &meter{ctx: ctx, o: o, pack: pack.NewMeter(o.Level), cutter: c, hasher: pack.NewHasher(key[1]),
		seed: maphash.MakeSeed(), copied: map[uint64]bool{}, buf: make([]byte, blockSize)}, err
}

// rate is how many bytes a second all processors together cut, hash and compress. What else they do in a seed takes a tenth.
func (m *meter) rate() float64 {
	if m.spent <= 0 {
		return 0
	}
	return 0.9 * float64(m.weight) / m.spent.Seconds() * float64(runtime.GOMAXPROCS(0))
}

// open calls use with the file; false when it can't be opened or used.
func (m *meter) open(f file, use func(*source.File) error) bool {
	err := m.openIn(f, use)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist) {
		if m.failed++; m.first == nil {
			m.first = fmt.Errorf("%s: %w", filepath.Join(f.dir, f.name), err)
		}
	}
	return err == nil
}

func (m *meter) openIn(f file, use func(*source.File) error) error {
	if m.dir == nil || m.path != f.dir {
		m.close()
		d, err := source.OpenDir(f.dir)
		if err != nil {
			return err
		}
		m.dir, m.path = d, f.dir
	}
	r, err := m.dir.Open([]byte(f.name))
	if err != nil {
		return err
	}
	defer r.Close()
	return use(r)
}

// took counts bytes that were read.
func (m *meter) took(n int) {
	m.read += int64(n)
	m.o.Sampled.Add(int64(n))
}

func (m *meter) close() {
	if m.dir != nil {
		m.dir.Close()
		m.dir = nil
	}
}

// A sighting is where a chunk was seen.
type sighting struct {
	count  int
	block  int
	length int
	apart  bool // in different blocks
}

// ratio is how many bytes are stored for one of the stratum's that is in no copied file, and the variance of that.
func (s *stratum) ratio(m *meter) (ratio, variance float64, err error) {
	defer m.close()
	ratio, variance, err = s.ratioOf(m, map[pack.ID]*sighting{})
	if ratio == 0 && err == nil && len(m.copied) > 0 { // the samples are all of copies: they compress as what they were copied from
		clear(m.copied)
		ratio, variance, err = s.ratioOf(m, nil)
	}
	if ratio == 0 && err == nil && s.bytes > 0 { // nothing could be read: it is as large as it is, or anything less
		return 1, 0.25, nil
	}
	return ratio, variance, err
}

// ratioOf leaves out chunks that were seen; with a nil map none.
func (s *stratum) ratioOf(m *meter, seen map[pack.ID]*sighting) (ratio, variance float64, err error) {
	var stored, plain []float64
	var sumStored, sumPlain, unique float64
	for i, b := range s.blocks.kept {
		if err := m.ctx.Err(); err != nil {
			return 0, 0, err
		}
		st, pl, un, err := m.block(i, b, seen, s.blocks.part() == 1)
		if err != nil {
			return 0, 0, err
		}
		stored, plain = append(stored, st), append(plain, pl)
		sumStored, sumPlain, unique = sumStored+st, sumPlain+pl, unique+un
	}
	if sumPlain == 0 {
		return 0, 0, nil
	}
	ratio = sumStored / sumPlain
	n, part := float64(len(stored)), s.blocks.part()
	if n > 1 {
		// From neighbours' differences: in a systematic sample what changes slowly along the walk is no error.
		for i := 1; i < len(stored); i++ {
			d := stored[i] - ratio*plain[i] - (stored[i-1] - ratio*plain[i-1])
			variance += d * d / 2
		}
		variance *= (1 - part) * n / (n - 1) / sumPlain / sumPlain
	}
	more := unseen(seen, part) / sumPlain * sumStored / max(unique, 1)
	more = min(more, ratio/2)
	return ratio - more, variance + more*more/4, nil
}

// mostPairs limits what a pair of equal chunks stands for: where few blocks are kept, chance would decide.
const mostPairs = 20

// unseen is how many bytes more are stored once only than the samples show: of two equal chunks both are in a sample of a
// part p of all with the probability p*p, so that the pairs that are seen stand for 1/p times more than the sample's own.
func unseen(seen map[pack.ID]*sighting, part float64) (bytes float64) {
	for _, s := range seen {
		if s.count == 2 && s.apart {
			bytes += float64(s.length)
		}
	}
	return bytes * (min(1/part, mostPairs) - 1)
}

// block weighs one block: what is stored of it, how much it holds, and how much of that was not seen before.
func (m *meter) block(number int, b *block, seen map[pack.ID]*sighting, exact bool) (stored, plain, unique float64, err error) {
	var frame []byte
	var chunks []pack.Chunk
	for _, p := range b.pieces {
		if m.copied[maphash.Comparable(m.seed, p.file)] {
			continue
		}
		part := m.piece(p)
		m.took(len(part))
		began := time.Now()
		plain += float64(len(part))
		for len(part) > 0 {
			k := m.cutter.Next(part, true)
			id := m.hasher.Sum(part[:k])
			if seen == nil || !exact && p.size <= smallFile || fresh(seen, id, number, k) {
				chunks = append(chunks, pack.Chunk{Prefix: id.Prefix(), Start: uint32(len(frame)), Length: uint32(k)})
				frame = append(frame, part[:k]...)
			}
			part = part[k:]
		}
		m.spent += time.Since(began)
	}
	began := time.Now()
	n, err := m.pack.Frame(frame, chunks)
	m.spent += time.Since(began)
	m.weight += int64(plain)
	return float64(n), plain, float64(len(frame)), err
}

// fresh notes a chunk and tells whether it is the first of its kind.
func fresh(seen map[pack.ID]*sighting, id pack.ID, block, length int) bool {
	s := seen[id]
	if s == nil {
		seen[id] = &sighting{1, block, length, false}
		return true
	}
	s.count++
	s.apart = s.apart || s.block != block
	return false
}

// piece reads a stretch of a file's data, less where it can't be read.
func (m *meter) piece(p piece) (b []byte) {
	m.open(p.file, func(f *source.File) error {
		off, skip := int64(0), p.off
		for int64(len(b)) < p.n {
			start, end := off, int64(math.MaxInt64)
			if f.Opened().Sparse() {
				var err error
				if start, end, err = f.NextData(off); err != nil {
					return err
				}
			}
			if end-start <= skip {
				skip, off = skip-(end-start), end
				continue
			}
			start, skip = start+skip, 0
			room := m.buf[len(b):min(int64(len(b))+end-start, p.n)]
			n, err := f.ReadAt(room, start)
			b = m.buf[:len(b)+n]
			if err != nil {
				return err
			}
			off = start + int64(n)
		}
		return nil
	})
	return b
}
