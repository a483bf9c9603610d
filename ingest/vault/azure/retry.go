package azure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// The time before the second try, and the longest between two: of a service that says it can't now, and on a line that is broken, where a try costs
// nobody anything, and one that comes and goes may be gone again when it is waited for too long.
const (
	firstWait = 500 * time.Millisecond
	mostWait  = 30 * time.Second
	lineWait  = 10 * time.Second
)

// spoilt is how often what arrived may differ from what was sent, until it isn't the line that did it.
const spoilt = 3

// try makes a request until it succeeds, is answered, or patience is at an end; then it fails with ErrOutOfReach. It is the only place
// where requests are tried again. What attempt returns is passed on as it is.
func (s *Store) try(ctx context.Context, op string, attempt func(ctx context.Context) error) error {
	var since time.Time
	bad := 0
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.opts.Count != nil {
			s.opts.Count(op)
		}
		err := attempt(ctx)
		if isSpoilt(err) {
			bad++
		}
		if !passes(err) || bad == spoilt {
			s.line.up(s.opts.Waiting)
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if since.IsZero() {
			since = time.Now()
		}
		most := lineWait
		if errors.As(err, new(*azcore.ResponseError)) {
			most = mostWait
		}
		wait := pause(s.first, n, most, retryAfter(err))
		if time.Since(since)+wait > s.opts.Patience {
			return &unreachable{since, err}
		}
		s.line.down(since, err, s.opts.Waiting)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// pause is the time before a try. It grows, and is drawn by lot, so that many clients don't come back at the same moment. What the
// service asks for is kept.
func pause(first time.Duration, n int, most, asked time.Duration) time.Duration {
	wait := min(first<<min(n, 10), most)
	wait = wait/2 + rand.N(wait/2+1)
	if asked > wait {
		wait = asked + rand.N(asked/10+1)
	}
	return wait
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unreachable is ErrOutOfReach with its reason.
type unreachable struct {
	since time.Time
	err   error
}

func (u *unreachable) Error() string {
	return fmt.Sprintf("%v since %s: %v", ErrOutOfReach, u.since.Format("15:04:05"), scrub(u.err))
}

func (u *unreachable) Is(target error) bool { return target == ErrOutOfReach }

// A line tells once when requests begin to fail, and when they succeed again.
type line struct {
	mu    sync.Mutex
	since time.Time // when the first of those failed after which none has succeeded; zero while all is well
}

func (l *line) down(since time.Time, err error, tell func(time.Time, error)) {
	if tell == nil {
		return
	}
	l.mu.Lock()
	if l.since.IsZero() {
		l.since = since
	}
	since = l.since
	l.mu.Unlock()
	tell(since, scrub(err))
}

func (l *line) up(tell func(time.Time, error)) {
	if tell == nil {
		return
	}
	l.mu.Lock()
	was := l.since
	l.since = time.Time{}
	l.mu.Unlock()
	if !was.IsZero() {
		tell(time.Time{}, nil)
	}
}
