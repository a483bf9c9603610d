package hwtest

import (
	"math/bits"
	"slices"
	"time"
)

// Speed is how fast a medium was read or written, its cache and the system's left out as far as can be.
type Speed struct {
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	Rate      int64   `json:"rate"`      // bytes a second, over all
	First     int64   `json:"first"`     // in the first part of Curve
	Sustained int64   `json:"sustained"` // in its second half: after the drive's own cache is full, if the run was long enough
	Slowest   int64   `json:"slowest"`   // in its slowest part
	Curve     []int64 `json:"curve"`     // bytes a second over position, in parts of equal size
	Latency   Latency `json:"latency"`   // of requests of 1 MiB
}

// Latency is how long requests took, in milliseconds, to about a tenth.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// parts is how many parts a curve has at most.
const parts = 64

// A meter measures one run over a known number of bytes.
type meter struct {
	total int64
	bytes [parts]int64
	took  [parts]time.Duration
	times times
}

// add counts a request, of n bytes at a position from the run's start.
func (m *meter) add(pos, n int64, d time.Duration) {
	i := min(int(float64(pos)/float64(m.total)*parts), parts-1)
	m.bytes[i] += n
	m.took[i] += d
	m.times.add(d)
}

// late counts time that the last request would have taken, had it waited: for a sync after it.
func (m *meter) late(pos int64, d time.Duration) {
	m.took[min(int(float64(pos)/float64(m.total)*parts), parts-1)] += d
}

func (m *meter) speed() *Speed {
	s := &Speed{Latency: m.times.latency()}
	var took, half time.Duration
	var second int64
	for i, n := range m.bytes {
		if n == 0 {
			continue
		}
		s.Bytes += n
		took += m.took[i]
		s.Curve = append(s.Curve, rate(n, m.took[i]))
		if i >= parts/2 {
			second, half = second+n, half+m.took[i]
		}
	}
	if len(s.Curve) > 0 {
		s.First, s.Slowest = s.Curve[0], slices.Min(s.Curve)
	}
	s.Seconds, s.Rate = took.Seconds(), rate(s.Bytes, took)
	s.Sustained = s.Rate
	if second > 0 {
		s.Sustained = rate(second, half)
	}
	return s
}

func rate(n int64, d time.Duration) int64 {
	return int64(float64(n) / max(d, time.Microsecond).Seconds())
}

// times counts durations by their size: each octave of nanoseconds in eight.
type times struct {
	counts [64 * 8]int64
	n      int64
	max    time.Duration
}

func (t *times) add(d time.Duration) {
	v := uint64(max(d, 8))
	octave := bits.Len64(v) - 1 // at least 3
	t.counts[octave*8+int(v>>(octave-3)&7)]++
	t.n++
	t.max = max(t.max, d)
}

// quantile is the duration that a share of all don't exceed.
func (t *times) quantile(q float64) time.Duration {
	left := int64(q * float64(t.n))
	for i, n := range t.counts {
		if left -= n; left < 0 {
			return min(time.Duration(uint64(i%8+9)<<(i/8)/8), t.max) // its upper end
		}
	}
	return t.max
}

func (t *times) latency() Latency {
	return Latency{ms(t.quantile(0.5)), ms(t.quantile(0.99)), ms(t.max)}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
