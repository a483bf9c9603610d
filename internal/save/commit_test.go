package save_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/manifest"
)

var errRefused = errors.New("refused")

// wideTree has much to save in many small steps.
func wideTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for i := range 120 {
		write(t, fmt.Sprintf("%s/d%02d/f%03d", root, i%12, i), noise(8<<10, uint64(i)))
	}
	return root
}

// often makes a checkpoint due after every few files, with several workers that might make one.
func often(c *save.Config) { c.CheckpointBytes, c.Readers = 20<<10, 4 }

// The chunks in the packs of a commit that failed count as stored in that run: a later commit of it would
// refer to them, and list the packs that hold them nowhere.
func TestNoCommitAfterOneThatFailed(t *testing.T) {
	root := wideTree(t)
	for range 8 {
		m := newMemory(t)
		refused := false
		m.publishing = func(c save.Commit) error {
			if refused {
				t.Errorf("commit %d was published after one that failed", c.Manifest.Sequence)
			}
			if refused = c.Manifest.Sequence == 3; refused {
				return errRefused
			}
			return nil
		}
		r, err := m.try(t.Context(), often, root)
		if !errors.Is(err, errRefused) || r == nil || r.Manifest.Sequence != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		m.publishing = nil
		m.same(m.save(often, root).Point, root)
	}
}

// The same when the run is cancelled while a commit is failing: what then ends the run is not the failure.
func TestNoCommitAfterOneThatFailedWhenCancelled(t *testing.T) {
	root := wideTree(t)
	for range 8 {
		m := newMemory(t)
		ctx, cancel := context.WithCancel(t.Context())
		refused := false
		m.publishing = func(c save.Commit) error {
			if refused {
				t.Errorf("commit %d was published after one that failed", c.Manifest.Sequence)
			}
			if refused = c.Manifest.Sequence == 3; refused {
				cancel()
				return errRefused
			}
			return nil
		}
		r, err := m.try(ctx, often, root)
		if err == nil || r == nil || r.Manifest.Sequence != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		m.publishing = nil
		m.same(m.save(often, root).Point, root)
	}
}

// A run cancelled at any point leaves a partial point, and the next takes nothing twice.
func TestCancelledAnywhere(t *testing.T) {
	root := wideTree(t)
	write(t, root+"/large", noise(3<<20, 999))
	for stop := 1; ; stop += 23 {
		m := newMemory(t)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		m.asked = func(manifest.Class) {
			if n++; n == stop {
				cancel()
			}
		}
		r, err := m.try(ctx, func(c *save.Config) { c.Readers = 1 }, root)
		if n < stop {
			return
		}
		if err == nil {
			continue // the end was faster
		}
		if !errors.Is(err, context.Canceled) || r != nil && r.Point.State != catalog.PartialState {
			t.Fatalf("%v, %+v", err, r)
		}
		saved := int64(0)
		if r != nil {
			saved = r.Point.Stats.ReadBytes
			m.files(r.Point, root) // reads all it has
		}
		m.asked = nil
		next := m.save(nil, root)
		m.same(next.Point, root)
		if all := int64(120*8<<10 + 3<<20); next.Point.Stats.NewBytes+saved > all+1<<20 {
			t.Errorf("stopped at %d: %d bytes were read before and %d after, of %d in all", stop, saved, next.Point.Stats.ReadBytes, all)
		}
	}
}

// Cancelled when the tree is done, a run ends as if it had not been.
func TestCancelledAtTheEnd(t *testing.T) {
	root := wideTree(t)
	nodes := 0
	for stop := -1; ; stop = nodes - 1 { // the last node but one is that of "/", the last is the record
		m := newMemory(t)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		m.asked = func(class manifest.Class) {
			if class != manifest.Catalogue {
				return
			}
			if n++; n == stop {
				cancel()
				time.Sleep(10 * time.Millisecond) // until the walk knows
			}
		}
		r, err := m.try(ctx, func(c *save.Config) { c.Readers = 1 }, root)
		cancel()
		if err != nil || r.Point.State != catalog.Complete {
			t.Fatalf("cancelled at node %d of %d: %v", stop, nodes, err)
		}
		m.asked = nil
		m.same(r.Point, root)
		if stop > 0 {
			return
		}
		nodes = n
	}
}
