package line

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func limiter(t *testing.T, limit string, windows ...string) *Limiter {
	t.Helper()
	s, err := ParseSchedule(windows, limit)
	if err != nil {
		t.Fatal(err)
	}
	return NewLimiter(s, func() time.Time { return time.Now().UTC() })
}

// took is how long something takes on the bubble's clock, which only waiting moves.
func took(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

// about allows for what a limiter lets pass at once, and for how often it looks at the clock.
func about(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want-look || got > want+look {
		t.Errorf("%s took %v, want about %v", what, got, want)
	}
}

func TestLimiter(t *testing.T) {
	for rate, want := range map[string]time.Duration{"8Mbit": 10 * time.Second, "1MB": 10 * time.Second, "80kbit": 1000 * time.Second, "unlimited": 0, "": 0} {
		synctest.Test(t, func(t *testing.T) {
			l := limiter(t, rate)
			d := took(func() {
				var all sync.WaitGroup
				for range 4 { // who shares it shares the rate
					all.Go(func() {
						for range 250 {
							if err := l.Wait(t.Context(), 10_000); err != nil {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
			})
			about(t, "10 MB at "+rate, d, want)
		})
	}
}

// Bubbles begin at midnight, on a Saturday.
func TestLimiterFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, "8Mbit", "sat 00:10-00:20 80kbit", "sat 00:20-00:30 unlimited")
		about(t, "590 MB", took(func() { l.Wait(t.Context(), 590_000_000) }), 590*time.Second)
		about(t, "10 MB until ten past, and 4 at a hundredth of the rate", took(func() { l.Wait(t.Context(), 14_125_000) }), 410*time.Second) // an eighth of a second's bytes may pass at once
		about(t, "2 MB until twenty past, and 100 GB without a limit", took(func() { l.Wait(t.Context(), 100_000_000_000) }), 200*time.Second)
		if l.Rate() != Unlimited {
			t.Error(l.Rate())
		}
	})
}

// A rate so low that a portion takes minutes doesn't keep who waits for it from noticing that it ended.
func TestLimiterLeavesALowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, "unlimited", "00:00-00:05 8bit")
		about(t, "1 GB", took(func() { l.Wait(t.Context(), 1_000_000_000) }), 5*time.Minute)
	})
}

// Nothing is begun in a pause, and what was begun before goes on.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, "8Mbit", "sat 00:01-08:00 pause")
		end, err := l.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		about(t, "120 MB", took(func() { l.Wait(t.Context(), 120_000_000) }), 2*time.Minute)
		end()
		about(t, "a pause", took(func() {
			if end, err = l.Begin(t.Context()); err != nil {
				t.Error(err)
			}
			end()
		}), 8*time.Hour-2*time.Minute)
	})
}

// Under a limit two objects are on their way at once, else as many as there are.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, "unlimited", "08:00-18:00 8Mbit")
		for range 5 {
			if _, err := l.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(8 * time.Hour)
		var ends []func()
		for range 2 {
			end, err := l.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := l.Begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third: %v", err)
		}
		ends[0]()
		if _, err := l.Begin(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLimiterStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := limiter(t, "8kbit").Wait(ctx, 1<<30); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := limiter(t, "pause").Begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
