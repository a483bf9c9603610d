// Package plan answers the question before a first backup: ship or send?
//
// [Run] surveys a source: it walks it, or a random part of it, and estimates from samples how much a seed of it would store, with an
// error. [Compare] is arithmetic alone: from that, a line and disks it tells how many days each way takes, how many disks
// it needs, and at which bandwidth both ways take as long.
//
// The estimate is made by the engine's own parts: samples of content are cut, hashed and compressed as the writer would. Whole files that are there twice
// are found by their sizes and samples of what they hold. Stretches that large files have in common are only seen where
// samples meet them, so that a seed of many like disk images may be smaller than estimated. Extended attributes are not counted.
//
// Nothing is written, and no keys are needed.
package plan

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"

	"waybill/internal/pack"
)

// Options say what to survey. Roots is needed.
type Options struct {
	Roots         []string // absolute; symbolic links in them are followed
	Excludes      []string // see source.Excludes
	Skip          []string // directories never to be entered
	OneFileSystem bool
	Level         pack.Level // of compression
	Sample        bool       // walk a random part of the directories only; a few huge files may be missed, and the error doesn't know
	Random        uint64     // what the random choices begin with

	blocks int // for tests: how many are kept

	Files, Bytes, Sampled atomic.Int64 // seen and read so far
}

// An Estimate is a number that is known to some error: the truth lies within it 19 times of 20.
type Estimate struct {
	Value int64 `json:"value"`
	Error int64 `json:"error"` // either way
}

// A Bucket counts the files up to a size, and larger than those of the bucket before.
type Bucket struct {
	To    int64 `json:"to"` // bytes; the last has no limit and says 0
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// A Survey is what a source was found to be. What was sampled is scaled up.
type Survey struct {
	Files       Estimate `json:"files"`
	Directories int64    `json:"directories"`
	Bytes       Estimate `json:"bytes"`       // that files hold, without holes and further names of the same file
	Duplicate   Estimate `json:"duplicate"`   // of Bytes, in whole files that are there already
	Stored      Estimate `json:"stored"`      // by a seed: all packs
	Catalogue   int64    `json:"catalogue"`   // of Stored: names and metadata
	Ratio       float64  `json:"ratio"`       // stored bytes of one byte of content that is no duplicate
	Rate        float64  `json:"rate"`        // bytes a second that this machine's processors cut and compress
	Sampled     int64    `json:"sampled"`     // bytes of content that were read
	Walked      float64  `json:"walked"`      // the part of the directories below the top that was looked at
	Unreadable  int64    `json:"unreadable"`  // entries that could not be looked at and are not counted, and samples that could not be read
	Sizes       []Bucket `json:"sizes"`       // of files
	FirstError  string   `json:"first_error"` // of the unreadable
}

// Run surveys the source.
func Run(ctx context.Context, o *Options) (*Survey, error) {
	w, err := newWalker(ctx, o)
	if err != nil {
		return nil, err
	}
	parts, err := w.walk()
	if err != nil {
		return nil, fmt.Errorf("surveying: %w", err)
	}
	m, err := newMeter(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Survey{Walked: 1 / parts[len(parts)-1].scale}
	var sum total
	for _, p := range parts {
		if err := sum.add(s, p, m); err != nil {
			return nil, fmt.Errorf("surveying: %w", err)
		}
	}
	sum.finish(s, m)
	s.Unreadable = w.unreadable + m.failed
	first := cmp.Or(w.first, m.first)
	if first != nil {
		s.FirstError = first.Error()
	}
	if s.Files.Value == 0 && w.unreadable > 0 {
		return nil, fmt.Errorf("nothing of the source can be read: %w", first)
	}
	return s, nil
}

// A total adds up strata.
type total struct {
	files, bytes, duplicate, stored, cata float64
	vFiles, vBytes, vDuplicate, vStored   float64 // variances
	dirs                                  float64
	content, plain                        float64
}

func (t *total) add(s *Survey, p *stratum, m *meter) error {
	duplicate, vDuplicate, err := p.duplicates(m)
	if err != nil {
		return err
	}
	ratio, vRatio, err := p.ratio(m)
	if err != nil {
		return err
	}
	cata, err := p.catalogue(m)
	if err != nil {
		return err
	}
	k := p.scale
	unique := max(float64(p.bytes)-duplicate, 0)
	vFiles, vBytes := p.spread()
	t.files += k * float64(p.files)
	t.dirs += k * float64(p.dirs)
	t.bytes += k * float64(p.bytes)
	t.duplicate += k * duplicate
	t.stored += k * (unique*ratio + cata)
	t.cata += k * cata
	t.content += k * unique * ratio
	t.plain += k * unique
	t.vFiles += vFiles
	t.vBytes += vBytes
	t.vDuplicate += k * k * vDuplicate
	t.vStored += k*k*(unique*unique*vRatio+ratio*ratio*vDuplicate) + ratio*ratio*vBytes
	for i, b := range p.sizes {
		if len(s.Sizes) == i {
			s.Sizes = append(s.Sizes, Bucket{To: b.To})
		}
		s.Sizes[i].Files += int64(k * float64(b.Files))
		s.Sizes[i].Bytes += int64(k * float64(b.Bytes))
	}
	return nil
}

func (t *total) finish(s *Survey, m *meter) {
	const sigmas = 2
	estimate := func(v, variance float64) Estimate {
		return Estimate{int64(math.Round(v)), int64(math.Round(sigmas * math.Sqrt(max(variance, 0))))}
	}
	t.stored += pack.PackOverhead * (2 + t.stored/(64<<20))
	s.Files, s.Bytes = estimate(t.files, t.vFiles), estimate(t.bytes, t.vBytes)
	s.Duplicate, s.Stored = estimate(t.duplicate, t.vDuplicate), estimate(t.stored, t.vStored)
	s.Catalogue, s.Directories = int64(t.cata), int64(t.dirs)
	if t.plain > 0 {
		s.Ratio = t.content / t.plain
	}
	s.Sampled, s.Rate = m.read, m.rate()
}

// generator begins random choices.
func (o *Options) generator(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(o.Random, stream)) }
