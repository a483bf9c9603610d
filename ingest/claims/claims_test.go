package claims

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/ingest/claims/claimstest"
)

func take(t *testing.T, b *Board, key, note string) *Claim {
	t.Helper()
	c, err := b.Take(t.Context(), key, []byte(note))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refused(t *testing.T, b *Board, key string, want error) {
	t.Helper()
	if c, err := b.Take(t.Context(), key, nil); !errors.Is(err, want) {
		t.Errorf("taking %s: %v %v, want: %v", key, c, err, want)
	}
}

// two are the boards of two workers on the same store.
func two() (*claimstest.Store, *Board, *Board) {
	s := claimstest.New()
	return s, Open(s, "v/", 0), Open(s, "v/", 0)
}

func TestDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := two()
		c := take(t, a, "x/1", "first")
		refused(t, b, "x/1", ErrTaken)
		refused(t, a, "x/1", ErrTaken)
		take(t, b, "x/2", "").Drop()
		d := take(t, b, "x/2", "second time")
		if c.Again || string(c.Note) != "first" || !d.Again || string(d.Note) != "" {
			t.Errorf("fresh: %v %q, taken before: %v %q", c.Again, c.Note, d.Again, d.Note)
		}
		time.Sleep(time.Hour) // both are renewed
		refused(t, b, "x/1", ErrTaken)
		d.Drop()
		if err := c.Done(t.Context(), []byte("result")); err != nil {
			t.Fatal(err)
		}
		refused(t, b, "x/1", ErrDone)
		if r, err := b.Result(t.Context(), "x/1"); err != nil || string(r) != "result" {
			t.Errorf("result: %q %v", r, err)
		}
		if _, err := b.Result(t.Context(), "x/2"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("result of what is not done: %v", err)
		}
		e := take(t, a, "x/3", "")
		got, err := b.List(t.Context(), "x/")
		if want := map[string]State{"x/1": Done, "x/2": Idle, "x/3": Held}; err != nil || !maps.Equal(got, want) {
			t.Errorf("states: %v %v, want %v", got, err, want)
		}
		e.Drop()
		e.Drop()
	})
}

// A worker that can't say that it lives loses its piece when the service says so, and hears of it; what it finishes all the same does no harm.
func TestTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := two()
		c := take(t, a, "x", "before")
		s.Fail(func(op, _ string) error {
			if op == "renew" {
				return errors.New("no answer")
			}
			return nil
		})
		time.Sleep(DefaultLease - time.Second)
		refused(t, b, "x", ErrTaken)
		time.Sleep(2 * time.Second)
		d := take(t, b, "x", "now")
		if !d.Again || string(d.Note) != "before" {
			t.Errorf("taken over: %v %q", d.Again, d.Note)
		}
		s.Fail(nil)
		<-c.Context().Done()
		if !c.Lost() || d.Lost() {
			t.Errorf("lost: %v, and the other %v", c.Lost(), d.Lost())
		}
		if err := c.Done(t.Context(), []byte("late")); err != nil {
			t.Error(err)
		}
		if err := d.Done(t.Context(), []byte("later")); err != nil {
			t.Error(err)
		}
		if r, err := b.Result(t.Context(), "x"); string(r) != "late" {
			t.Errorf("the first result should count: %q %v", r, err)
		}
	})
}

// One that slept past its lease, and whose piece nobody wanted meanwhile, goes on.
func TestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := two()
		c := take(t, a, "x", "")
		failures := 2
		s.Fail(func(op, _ string) error {
			if op == "renew" && failures > 0 {
				failures--
				return errors.New("no answer")
			}
			return nil
		})
		time.Sleep(10 * DefaultLease)
		refused(t, b, "x", ErrTaken)
		if c.Lost() {
			t.Error("it was lost")
		}
		c.Drop()
	})
}

// What was claimed is free at once when the worker is told to stop.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := two()
		ctx, stop := context.WithCancel(t.Context())
		c, err := a.Take(ctx, "x", nil)
		if err != nil {
			t.Fatal(err)
		}
		stop()
		<-c.Context().Done()
		c.Drop()
		if c.Lost() {
			t.Error("it was not lost, but ended")
		}
		take(t, b, "x", "").Drop()
	})
}

// A board that is emptied under everybody makes them lose what they have, and begin again.
func TestCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := two()
		c := take(t, a, "x", "")
		s.Clear()
		d := take(t, b, "x", "anew")
		<-c.Context().Done()
		if !c.Lost() || d.Again {
			t.Errorf("lost: %v; taken before: %v", c.Lost(), d.Again)
		}
		c.Drop()
		if err := d.Done(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
}

// Of many that come at once, one at a time has the piece.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claimstest.New()
		var working, finished atomic.Int32
		for range 20 {
			go func() {
				b := Open(s, "", 0)
				for {
					c, err := b.Take(t.Context(), "x", nil)
					switch {
					case errors.Is(err, ErrDone):
						finished.Add(1)
						return
					case errors.Is(err, ErrTaken):
						b.Pause(t.Context())
						continue
					case err != nil:
						t.Error(err)
						return
					}
					if working.Add(1) != 1 {
						t.Error("two at once")
					}
					time.Sleep(5 * time.Minute)
					working.Add(-1)
					if err := c.Done(t.Context(), nil); err != nil {
						t.Error(err)
					}
					finished.Add(1)
					return
				}
			}()
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		if finished.Load() != 20 {
			t.Errorf("%d of 20 came to an end", finished.Load())
		}
	})
}

func TestLargeResult(t *testing.T) {
	_, a, _ := two()
	for _, size := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 1 << 20} {
		key := fmt.Sprint(size)
		if err := take(t, a, key, "").Done(t.Context(), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if r, err := a.Result(t.Context(), key); err != nil || len(r) != size {
			t.Errorf("%d bytes of %d: %v", len(r), size, err)
		}
	}
}

// An error of the store is neither of the answers.
func TestUnreachable(t *testing.T) {
	s, a, _ := two()
	away := errors.New("no answer")
	s.Fail(func(op, _ string) error { return away })
	refused(t, a, "x", away)
	if _, err := a.List(t.Context(), ""); err != nil {
		t.Errorf("an empty list: %v", err)
	}
	s.Fail(func(op, _ string) error {
		if op == "read" {
			return away
		}
		return nil
	})
	refused(t, a, "x", away)
	s.Fail(nil)
	take(t, a, "x", "").Drop()
}
