package ingest

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"waybill/manifest"
	"waybill/seed/disk"
)

// A tree is a source that belongs to the vault in question.
type tree struct {
	Source
	vault    *manifest.Vault
	label    *disk.Label // nil for a tree that is no disk
	last     *disk.Label // the one at the root, even if that is all there is of the disk
	doubt    error       // what could not be read of who it is
	machines []manifest.ID
	key      string // by which the other workers know it, of one that this one doesn't have
	inPlace  bool   // it is the vault itself

	mu   sync.Mutex
	gone error // why the source gives nothing any more; guarded by mu
}

// remote tells a source at the far end of a network, which may fail without anything there being damaged. Every worker has it, under the same
// name; any other is a host's alone.
func (t *tree) remote() bool {
	r, ok := t.Reader.(interface{ Remote() bool })
	return ok && r.Remote()
}

// alive tells whether a source still gives its waybill.json, from the medium where that can be had. One that once did
// not is not asked again.
func (t *tree) alive(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone == nil {
		if err := t.probe(ctx); err != nil && ctx.Err() == nil {
			t.gone = err
		}
	}
	return t.gone == nil
}

func (t *tree) probe(ctx context.Context) error {
	medium, ok := t.Reader.(interface {
		OpenUncached(name string) (*os.File, error)
	})
	if !ok {
		_, err := manifest.OpenVault(ctx, t)
		return err
	}
	f, err := medium.OpenUncached(manifest.VaultName)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(f, 64<<10))
	return err
}

// Level lists what is directly below prefix, as the reader does by itself: see manifest.Level.
func (t *tree) Level(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return manifest.Level(ctx, t.Reader, prefix, each)
}

// left is why the source is gone; nil while it isn't.
func (t *tree) left() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gone
}

// openTree reads who a source belongs to.
func openTree(ctx context.Context, s Source) (*tree, error) {
	t := &tree{Source: s}
	var err error
	if t.vault, err = manifest.OpenVault(ctx, s); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if err := t.openLabel(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if t.machines, err = manifest.Machines(ctx, s); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if t.last != nil && !slices.Contains(t.machines, t.last.Machine) {
		t.machines = append(t.machines, t.last.Machine)
	}
	return t, nil
}
