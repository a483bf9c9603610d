package index

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// nth is a chunk by number: 16 to a frame, 64 frames to a pack.
func nth(i uint64) (Key, Loc) {
	f := uint32(i / 16)
	return nthKey(i), Loc{Pack: [32]byte{byte(f >> 6), byte(f >> 14), byte(f >> 22)}, Frame: f % 64, Sealed: 1 << 19,
		Plain: 1 << 20, Start: uint32(i%16) << 16, Length: 1 << 16}
}

func nthKey(i uint64) Key {
	var src rand.PCG
	src.Seed(i, 42)
	var k Key
	h := halves{src.Uint64(), src.Uint64()}
	e := entry{key: h}
	var row [entrySize]byte
	e.put(row[:])
	copy(k[:], row[:])
	return k
}

func fillNth(from, to uint64) func(put func(Key, Loc) error) error {
	return func(put func(Key, Loc) error) error {
		for i := from; i < to; i++ {
			if err := put(nth(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func BenchmarkIndex(b *testing.B) {
	for _, n := range []uint64{1e6, 1e7} {
		x := testOpen(b, b.TempDir())
		b.Run(fmt.Sprintf("build/%d", n), func(b *testing.B) {
			for b.Loop() {
				x.Retain(func(string) bool { return false })
				if err := x.Add("a", fillNth(0, n)); err != nil {
					b.Fatal(err)
				}
			}
			_, entries, size := x.Stats()
			b.ReportMetric(float64(size)/float64(entries), "B/entry")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
		})
		benchLookups(b, x, n)
		x.Close()
	}
}

func benchLookups(b *testing.B, x *Index, n uint64) {
	key := make([]Key, 1<<16) // made beforehand: making one takes as long as a miss
	each := func(b *testing.B, from uint64, f func(Key) bool) (hits int) {
		for i := range key {
			key[i] = nthKey(from + rand.Uint64N(n))
		}
		i := 0
		for b.Loop() {
			if f(key[i%len(key)]) {
				hits++
			}
			i++
		}
		return hits
	}
	b.Run(fmt.Sprintf("lookup/%d", n), func(b *testing.B) {
		each(b, 0, func(k Key) bool { _, ok := x.Lookup(k); return ok })
	})
	b.Run(fmt.Sprintf("has/%d", n), func(b *testing.B) { each(b, 0, x.Has) })
	b.Run(fmt.Sprintf("miss/%d", n), func(b *testing.B) { each(b, 1<<40, x.Has) })
}

// BenchmarkFalsePositives reports the share of misses that pass the filter.
func BenchmarkFalsePositives(b *testing.B) {
	x := testOpen(b, b.TempDir())
	if err := x.Add("a", fillNth(0, 1e6)); err != nil {
		b.Fatal(err)
	}
	pass, i := 0, uint64(1<<40)
	for b.Loop() {
		k := nthKey(i)
		i++
		if _, _, ok := x.segments[0].bounds(k.split()); ok {
			pass++
		}
	}
	b.ReportMetric(float64(pass)/float64(b.N)*100, "%pass")
}

// BenchmarkCheckpoints adds commits of a million chunks, as a first backup does.
func BenchmarkCheckpoints(b *testing.B) {
	x := testOpen(b, b.TempDir())
	n := uint64(0)
	for b.Loop() {
		if err := x.Add(fmt.Sprint(n), fillNth(n, n+1e6)); err != nil {
			b.Fatal(err)
		}
		n += 1e6
	}
}

func BenchmarkPending(b *testing.B) {
	key := make([]Key, 1<<21)
	for i := range key {
		key[i] = nthKey(uint64(i))
	}
	b.Run("new", func(b *testing.B) {
		var p Pending
		i := 0
		for b.Loop() {
			if i == len(key)/2 {
				p.Reset()
				i = 0
			}
			p.Insert(key[i])
			i++
		}
	})
	b.Run("known", func(b *testing.B) {
		var p Pending
		for _, k := range key[:1e6] {
			p.Insert(k)
		}
		i := 0
		for b.Loop() {
			p.Insert(key[i%1e6])
			i++
		}
	})
	b.Run("parallel", func(b *testing.B) {
		var p Pending
		b.RunParallel(func(pb *testing.PB) {
			i := rand.IntN(len(key))
			for pb.Next() {
				p.Insert(key[i%len(key)])
				i++
			}
		})
	})
}
