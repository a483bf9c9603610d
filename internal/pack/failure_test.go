package pack

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"waybill/manifest"
)

// Whatever fails, once or from then on: its error comes out of Flush and Close, nobody waits for ever, no goroutine
// stays (synctest sees to both), every target is ended, and what was committed is what its name says (the store sees to that).
func TestFailingTargets(t *testing.T) {
	for _, op := range []string{"create", "write", "commit"} {
		for _, k := range []int{1, 2, 3, 5, 12} {
			for _, once := range []bool{true, false} {
				for _, commits := range []int{1, 3} {
					t.Run(fmt.Sprintf("%s %d once=%v of %d", op, k, once, commits), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { failAt(t, op, k, once, commits) })
					})
				}
			}
		}
	}
}

func failAt(t *testing.T, op string, k int, once bool, commits int) {
	st := newStore(t)
	st.fail = func(o string, n int) error {
		if o == op && (n == k || n > k && !once) {
			return errBoom
		}
		return nil
	}
	cfg := st.config()
	cfg.Producers, cfg.Workers, cfg.Commits, cfg.DataPack, cfg.CataPack = 3, 8, commits, 100<<10, 50<<10
	w := NewWriter(t.Context(), cfg)
	s := newSession()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { s.produce(w, both[i%2], uint64(i), 300) })
	}
	wg.Wait()
	_, ferr := w.Flush()
	_, again := w.Flush()
	cerr := w.Close()
	failed := st.calls[op] >= k
	for name, err := range map[string]error{"Flush": ferr, "the next Flush": again, "Close": cerr} {
		if errors.Is(err, errBoom) != failed || (err != nil) != failed {
			t.Errorf("%s returns %v; the target has failed: %v", name, err, failed)
		}
	}
	if st.open != 0 {
		t.Errorf("%d targets are neither committed nor aborted", st.open)
	}
	for name, b := range st.packs {
		if _, err := readPack(b, st.listed[name].Class, Keys{Recovery: recoveryKey}); err != nil {
			t.Errorf("committed pack %.12s: %v", name, err)
		}
	}
}

// A pack whose commit fails late, when nothing is being added any more, fails the Flush.
func TestLastCommitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		st.fail = func(op string, _ int) error {
			if op == "commit" {
				return errBoom
			}
			return nil
		}
		w := NewWriter(t.Context(), st.config())
		stream := w.Stream(manifest.Catalogue)
		stream.Add(noise(1, 1000))
		if err := stream.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Flush(); !errors.Is(err, errBoom) {
			t.Errorf("Flush: %v", err)
		}
		if _, _, err := stream.Add(noise(2, 1000)); err == nil {
			err = stream.Flush()
			if !errors.Is(err, errBoom) {
				t.Errorf("a stream goes on after that: %v", err)
			}
		}
		if err := w.Close(); !errors.Is(err, errBoom) {
			t.Errorf("Close: %v", err)
		}
	})
}

// A stream that is blocked because all frames are in use is freed by a failure.
func TestFailureFreesWaitingProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		gate := make(chan struct{})
		cfg := st.config()
		cfg.Create = func(manifest.Class) (Target, error) {
			<-gate
			return nil, errBoom
		}
		cfg.Workers, cfg.Producers = 1, 2
		w := NewWriter(t.Context(), cfg)
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				stream := w.Stream(manifest.Data)
				for n := 0; ; n++ {
					if _, _, err := stream.Add(noise(uint64(i<<12|n), 1<<20)); err != nil {
						if !errors.Is(err, errBoom) {
							t.Errorf("producer %d: %v", i, err)
						}
						return
					}
				}
			})
		}
		synctest.Wait() // all frames are in use, all producers wait
		close(gate)
		wg.Wait()
		if err := w.Close(); !errors.Is(err, errBoom) {
			t.Errorf("Close: %v", err)
		}
	})
}
