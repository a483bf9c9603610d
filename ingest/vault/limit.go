package vault

import (
	"context"
	"fmt"
	"io"
)

// A Limiter says when bytes may pass, as line.Limiter does. It is safe for concurrent use, and shared by all that share a line.
type Limiter interface {
	// Begin waits until an object may be sent at all; end is called when it was.
	Begin(ctx context.Context) (end func(), err error)
	// Wait waits until n more bytes may pass.
	Wait(ctx context.Context, n int) error
}

// Limit returns a store that reads and writes s no faster than the limiters allow; nil means no limit.
func Limit(s Store, up, down Limiter) Store {
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
	up, down Limiter
}

// Remote tells whether the store beneath says that it is far.
func (l *limited) Remote() bool {
	r, ok := l.Store.(interface{ Remote() bool })
	return ok && r.Remote()
}

// Put implements Store.
func (l *limited) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if l.up == nil {
		return l.Store.Put(ctx, name, body)
	}
	end, err := l.up.Begin(ctx)
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	defer end()
	return l.Store.Put(ctx, name, &limitedBody{ctx, body, l.up})
}

// ReadAt implements Store. It waits first: one range stays one request.
func (l *limited) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if l.down != nil {
		if err := l.down.Wait(ctx, len(p)); err != nil {
			return 0, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return l.Store.ReadAt(ctx, name, p, off)
}

// A limitedBody hands out bytes no faster than it may.
type limitedBody struct {
	ctx context.Context
	io.ReadSeeker
	limiter Limiter
}

// portion is the most of a body that is waited for at once, so that the traffic is even.
const portion = 32 << 10

// DescribeObject passes on what the body says of itself.
func (b *limitedBody) DescribeObject() (sum [16]byte, data bool) {
	about := Describe(b.ReadSeeker)
	copy(sum[:], about.MD5)
	return sum, about.Data
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p[:min(len(p), portion)])
	if werr := b.limiter.Wait(b.ctx, n); werr != nil {
		return 0, werr
	}
	return n, err
}
