package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
)

// A strayer is a store that may hold objects under names that are none of a vault's.
type strayer interface {
	Strays(ctx context.Context, prefix string, each func(name string, size int64, md5 []byte) error) error
	ReadStray(ctx context.Context, name string, p []byte, off int64) (int, error)
}

// renamed is how names begin that a carrier gives when it doesn't like one.
const renamed = "DataBox-"

// A stray is an object under a name that says nothing.
type stray struct {
	tree *tree
	name string
	size int64
	md5  []byte
}

// findRenamed looks for packs that no tree has by name among what carriers have renamed.
func (j *job) findRenamed(ctx context.Context) error {
	lacking := j.lacking(j.wants)
	if len(lacking) == 0 {
		return nil
	}
	strays, err := j.allStrays(ctx)
	if err != nil {
		return err
	}
	return j.fetchStrays(ctx, lacking, strays)
}

// lacking are those of the packs that may be somewhere under another name.
func (j *job) lacking(wants []*want) []*want {
	return slices.DeleteFunc(slices.Clone(wants), func(w *want) bool { return !j.lacks(w) || w.damaged })
}

// allStrays are those of all trees, by their sizes.
func (j *job) allStrays(ctx context.Context) (map[int64][]stray, error) {
	bySize := map[int64][]stray{}
	for _, t := range j.trees {
		if err := j.strays(ctx, t, bySize); err != nil {
			return nil, err
		}
	}
	return bySize, nil
}

// fetchStrays imports packs that are there under another name. Which one is whose, size and checksum tell, or where there
// is none the digest.
func (j *job) fetchStrays(ctx context.Context, lacking []*want, bySize map[int64][]stray) error {
	if len(bySize) == 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	each(ctx, g, asking/4, lacking, func(ctx context.Context, w *want) error { return j.fetchStray(ctx, w, bySize[w.Size]) })
	return g.Wait()
}

func (j *job) strays(ctx context.Context, t *tree, bySize map[int64][]stray) error {
	s, ok := t.Reader.(strayer)
	if !ok {
		return nil
	}
	for _, prefix := range []string{renamed, manifest.MachinePrefix(j.machine.Machine)} {
		err := s.Strays(ctx, prefix, func(name string, size int64, md5 []byte) error {
			bySize[size] = append(bySize[size], stray{t, name, size, md5})
			return nil
		})
		if err != nil {
			return fmt.Errorf("looking for what was renamed in %s: %w", t.Name, err)
		}
	}
	return nil
}

// fetchStray imports a pack from the first stray that is it.
func (j *job) fetchStray(ctx context.Context, w *want, strays []stray) error {
	for _, s := range strays {
		if len(s.md5) > 0 && string(s.md5) != string(w.MD5[:]) {
			continue
		}
		bad, err := j.store(ctx, w, Source{s.tree.Name, s}, imported)
		if err == nil && bad != nil && unreadable(bad) {
			err = fmt.Errorf("reading %s of %s: %w", s.name, s.tree.Name, bad)
		}
		if err != nil {
			return err
		}
		if bad == nil {
			w.from = s.tree
			return nil
		}
	}
	return nil
}

// ReadAt implements manifest.Reader: whatever is asked for, it is the stray.
func (s stray) ReadAt(ctx context.Context, _ string, p []byte, off int64) (int, error) {
	return s.tree.Reader.(strayer).ReadStray(ctx, s.name, p, off)
}

// Size implements manifest.Reader.
func (s stray) Size(context.Context, string) (int64, error) { return s.size, nil }

// List implements manifest.Reader: nothing here is looked for.
func (s stray) List(context.Context, string, func(string, int64) error) error {
	return errors.ErrUnsupported
}
