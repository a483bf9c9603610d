package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/manifest"
)

// A selection is what is wanted of a directory: some names, or all of it when it has none.
type selection struct{ names map[string]*selection }

func (s *selection) all() bool { return s.names == nil }

// selectPaths makes a selection of paths, each of which must be in the point.
func selectPaths(ctx context.Context, l catalog.Loader, point *domain.Point, paths [][]byte) (*selection, error) {
	root, err := point.RootEntry()
	if err != nil {
		return nil, err
	}
	top := &selection{}
	for i, path := range paths {
		if _, err := catalog.Resolve(ctx, l, root, path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not in the recovery point: %w", manifest.EscapePath(path), fs.ErrNotExist)
		} else if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", manifest.EscapePath(path), err)
		}
		if i > 0 && top.all() {
			break // "/" was among them
		}
		top.add(path)
	}
	return top, nil
}

// add selects what a path names, with all below it.
func (s *selection) add(path []byte) {
	for name := range bytes.SplitSeq(path, []byte("/")) {
		if len(name) == 0 {
			continue
		}
		kid, known := s.names[string(name)]
		if known && kid.all() {
			return
		}
		if !known {
			kid = &selection{}
			if s.names == nil {
				s.names = map[string]*selection{}
			}
			s.names[string(name)] = kid
		}
		s = kid
	}
	s.names = nil
}

// sorted returns the names in order.
func (s *selection) sorted() []string { return slices.Sorted(maps.Keys(s.names)) }
