package restore

import (
	"context"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/manifest"
)

// Needs returns the packs with the contents that a restore of some paths of a point reads, of all of it without paths. It reads the catalogue only, and
// where a chunk lies the index must know, so it fails when the table of a pack can't be had. Damage is passed over: Run tells of it.
func Needs(ctx context.Context, src Source, point *domain.Point, paths [][]byte) (map[manifest.Digest]bool, error) {
	if _, err := src.CoverData(ctx); err != nil {
		return nil, err
	}
	n := &needs{locator: locator{src: src}, packs: map[manifest.Digest]bool{}}
	sel, err := selectPaths(ctx, &n.locator, point, paths)
	if err != nil {
		return nil, err
	}
	root, err := point.RootEntry()
	if err != nil {
		return nil, err
	}
	return n.packs, n.directory(ctx, root.Node, sel)
}

type needs struct {
	locator
	packs map[manifest.Digest]bool
}

func (n *needs) directory(ctx context.Context, node pack.ID, sel *selection) error {
	return children(ctx, &n.locator, node, sel, func([]byte, string) {}, func(e catalog.Entry, _ []byte, below *selection) error {
		switch e.Kind {
		case catalog.Directory:
			return n.directory(ctx, e.Node, below)
		case catalog.File:
			return n.file(ctx, e)
		}
		return ctx.Err()
	})
}

func (n *needs) file(ctx context.Context, e catalog.Entry) error {
	for item, err := range catalog.Content(ctx, &n.locator, e) {
		if isDamage(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if item.IsHole() {
			continue
		}
		if loc, ok := n.find(ctx, item.ID); ok {
			n.packs[loc.Pack] = true
		}
	}
	return nil
}
