package line

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// look is how often who waits looks at the clock: the rate may be another by then.
const look = 2 * time.Second

// turns is how many objects are on their way at once when there is a limit: one may wait for an answer while another uses the line. More would only make
// each take longer, and lose more when it fails.
const turns = 2

// A Limiter lets bytes pass as a schedule says. It is safe for concurrent use, and who shares it shares the rate.
type Limiter struct {
	schedule Schedule
	now      func() time.Time
	turns    chan struct{}

	mu     sync.Mutex // guards what follows
	rate   Rate       // that was allowed last, pauses aside
	bucket *rate.Limiter
}

// NewLimiter returns a limiter that asks now for the time, in the location whose clock counts.
func NewLimiter(s Schedule, now func() time.Time) *Limiter {
	return &Limiter{schedule: s, now: now, turns: make(chan struct{}, turns)}
}

// Rate is what is allowed now.
func (l *Limiter) Rate() Rate { return l.schedule.At(l.now()) }

// Begin waits until an object may be begun: not in a pause, and under a limit only two at once. The caller calls end when it is done.
func (l *Limiter) Begin(ctx context.Context) (end func(), err error) {
	for l.Rate() == Pause {
		if err := sleep(ctx, look); err != nil {
			return nil, err
		}
	}
	if l.Rate() == Unlimited {
		return func() {}, ctx.Err()
	}
	select {
	case l.turns <- struct{}{}:
		return func() { <-l.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Wait waits until n bytes may pass. What was begun before a pause goes on, as it did before: a request can't wait for hours.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	for n > 0 {
		part, wait := l.reserve(n)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		n -= part
	}
	return ctx.Err()
}

// reserve lets some of n bytes pass after a while; none when it would be a long one.
func (l *Limiter) reserve(n int) (part int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.follow()
	if l.rate == Unlimited {
		return n, 0
	}
	part = min(n, l.bucket.Burst())
	r := l.bucket.ReserveN(time.Now(), part)
	if wait = r.Delay(); wait > look {
		r.Cancel()
		return 0, look
	}
	return part, wait
}

// follow takes over the rate that is allowed now. l.mu is held.
func (l *Limiter) follow() {
	now := l.Rate()
	if now == Pause || now == l.rate {
		return
	}
	if l.rate = now; now == Unlimited {
		return
	}
	bytes := float64(now) / 8
	l.bucket = rate.NewLimiter(rate.Limit(bytes), max(int(bytes/8), 4<<10))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
