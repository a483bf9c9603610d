package vault

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/time/rate"
)

// PerSecond is a limiter for Limit that lets so many bytes a second pass.
func PerSecond(bytes int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytes), max(bytes/8, 4<<10))
}

// Limit returns a store that reads and writes s no faster than the limiters allow, whose tokens are bytes; nil means
// no limit. Several stores may share a limiter, and its limit may be changed while they work.
func Limit(s Store, up, down *rate.Limiter) Store {
	l := &limited{s, up, down}
	if h, ok := s.(Hierarchy); ok {
		return struct {
			*limited
			Hierarchy
		}{l, h}
	}
	return l
}

type limited struct {
	Store
	up, down *rate.Limiter
}

// Remote tells whether the store beneath says that it is far.
func (l *limited) Remote() bool {
	r, ok := l.Store.(interface{ Remote() bool })
	return ok && r.Remote()
}

// Put implements Store.
func (l *limited) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if l.up != nil {
		body = &limitedBody{ctx, body, l.up}
	}
	return l.Store.Put(ctx, name, body)
}

// ReadAt implements Store. It waits first: one range stays one request, whatever the limiter's burst.
func (l *limited) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if l.down != nil {
		if err := spend(ctx, l.down, len(p)); err != nil {
			return 0, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return l.Store.ReadAt(ctx, name, p, off)
}

// spend waits for n tokens, in portions that the limiter can hold.
func spend(ctx context.Context, l *rate.Limiter, n int) error {
	for n > 0 {
		part := min(n, l.Burst())
		if err := l.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// A limitedBody hands out bytes no faster than it may.
type limitedBody struct {
	ctx context.Context
	io.ReadSeeker
	limiter *rate.Limiter
}

// Read implements io.Reader. It reads what the limiter can hold at most, so that the traffic is even.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p[:min(len(p), b.limiter.Burst())])
	if werr := spend(b.ctx, b.limiter, n); werr != nil {
		return 0, werr
	}
	return n, err
}
