package fault

import (
	"context"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"waybill/manifest"
)

// A Line is a store at the far end of a wire. Each of its operations is a request: it is counted, takes a round trip, and then its bytes pass
// at the line's rate, which requests share. Tests leave Latency and Rate zero and look at the counts; a measurement sets them. Its
// fields are to be set before it is used. It is safe for concurrent use when Inner is.
type Line struct {
	Inner   Backend
	Latency time.Duration // of a round trip
	Rate    int64         // bytes a second, both ways together; 0 for no limit
	Near    bool          // it does not tell readers that it is remote

	mu     sync.Mutex
	counts Requests
	free   time.Time // when the line will have passed on all that is promised
}

// Requests is what passed over a line.
type Requests struct {
	Total, Bytes  int64 // of bytes those of bodies
	InFlight, Top int   // requests at this moment, and at most
	By            map[string]int64
	Names         map[string]int64 // requests for each object, or prefix
}

// For counts the requests for objects whose names contain a string.
func (r *Requests) For(part string) (n int64) {
	for name, k := range r.Names {
		if strings.Contains(name, part) {
			n += k
		}
	}
	return n
}

// Remote tells readers that a request has its price.
func (l *Line) Remote() bool { return !l.Near }

// Requests returns what has passed so far.
func (l *Line) Requests() Requests {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.counts
	r.By, r.Names = maps.Clone(r.By), maps.Clone(r.Names)
	return r
}

// Reset begins to count anew.
func (l *Line) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts = Requests{InFlight: l.counts.InFlight}
}

// request counts an operation and waits for its round trip; done must be called with the bytes of its body, which it waits for.
func (l *Line) request(ctx context.Context, operation, name string) (done func(n int), err error) {
	l.mu.Lock()
	c := &l.counts
	if c.By == nil {
		c.By, c.Names = map[string]int64{}, map[string]int64{}
	}
	c.Total++
	c.By[operation]++
	c.Names[name]++
	c.InFlight++
	c.Top = max(c.Top, c.InFlight)
	l.mu.Unlock()
	if err = sleep(ctx, l.Latency); err != nil {
		l.end(0)
	}
	return func(n int) { time.Sleep(l.end(n)) }, err
}

// end counts the bytes of an operation and tells how long the line takes until it has passed them on.
func (l *Line) end(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Bytes += int64(n)
	l.counts.InFlight--
	if l.Rate <= 0 {
		return 0
	}
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(int64(n) * int64(time.Second) / l.Rate))
	return l.free.Sub(now)
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

// Put is a request with a body.
func (l *Line) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	done, err := l.request(ctx, "put", name)
	if err != nil {
		return err
	}
	sent := &sent{ReadSeeker: body}
	err = l.Inner.Put(ctx, name, sent)
	done(int(sent.n))
	return err
}

// sent counts what is read of a body.
type sent struct {
	io.ReadSeeker
	n int64
}

func (s *sent) Read(p []byte) (int, error) {
	n, err := s.ReadSeeker.Read(p)
	s.n += int64(n)
	return n, err
}

// ReadAt is a request for a range.
func (l *Line) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	done, err := l.request(ctx, "read", name)
	if err != nil {
		return 0, err
	}
	n, err := l.Inner.ReadAt(ctx, name, p, off)
	done(n)
	return n, err
}

// Size is a request without a body.
func (l *Line) Size(ctx context.Context, name string) (int64, error) {
	done, err := l.request(ctx, "size", name)
	if err != nil {
		return 0, err
	}
	defer done(0)
	return l.Inner.Size(ctx, name)
}

// page is how many names a request lists.
const page = 5000

// List takes a request a page of names.
func (l *Line) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return l.pages(ctx, prefix, each, l.Inner.List)
}

// Level takes a request a page of names, as List does, but what is deeper counts once.
func (l *Line) Level(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return l.pages(ctx, prefix, each, func(ctx context.Context, prefix string, each func(string, int64) error) error {
		return manifest.Level(ctx, l.Inner, prefix, each)
	})
}

// pages counts the requests of a listing.
func (l *Line) pages(ctx context.Context, prefix string, each func(string, int64) error, list func(context.Context, string, func(string, int64) error) error) error {
	n := 0
	count := func() error {
		done, err := l.request(ctx, "list", prefix)
		if err == nil {
			done(0)
		}
		return err
	}
	if err := count(); err != nil {
		return err
	}
	return list(ctx, prefix, func(name string, size int64) error {
		if n++; n > page && n%page == 1 {
			if err := count(); err != nil {
				return err
			}
		}
		return each(name, size)
	})
}

// Remove is a request without a body.
func (l *Line) Remove(ctx context.Context, name string) error {
	done, err := l.request(ctx, "remove", name)
	if err != nil {
		return err
	}
	defer done(0)
	return l.Inner.Remove(ctx, name)
}
