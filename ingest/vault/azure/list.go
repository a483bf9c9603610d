package azure

import (
	"cmp"
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"waybill/internal/durable"
)

// List implements vault.Store, 5000 objects a request. What has no name of a vault's is passed over.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return s.list(ctx, prefix, func(name string, item *container.BlobItem) error { return each(name, sizeOf(item)) })
}

func sizeOf(item *container.BlobItem) int64 {
	if item.Properties == nil || item.Properties.ContentLength == nil {
		return 0
	}
	return *item.Properties.ContentLength
}

// list is List with all that the listing tells.
func (s *Store) list(ctx context.Context, prefix string, each func(name string, item *container.BlobItem) error) error {
	if durable.CheckName(prefix+"x") != nil {
		return ctx.Err() // no name begins so
	}
	return s.flat(ctx, prefix, func(name string, item *container.BlobItem) error {
		if durable.CheckName(name) != nil {
			return nil
		}
		return each(name, item)
	})
}

// flat calls each for whatever blobs there are whose names begin with prefix, below the address' own.
func (s *Store) flat(ctx context.Context, prefix string, each func(name string, item *container.BlobItem) error) error {
	return s.pages(ctx, prefix, func(ctx context.Context, whole string, marker *string) (*listing, error) {
		r, err := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &whole, Marker: marker}).NextPage(ctx)
		if err != nil {
			return nil, err
		}
		return &listing{items: r.Segment.BlobItems, next: r.NextMarker}, nil
	}, each)
}

// Level implements vault.Hierarchy.
func (s *Store) Level(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	if prefix != "" && !strings.HasSuffix(prefix, "/") || durable.CheckName(prefix+"x") != nil {
		return ctx.Err() // nothing is below it
	}
	return s.pages(ctx, prefix, func(ctx context.Context, whole string, marker *string) (*listing, error) {
		r, err := s.container.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: &whole, Marker: marker}).NextPage(ctx)
		if err != nil {
			return nil, err
		}
		return &listing{r.Segment.BlobPrefixes, r.Segment.BlobItems, r.NextMarker}, nil
	}, func(name string, item *container.BlobItem) error {
		directory := item == nil
		if durable.CheckName(strings.TrimSuffix(name, "/")) != nil || !directory && strings.HasSuffix(name, "/") {
			return nil
		}
		if directory {
			return each(name, -1)
		}
		return each(name, sizeOf(item))
	})
}

// whole is what a listing of a prefix is of, for people.
func (s *Store) whole(prefix string) string { return cmp.Or(prefix, s.address.String()) }

// A listing is a page of one: prefixes and items in two ascending rows, and where the next page begins.
type listing struct {
	prefixes []*container.BlobPrefix
	items    []*container.BlobItem
	next     *string
}

// pages calls each for all of a listing that begins with prefix, page after page, by names without the address' prefix; one of a prefix comes without an item.
func (s *Store) pages(ctx context.Context, prefix string, page func(ctx context.Context, whole string, marker *string) (*listing, error),
	each func(name string, item *container.BlobItem) error) error {
	var marker *string
	for {
		var l *listing
		err := s.try(ctx, "list", func(ctx context.Context) (err error) {
			l, err = page(ctx, s.address.Prefix+prefix, marker)
			return err
		})
		if err != nil {
			return s.known("list", s.whole(prefix), err)
		}
		if err := s.merge(l, each); err != nil {
			return err
		}
		if l.next == nil || *l.next == "" {
			return nil
		}
		marker = l.next
	}
}

// merge calls each for prefixes and items in one ascending row.
func (s *Store) merge(l *listing, each func(name string, item *container.BlobItem) error) error {
	prefixes, items := l.prefixes, l.items
	for len(prefixes)+len(items) > 0 {
		var name string
		var item *container.BlobItem
		if len(items) == 0 || len(prefixes) > 0 && *prefixes[0].Name < *items[0].Name {
			name, prefixes = *prefixes[0].Name, prefixes[1:]
		} else {
			item, items = items[0], items[1:]
			name = *item.Name
		}
		if err := each(strings.TrimPrefix(name, s.address.Prefix), item); err != nil {
			return err
		}
	}
	return nil
}
