package save

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"waybill/internal/catalog"
	"waybill/internal/source"
	"waybill/manifest"
)

// SelectAgain takes over the selection of a point when no roots are given: its roots, that it stayed on one file system, and, when none
// are given, its excludes.
func (c *Config) SelectAgain(p *catalog.Point) error {
	if len(c.Roots) > 0 {
		return nil
	}
	for _, root := range p.Roots {
		path, err := manifest.UnescapePath(root)
		if err != nil {
			return fmt.Errorf("taking the last selection again: %w", err)
		}
		c.Roots = append(c.Roots, source.SystemPath(string(path)))
	}
	c.OneFileSystem = c.OneFileSystem || p.OneFileSystem
	if len(c.Excludes) == 0 {
		c.Excludes = p.Excludes
	}
	return nil
}

func escapePaths(paths []string) (all []string) {
	for _, p := range paths {
		p, _ = source.TreePath(p)
		all = append(all, manifest.EscapePath([]byte(p)))
	}
	return all
}

// A selection is a root, or a directory that leads to roots. Below a nil selection everything is wanted, and
// nothing was named.
type selection struct {
	root     bool // everything below is wanted; the children are roots of their own all the same
	children map[string]*selection
}

// selectRoots builds the selection of the given absolute paths. A root that does not exist is an
// error: a backup that silently holds nothing of it would be worse than none.
func (c *Config) selectRoots() (*selection, error) {
	if len(c.Roots) == 0 {
		return nil, fmt.Errorf("nothing is selected to be saved")
	}
	top := &selection{}
	for _, root := range c.Roots {
		if c.Root != nil {
			if err := c.find(names(root)); err != nil {
				return nil, fmt.Errorf("looking for %s, which is to be saved: %w", root, err)
			}
			top.add(names(root))
			continue
		}
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
		path, ok := source.TreePath(path)
		if !ok {
			return nil, fmt.Errorf("%s is on no drive: give the share a drive letter, or back up the machine that has it", root)
		}
		top.add(names(path))
	}
	return top, nil
}

// find looks for a root in a tree that is not this system's.
func (c *Config) find(names []string) error {
	d, err := c.Root()
	for i, name := range names {
		if err != nil {
			return err
		}
		var st source.Stat
		if err = d.StatName([]byte(name), &st); err == nil && i < len(names)-1 {
			var next *source.Dir
			if next, err = d.OpenDir([]byte(name)); err == nil {
				err = d.Close()
				d = next
			}
		}
	}
	if d != nil {
		err = errors.Join(err, d.Close())
	}
	return err
}

func names(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// add makes what the names lead to a root.
func (s *selection) add(names []string) {
	if len(names) == 0 {
		s.root = true
		return
	}
	child := s.children[names[0]]
	if child == nil {
		child = &selection{}
		if s.children == nil {
			s.children = map[string]*selection{}
		}
		s.children[names[0]] = child
	}
	child.add(names[1:])
}

// of returns the selection of a name, and whether it is wanted.
func (s *selection) of(name []byte) (*selection, bool) {
	if s == nil {
		return nil, true
	}
	child := s.children[string(name)]
	return child, child != nil || s.root
}

// leads tells whether the selection is only wanted for the roots below it, so must be a directory.
func (s *selection) leads() bool { return s != nil && !s.root }

func (o *owners) inherit(p *catalog.Point) {
	o.users, o.groups = parseOwners(p.Users), parseOwners(p.Groups)
}
