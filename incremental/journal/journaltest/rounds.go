// Package journaltest holds a journal against the scan.
//
// [Rounds] changes a tree at random, round by round. After each it makes two recovery points of the very same state: one led by the
// journal, from the round before, and one that reads everything, from nothing. Their root hashes must be equal, and their counts. WAYBILL_ROUNDS in
// the environment has so many times as many rounds made, as `just rounds` does.
package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/internal/save/savetest"
	"waybill/internal/source"
	"waybill/internal/treetest"
)

// Options say what is tried. Volume and Journal are needed.
type Options struct {
	Volume   string                                  // where the volume is mounted; the tree is made in it
	Journal  func(t *testing.T) journal.Journal      // opens it, for one round
	Tree     string                                  // the tree's directory below Volume; "tree" if empty
	Rounds   int                                     // 50 if zero
	Edits    int                                     // at most so many a round; 6 if zero
	Seed     uint64                                  // of the first round
	Make     treetest.Options                        // of the tree; the zero value is a small one
	Edit     func(tree string, seed uint64) []string // more changes, and what they were; may be nil
	Excludes []string
	Ranges   save.Ranges
	Open     func() (*source.Dir, error) // opens the volume, where it isn't held still by the journal and isn't read live
	Root     func() (*source.Dir, error) // as save.Config.Root
	Gaps     bool                        // gaps are allowed: such a round is scanned
	Stops    bool                        // each round is interrupted first, where it stores anything
}

// A Trial is what Rounds does, step by step.
type Trial struct {
	Options
	t      *testing.T
	memory *savetest.Memory
	last   *save.Result
	cursor *journal.Cursor
	tree   string
	did    []string
}

// Rounds runs them all.
func Rounds(t *testing.T, o Options) {
	t.Helper()
	r := New(t, o)
	for i := range r.Options.Rounds {
		r.Change(o.Seed + uint64(i))
		r.Check()
		if t.Failed() {
			t.Fatalf("seed %d, round %d: %q", o.Seed, i, r.did)
		}
	}
}

// New makes the tree and the first point.
func New(t *testing.T, o Options) *Trial {
	t.Helper()
	if o.Tree == "" {
		o.Tree = "tree"
	}
	if o.Rounds == 0 {
		o.Rounds = 50
	}
	if times, err := strconv.Atoi(os.Getenv("WAYBILL_ROUNDS")); err == nil {
		o.Rounds *= times
	}
	if o.Edits == 0 {
		o.Edits = 6
	}
	if o.Make.Entries == 0 {
		o.Make = treetest.Options{Entries: 60, MaxFile: 200 << 10, Shallow: true}
	}
	m, err := savetest.New()
	if err != nil {
		t.Fatal(err)
	}
	r := &Trial{Options: o, t: t, memory: m, tree: filepath.Join(o.Volume, o.Tree)}
	if err := os.MkdirAll(r.tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := treetest.Make(r.tree, o.Seed, o.Make); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { treetest.RemoveAll(r.tree) })
	r.Check()
	return r
}

// Change changes the tree at random.
func (r *Trial) Change(seed uint64) {
	r.t.Helper()
	did, err := treetest.Edit(r.tree, seed, 1+int(seed*7919)%r.Edits)
	if err != nil {
		r.t.Fatal(err)
	}
	r.did = did
	if r.Edit != nil {
		r.did = append(r.did, r.Edit(r.tree, seed)...)
	}
}

// Check makes the two points of the tree as it is, and compares them.
func (r *Trial) Check() {
	t := r.t
	t.Helper()
	j := r.Journal(t)
	defer j.Close()
	open := r.Open
	if h, ok := j.(journal.Holder); ok {
		dir, release, err := h.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := release(); err != nil {
				t.Error(err)
			}
		}()
		open = func() (*source.Dir, error) { return source.OpenDir(dir) }
	}
	now, err := j.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	volume := func() save.Volume {
		dirty := r.changes(j, now)
		return save.Volume{Path: r.Volume, Open: open, Dirty: dirty, From: r.cursor, Ranges: r.Ranges, Record: catalog.Volume{Cursor: now}}
	}
	if r.Stops && r.last != nil {
		r.stop(volume())
	}
	led := r.save(r.last, volume())
	read := r.save(nil, save.Volume{Path: r.Volume, Open: open})
	r.compare(led, read)
	r.last, r.cursor = led, now
}

