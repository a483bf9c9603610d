package azure

import (
	"cmp"
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
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

func (s *Store) list(ctx context.Context, prefix string, each func(name string, item *container.BlobItem) error) error {
	return s.pages(ctx, prefix, func(ctx context.Context, whole string, marker *string) ([]*container.BlobPrefix, []*container.BlobItem, *string, error) {
		r, err := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &whole, Marker: marker}).NextPage(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		return nil, r.Segment.BlobItems, r.NextMarker, nil
	}, each)
}

// Level implements vault.Hierarchy.
func (s *Store) Level(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		return ctx.Err() // nothing is below it
	}
	return s.pages(ctx, prefix, func(ctx context.Context, whole string, marker *string) ([]*container.BlobPrefix, []*container.BlobItem, *string, error) {
		r, err := s.container.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: &whole, Marker: marker}).NextPage(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		return r.Segment.BlobPrefixes, r.Segment.BlobItems, r.NextMarker, nil
	}, func(name string, item *container.BlobItem) error {
		if item == nil {
			return each(name, -1)
		}
		return each(name, sizeOf(item))
	})
}

// whole is what a listing of a prefix is of, for people.
func (s *Store) whole(prefix string) string { return cmp.Or(prefix, s.address.String()) }

// pages calls each for all of a listing that begins with prefix, page after page, with names as the vault knows them; a prefix comes without an item.
func (s *Store) pages(ctx context.Context, prefix string,
	page func(ctx context.Context, whole string, marker *string) ([]*container.BlobPrefix, []*container.BlobItem, *string, error),
	each func(name string, item *container.BlobItem) error) error {
	if durable.CheckName(prefix+"x") != nil {
		return ctx.Err() // no name begins so
	}
	var marker *string
	for {
		var prefixes []*container.BlobPrefix
		var items []*container.BlobItem
		var next *string
		err := s.try(ctx, "list", func(ctx context.Context) (err error) {
			prefixes, items, next, err = page(ctx, s.address.Prefix+prefix, marker)
			return err
		})
		if err != nil {
			return s.known("list", s.whole(prefix), err)
		}
		if err := s.merge(prefixes, items, each); err != nil {
			return err
		}
		if next == nil || *next == "" {
			return nil
		}
		marker = to.Ptr(*next)
	}
}

// merge calls each for prefixes and items of a page, which come in two ascending rows, in one.
func (s *Store) merge(prefixes []*container.BlobPrefix, items []*container.BlobItem, each func(name string, item *container.BlobItem) error) error {
	for len(prefixes)+len(items) > 0 {
		var name string
		var item *container.BlobItem
		if len(items) == 0 || len(prefixes) > 0 && *prefixes[0].Name < *items[0].Name {
			name, prefixes = *prefixes[0].Name, prefixes[1:]
		} else {
			item, items = items[0], items[1:]
			name = *item.Name
		}
		name = strings.TrimPrefix(name, s.address.Prefix)
		if durable.CheckName(strings.TrimSuffix(name, "/")) != nil || item != nil && strings.HasSuffix(name, "/") {
			continue
		}
		if err := each(name, item); err != nil {
			return err
		}
	}
	return nil
}
