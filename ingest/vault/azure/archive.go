package azure

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"golang.org/x/sync/errgroup"
)

// inquiries is how many objects are asked about at once.
const inquiries = 16

// lookAgain is the time between two looks at an object that is being brought back, which takes an hour at the least.
const lookAgain = 2 * time.Minute

// Archived returns those of the objects that are in the archive, and their size together. It asks about each; what isn't there isn't in the archive.
func (s *Store) Archived(ctx context.Context, names []string) (archived []string, bytes int64, err error) {
	in := make([]bool, len(names))
	var sum atomic.Int64
	err = eachOf(ctx, names, func(ctx context.Context, i int) error {
		there, size, err := s.inArchive(ctx, names[i])
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if in[i] = there; there {
			sum.Add(size)
		}
		return err
	})
	for i, there := range in {
		if there {
			archived = append(archived, names[i])
		}
	}
	return archived, sum.Load(), err
}

func (s *Store) inArchive(ctx context.Context, name string) (bool, int64, error) {
	b, err := s.blob(name)
	if err != nil {
		return false, 0, err
	}
	r, err := s.properties(ctx, b)
	if err != nil {
		return false, 0, s.known("stat", name, err)
	}
	size := int64(0)
	if r.ContentLength != nil {
		size = *r.ContentLength
	}
	return r.AccessTier != nil && *r.AccessTier == string(blob.AccessTierArchive), size, nil
}

// Rehydrate has objects brought back from the archive to the hot tier, and waits until all can be read: up to 15 hours, or, in haste, which costs more,
// mostly less than one. It asks for all before it waits, and then tells progress how many can be read, each time that it has looked. Those that are
// brought back already, or were never in the archive, are as good. When it is ended, the service goes on all the same, so that another call only waits for the
// rest. It takes a credential that may write.
func (s *Store) Rehydrate(ctx context.Context, names []string, haste bool, progress func(ready int)) error {
	err := eachOf(ctx, names, func(ctx context.Context, i int) error { return s.ask(ctx, names[i], haste) })
	if err != nil {
		return err
	}
	for ready := range names {
		for {
			archived, _, err := s.inArchive(ctx, names[ready])
			if err != nil {
				return err
			}
			if !archived {
				break
			}
			if err := sleep(ctx, lookAgain); err != nil {
				return err
			}
			progress(ready)
		}
		progress(ready + 1)
	}
	return nil
}

// ask asks for an object to be brought back.
func (s *Store) ask(ctx context.Context, name string, haste bool) error {
	b, err := s.blob(name)
	if err != nil {
		return err
	}
	archived, _, err := s.inArchive(ctx, name)
	if err != nil || !archived {
		return err
	}
	priority := blob.RehydratePriorityStandard
	if haste {
		priority = blob.RehydratePriorityHigh
	}
	err = s.try(ctx, "tier", func(ctx context.Context) error {
		_, err := b.SetTier(ctx, blob.AccessTierHot, &blob.SetTierOptions{RehydratePriority: to.Ptr(priority)})
		if bloberror.HasCode(err, bloberror.BlobBeingRehydrated) {
			return nil
		}
		return err
	})
	return s.known("bring back", name, err)
}

// eachOf does something to every name, some at once.
func eachOf(ctx context.Context, names []string, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inquiries)
	for i := range names {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}
