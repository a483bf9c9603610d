package ingest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
)

const (
	page   = 5000 // names that a far store lists by one request
	asking = 16   // requests at once
)

// lookUp calls found for each of the wants, which ascend by name, that r has something under the name of. It holds nothing but
// the wants.
//
// It lists the machine's packs beside the wants, or asks for each want's size, whichever is fewer requests. Nobody knows how many packs there are until
// they are listed; so it lists until that was as many requests as asking for the wants that are left, and then asks: at most
// twice as many as the better way alone, whether 3 are looked for among a million, or a million among 3.
func lookUp(ctx context.Context, r manifest.Reader, m manifest.ID, wants []*want, found func(*want, int64)) error {
	if len(wants) == 0 {
		return nil
	}
	enough := errors.New("asking is cheaper")
	n := 0
	err := r.List(ctx, manifest.PacksPrefix(m), func(name string, size int64) error {
		if _, d, ok := manifest.ParsePackName(name); ok {
			for len(wants) > 0 && bytes.Compare(wants[0].Name[:], d[:]) < 0 {
				wants = wants[1:]
			}
			if len(wants) > 0 && wants[0].Name == d {
				found(wants[0], size)
				wants = wants[1:]
			}
		}
		if n++; n%page == 0 && n/page >= len(wants) {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		return askFor(ctx, r, m, wants, found)
	}
	return err
}

// askFor asks for the size of each of the wants.
func askFor(ctx context.Context, r manifest.Reader, m manifest.ID, wants []*want, found func(*want, int64)) error {
	var mu sync.Mutex // held while found is called
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, min(asking, len(wants)), wants, func(ctx context.Context, w *want) error {
		size, err := r.Size(ctx, manifest.PackName(m, w.Name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			found(w, size)
		}
		return err
	})
	return g.Wait()
}
