//go:build !linux

package treetest

import (
	"errors"
	"fmt"
	"os"
)

// Make fills the existing directory dir with a random tree.
func Make(dir string, _ uint64, _ Options) error {
	return fmt.Errorf("making a tree in %s: %w", dir, errors.ErrUnsupported)
}

// Edit makes n random changes in the tree at dir and says which.
func Edit(dir string, _ uint64, _ int) ([]string, error) {
	return nil, fmt.Errorf("editing %s: %w", dir, errors.ErrUnsupported)
}

// Compare says in which ways the tree at b differs from the one at a.
func Compare(a, b string, _ ...Aspect) []string {
	return []string{fmt.Sprintf("comparing %s and %s: %v", a, b, errors.ErrUnsupported)}
}

// RemoveAll removes a tree, however deep it is, and directories without permissions in it.
func RemoveAll(dir string) error { return os.RemoveAll(dir) }
