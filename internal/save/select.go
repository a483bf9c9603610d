package save

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"waybill/internal/catalog"
)

// A selection is the part of the tree that leads to the roots: below a nil selection everything is wanted.
type selection struct{ children map[string]*selection }

// selectRoots builds the selection of the given absolute paths. A root that does not exist is an
// error: a backup that silently holds nothing of it would be worse than none.
func selectRoots(roots []string) (*selection, error) {
	if len(roots) == 0 {
		return nil, fmt.Errorf("nothing is selected to be saved")
	}
	top := &selection{map[string]*selection{}}
	for _, root := range roots {
		path, err := filepath.EvalSymlinks(root)
		if err != nil {
			return nil, fmt.Errorf("looking at what is to be saved: %w", err)
		}
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%s is not an absolute path", root)
		}
		if _, err := os.Lstat(path); err != nil {
			return nil, fmt.Errorf("looking at what is to be saved: %w", err)
		}
		if top = top.with(names(path)); top == nil {
			return nil, nil // "/" itself: everything
		}
	}
	return top, nil
}

func names(path string) []string {
	return strings.FieldsFunc(filepath.ToSlash(path), func(r rune) bool { return r == '/' })
}

// with returns the selection that also has what the names lead to.
func (s *selection) with(names []string) *selection {
	if s == nil || len(names) == 0 {
		return nil
	}
	child, ok := s.children[names[0]]
	if !ok {
		child = &selection{map[string]*selection{}}
	}
	s.children[names[0]] = child.with(names[1:])
	return s
}

// of returns what is selected below a name, and whether the name is at all.
func (s *selection) of(name []byte) (*selection, bool) {
	if s == nil {
		return nil, true
	}
	child, ok := s.children[string(name)]
	return child, ok
}

func (o *owners) inherit(p *catalog.Point) {
	o.users, o.groups = parseOwners(p.Users), parseOwners(p.Groups)
}
