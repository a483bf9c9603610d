package restore

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"waybill/internal/domain"
)

// fetchers is how many stretches are fetched at once; each is 4 MiB at most, and so many are in memory, and one for each worker.
const fetchers = 8

// ahead starts goroutines of the group that take the jobs in their order and fetch the frames they need, neighbours together. It returns what
// gives workers a load when it has been fetched.
func (r *run) ahead(ctx context.Context, g *errgroup.Group, q *queue) func(context.Context) (load, error) {
	ready := make(chan load)
	left := atomic.Int32{}
	left.Store(fetchers)
	for range fetchers {
		g.Go(func() error {
			defer func() {
				if left.Add(-1) == 0 {
					close(ready)
				}
			}()
			return r.fetch(ctx, q, ready)
		})
	}
	return func(ctx context.Context) (load, error) {
		select {
		case l := <-ready:
			return l, ctx.Err()
		case <-ctx.Done():
			return load{}, ctx.Err()
		}
	}
}

// fetch makes loads ready until there are no more.
func (r *run) fetch(ctx context.Context, q *queue, ready chan<- load) error {
	for {
		l, err := q.stretch(ctx, r.src)
		if l.batch == nil || err != nil {
			l.release()
			return err
		}
		select {
		case ready <- l:
		case <-ctx.Done():
			l.release()
			return ctx.Err()
		}
	}
}

// stretch takes jobs whose frames one request reads, and reads them.
func (q *queue) stretch(ctx context.Context, src Source) (load, error) {
	var s domain.Stretch
	l, err := q.take(ctx, func(b *batch, j *job) bool { return j.frame && s.Extend(b.refs[j.from].loc) })
	if err == nil && !s.IsEmpty() {
		l.fetched, err = src.Fetch(ctx, s)
	}
	return l, err
}

// release gives back the memory of what was fetched.
func (l *load) release() {
	if l.fetched != nil {
		l.fetched.Release()
	}
}
