package save_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/manifest"
)

// interrupt begins a run and ends it with its first checkpoint.
func (m *memory) interrupt(change func(*save.Config), roots ...string) *save.Result {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	m.publishing = func(save.Commit) error { cancel(); return nil }
	r, err := m.try(ctx, func(c *save.Config) {
		change(c)
		c.Readers, c.CheckpointBytes = 1, 20<<10
	}, roots...)
	m.publishing = nil
	if !errors.Is(err, context.Canceled) || r == nil || r.Point.State != catalog.PartialState {
		m.t.Fatalf("%+v, %v", r, err)
	}
	return r
}

// recorded is on, and the point says of the volume how it was looked at.
func recorded(dir string, d *journal.Dirty) func(*save.Config) {
	from, now := &catalog.JournalCursor{Kind: "test", Position: 1}, &catalog.JournalCursor{Kind: "test", Position: 2}
	return func(c *save.Config) {
		c.Volumes = []save.Volume{{Path: dir, Dirty: d, From: from, Record: catalog.Volume{Mode: catalog.Optimised, Cursor: now}}}
	}
}

// What is in a directory that came from where it was not saved is named by no journal. A run that was interrupted
// there has saved some of it.
func TestInterruptedInNewDirectory(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	write(t, dir+"/saved/a", []byte("a"))
	for i := range 100 {
		write(t, fmt.Sprintf("%s/elsewhere/deep/%d/f%02d", dir, i%3, i), noise(1<<10, uint64(i)))
	}
	root := dir + "/saved"
	m.save(recorded(dir, nil), root)
	if err := os.Rename(dir+"/elsewhere", root+"/came"); err != nil {
		t.Fatal(err)
	}
	dirty := func() *journal.Dirty { return names(t, dir, "elsewhere", "saved/came") }
	r := m.interrupt(recorded(dir, dirty()), root)
	if c := r.Point.Volumes[0].Cursor; c == nil || c.Position != 1 {
		t.Errorf("%+v", c)
	}
	m.same(m.save(recorded(dir, dirty()), root).Point, root)
}

// The same of one that came from where other patterns leave things out.
func TestInterruptedInMovedDirectory(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for i := range 100 {
		write(t, fmt.Sprintf("%s/less/deep/%d/f%02d", dir, i%3, i), noise(1<<10, uint64(i)))
		write(t, fmt.Sprintf("%s/less/deep/%d/more%02d", dir, i%3, i), noise(1<<10, uint64(1000+i)))
	}
	write(t, dir+"/to/a", []byte("a"))
	with := func(d *journal.Dirty) func(*save.Config) {
		return func(c *save.Config) { recorded(dir, d)(c); c.Excludes = []string{"less/**/more*"} }
	}
	m.save(with(nil), dir)
	if err := os.Rename(dir+"/less", dir+"/to/all"); err != nil {
		t.Fatal(err)
	}
	m.interrupt(with(names(t, dir, "less", "to/all")), dir)
	m.same(m.save(with(names(t, dir, "less", "to/all")), dir).Point, dir)
}

// A run that is interrupted leaves nothing open.
func TestInterruptedCloses(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for i := range 100 {
		write(t, fmt.Sprintf("%s/%d/deep/f%02d", dir, i%3, i), noise(1<<10, uint64(i)))
	}
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := open()
	m.interrupt(on(dir, nil), dir)
	if n := open(); n != before {
		t.Errorf("%d descriptors were open before, %d are now", before, n)
	}
}

// What could not be saved is looked at again, though a run came between that was interrupted before it came by.
func TestInterruptedBeforeProblems(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	write(t, dir+"/z/secret", []byte("secret"))
	m.save(on(dir, nil), dir)
	m.last.Point.Problems = []catalog.Problem{{Path: manifest.EscapePath([]byte(dir + "/z/secret")), Problem: "could not be read"}}
	m.last.Point.ProblemCount = 1
	write(t, dir+"/z/secret", []byte("by now"))
	for i := range 100 {
		write(t, fmt.Sprintf("%s/a/f%02d", dir, i), noise(1<<10, uint64(i)))
	}
	dirty := func() *journal.Dirty { d := names(t, dir, "a"); d.List(id(t, filepath.Join(dir, "a"))); return d }
	r := m.interrupt(recorded(dir, dirty()), dir)
	if r.Point.ProblemCount != 1 {
		t.Errorf("%+v", r.Point.Problems)
	}
	r = m.save(recorded(dir, dirty()), dir)
	m.same(r.Point, dir)
	if r.Point.ProblemCount != 0 {
		t.Errorf("%+v", r.Point.Problems)
	}
}

// What was left out, and no more is, by a run that was interrupted before it came by.
func TestInterruptedBeforeLeftOut(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	write(t, dir+"/z/left/out", []byte("out"))
	m.save(func(c *save.Config) { on(dir, nil)(c); c.Skip = []string{dir + "/z/left"} }, dir)
	for i := range 100 {
		write(t, fmt.Sprintf("%s/a/f%02d", dir, i), noise(1<<10, uint64(i)))
	}
	d := names(t, dir, "a")
	d.List(id(t, dir+"/a"))
	if r := m.interrupt(recorded(dir, d), dir); r.Point.Volumes[0].Cursor != nil {
		t.Errorf("%+v", r.Point.Volumes)
	}
}

// Too many places to be kept in memory are scanned, also if it is what the base adds that makes them too many.
func TestTooMuchToRemind(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	write(t, dir+"/a", []byte("a"))
	m.save(on(dir, nil), dir)
	m.last.Point.Problems = []catalog.Problem{{Path: manifest.EscapePath([]byte(dir + "/b/c")), Problem: "could not be read"}}
	write(t, dir+"/a", []byte("changed"))
	d := names(t, dir, "a")
	for i := uint64(0); d.Via != nil; i++ {
		full := *d
		if d.Link(1<<60 + i); d.Overflow {
			d = &full
			break
		}
	}
	if d.Overflow || len(d.Links) == 0 {
		t.Fatalf("%v, %d", d.Overflow, len(d.Links))
	}
	r := m.save(recorded(dir, d), dir)
	m.same(r.Point, dir)
	if v := r.Point.Volumes[0]; v.Mode != catalog.Unoptimised || v.Reason == "" {
		t.Errorf("%+v", v)
	}
}