// changes is what the journal tells, nil when it can't.
func (r *Trial) changes(j journal.Journal, now *journal.Cursor) *journal.Dirty {
	r.t.Helper()
	if r.last == nil {
		return nil
	}
	d := &journal.Dirty{}
	if err := j.Changes(r.t.Context(), r.cursor, now, d); err != nil && !r.Gaps {
		r.t.Fatal(err)
	} else if err != nil {
		return nil
	}
	return d
}

// stop makes a point that is interrupted as soon as it has stored something, and goes on from there.
func (r *Trial) stop(v save.Volume) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	cfg := r.config(r.last, v)
	cfg.CheckpointBytes, cfg.Destination = 1, stopping{r.memory, cancel}
	res, err := save.Run(ctx, cfg)
	if err != nil && !errors.Is(err, context.Canceled) {
		r.t.Fatal(err)
	}
	if res != nil && res.Point.State == catalog.PartialState {
		r.last = res
	}
}

// stopping cancels the run that commits.
type stopping struct {
	save.Destination
	cancel func()
}

func (s stopping) Publish(ctx context.Context, c save.Commit) error {
	s.cancel()
	return s.Destination.Publish(ctx, c)
}

// Last is the newest point, and Config a run based on it.
func (r *Trial) Last() *save.Result { return r.last }

func (r *Trial) save(last *save.Result, v save.Volume) *save.Result {
	r.t.Helper()
	res, err := save.Run(r.t.Context(), r.config(last, v))
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

func (r *Trial) config(last *save.Result, v save.Volume) save.Config {
	cfg := r.memory.Config(last, r.tree)
	cfg.Volumes, cfg.Excludes, cfg.Root = []save.Volume{v}, r.Excludes, r.Root
	return cfg
}

func (r *Trial) compare(led, read *save.Result) {
	r.t.Helper()
	a, b := led.Point, read.Point
	if v, w := r.volume(a), r.volume(b); !bytes.Equal(v.Append(nil), w.Append(nil)) {
		for _, d := range r.differences(v, w) {
			r.t.Error(d)
		}
		r.t.Errorf("the volume is %s, a scan has %s", describe(&v), describe(&w))
	}
	x, y := a.Stats, b.Stats
	if x.Files != y.Files || x.Directories != y.Directories || x.Others != y.Others || x.Bytes != y.Bytes {
		r.t.Errorf("counts are %+v, a scan has %+v", x, y)
	}
	if len(a.Problems) != len(b.Problems) {
		r.t.Errorf("problems %v, a scan has %v", a.Problems, b.Problems)
	}
}

// volume is the entry of the volume's root: what is above it is not ours alone.
func (r *Trial) volume(p *catalog.Point) catalog.Entry {
	e, err := p.RootEntry()
	if err == nil {
		e, err = catalog.Resolve(r.t.Context(), r.memory, e, []byte(r.Volume))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// differences tells where two directories differ.
func (r *Trial) differences(a, b catalog.Entry) (list []string) {
	err := catalog.Diff(r.t.Context(), r.memory, a, b, []byte(r.Volume), func(c catalog.Change) error {
		list = append(list, fmt.Sprintf("%q: %s, a scan has %s", c.Path, describe(c.Old), describe(c.New)))
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func describe(e *catalog.Entry) string {
	if e == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s inode %d flags %x mode %o %d:%d size %d mtime %d.%d ctime %d.%d content %x", e.Kind, e.Inode, e.Flags, e.Mode, e.UID, e.GID, e.Size,
		e.Mtime.Sec, e.Mtime.Nsec, e.Ctime.Sec, e.Ctime.Nsec, e.Content)
}
