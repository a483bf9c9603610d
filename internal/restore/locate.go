package restore

import (
	"context"
	"sync"

	"waybill/internal/pack"
	"waybill/internal/pack/index"
)

// A locator finds nodes and chunks, one at a time: a source that finds its index to be wrong makes it anew, and
// whoever asked meanwhile would miss what is there.
type locator struct {
	src  Source
	mu   sync.Mutex // held while the source's index is used
	once sync.Once
	err  error
}

// Load is catalog.Loader.
func (l *locator) Load(ctx context.Context, id pack.ID) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Load(ctx, id)
}

// find tells where a chunk lies. Before it is given up, the index is made anew.
func (l *locator) find(ctx context.Context, id pack.ID) (index.Loc, bool) {
	if loc, ok := l.locate(id); ok {
		return loc, true
	}
	if l.renew(ctx) != nil {
		return index.Loc{}, false
	}
	return l.locate(id)
}

func (l *locator) locate(id pack.ID) (index.Loc, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Locate(id)
}

// renew has the index made anew, once in a run.
func (l *locator) renew(ctx context.Context) error {
	l.once.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, l.err = l.src.Rebuild(ctx)
	})
	return l.err
}
