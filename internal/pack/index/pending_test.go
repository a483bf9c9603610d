package index

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func TestPending(t *testing.T) {
	var p Pending
	r := rand.New(rand.NewPCG(1, 1))
	for range 3 {
		m := map[Key]bool{}
		for range 100_000 {
			k := randomKey(r)
			if r.IntN(3) == 0 { // few and odd ones
				k = Key{byte(r.IntN(3)), 14: byte(r.IntN(20)), 15: byte(r.IntN(20))}
			}
			if p.Insert(k) == m[k] {
				t.Fatalf("%x: new twice, or never", k)
			}
			m[k] = true
		}
		if p.Len() != len(m) {
			t.Errorf("Len() = %d, want %d", p.Len(), len(m))
		}
		p.Reset()
		if p.Len() != 0 {
			t.Errorf("Len() = %d after Reset", p.Len())
		}
	}
}

func TestPendingConcurrent(t *testing.T) {
	const keys, workers = 20_000, 4
	var p Pending
	var fresh atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range uint64(keys) {
				if p.Insert(randomKey(rand.New(rand.NewPCG(i, 0)))) {
					fresh.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if fresh.Load() != keys || p.Len() != keys {
		t.Errorf("%d new, Len() = %d, want %d", fresh.Load(), p.Len(), keys)
	}
}

func TestConcurrent(t *testing.T) {
	x := testOpen(t, t.TempDir())
	r := rand.New(rand.NewPCG(2, 2))
	var m model
	for i := range 12 {
		m = append(m, commit{fmt.Sprint(i), chunks(r, 500)})
	}
	testAdd(t, x, "0", m[0].chunks)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				for k, want := range m[0].chunks {
					if got, ok := x.Lookup(k); !ok || got != want {
						t.Errorf("Lookup(%x) = %+v, %v while others are added", k, got, ok)
						return
					}
					x.Covers("3")
					x.Stats()
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for _, c := range m[1:] {
		testAdd(t, x, c.tag, c.chunks)
	}
	close(done)
	wg.Wait()
	expect(t, x, m.all())
	if err := x.Retain(func(tag string) bool { return tag != "0" }); err != nil || x.Covers("0") {
		t.Errorf("Retain: %v", err)
	}
}
