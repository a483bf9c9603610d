package save_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/manifest"
)

// id is a path's inode.
func id(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// names makes names dirty that are given as paths below a directory.
func names(t *testing.T, top string, paths ...string) *journal.Dirty {
	t.Helper()
	d := &journal.Dirty{}
	for _, p := range paths {
		dir := filepath.Join(top, filepath.Dir(p))
		d.Name(id(t, dir), []byte(filepath.Base(p)))
		for ; dir != top; dir = filepath.Dir(dir) {
			d.Lead(id(t, dir))
		}
	}
	d.Lead(id(t, top))
	return d
}

func on(dir string, d *journal.Dirty) func(*save.Config) {
	return func(c *save.Config) { c.Volumes = []save.Volume{{Path: dir, Dirty: d}} }
}

// A directory that was renamed is one name at either end, and nothing in it is opened, nor looked at.
func TestMoved(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for i := range 300 {
		write(t, fmt.Sprintf("%s/top/d%d/e%d/f%d", dir, i%3, i%10, i), noise(500, uint64(i)))
	}
	write(t, dir+"/large", noise(2<<20, 9))
	write(t, dir+"/gone/inner/x", noise(100, 10))
	first := m.save(on(dir, nil), dir)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(os.Rename(dir+"/top", dir+"/gone/inner/deep"))
	ok(os.Mkdir(dir+"/new", 0o777))
	ok(os.Rename(dir+"/gone/inner", dir+"/new/inner"))
	ok(os.RemoveAll(dir + "/gone"))
	write(t, dir+"/new/inner/deep/d1/e1/f1", []byte("changed"))
	ok(os.Rename(dir+"/large", dir+"/new/large"))
	d := names(t, dir, "top", "gone", "new", "new/inner", "new/inner/deep", "new/inner/deep/d1/e1/f1", "large", "new/large")
	d.File(id(t, dir+"/new/large")).Kept = true
	r := m.save(on(dir, d), dir)
	m.same(r.Point, dir)
	s, f := r.Point.Stats, first.Point.Stats
	if s.ReadBytes != 7 || s.Files != f.Files || s.Directories != f.Directories || s.Bytes != f.Bytes-500+7 || s.Unchanged != s.Files-2 {
		t.Errorf("%+v after %+v", s, f)
	}
}

// Names that the journal doesn't name are the base's, whatever became of them: it is trusted. Their numbers given to others are noticed.
func TestTrusted(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for _, name := range []string{"a/b/c", "a/b/d", "e/f", "g"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	m.save(on(dir, nil), dir)
	write(t, dir+"/a/b/c", []byte("unnoticed"))
	write(t, dir+"/a/b/d", []byte("noticed"))
	write(t, dir+"/e/f", []byte("unnoticed"))
	r := m.save(on(dir, names(t, dir, "a/b/d")), dir)
	saved := m.files(r.Point, dir)
	for name, want := range map[string]string{"a/b/c": "a/b/c", "a/b/d": "noticed", "e/f": "e/f", "g": "g"} {
		if saved[name].content != want {
			t.Errorf("%s is %q, want %q", name, saved[name].content, want)
		}
	}
}

// Of a directory whose names turned, those that came, went or stand for another file are looked at, and no others.
func TestTurns(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for _, name := range []string{"t/gone", "t/replaced", "t/changed", "t/named", "t/sub/x"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	m.save(on(dir, nil), dir)
	for _, name := range []string{"changed", "named", "another", "came"} {
		write(t, dir+"/t/"+name, []byte("now"))
	}
	for _, err := range []error{os.Rename(dir+"/t/another", dir+"/t/replaced"), os.Remove(dir + "/t/gone"), os.Rename(dir+"/t/sub", dir+"/t/moved")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d := names(t, dir, "t", "t/named")
	d.Turn(id(t, dir+"/t"))
	got := m.files(m.save(on(dir, d), dir).Point, dir+"/t")
	for name, want := range map[string]string{"replaced": "now", "named": "now", "came": "now", "changed": "t/changed", "gone": "", "moved/x": "t/sub/x", "sub/x": ""} {
		if got[name].content != want {
			t.Errorf("%s is %q, want %q", name, got[name].content, want)
		}
	}
}

// A sweep saves what the journal had missed, and says so.
func TestSweepFinds(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for _, name := range []string{"a/b/changed", "a/b/told", "a/gone/x", "e/f", "same"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	for _, name := range []string{"t/gone", "t/replaced", "t/changed"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	m.save(on(dir, nil), dir)
	write(t, dir+"/a/b/changed", []byte("unnoticed"))
	write(t, dir+"/a/b/told", []byte("noticed"))
	write(t, dir+"/t/changed", []byte("unnoticed"))
	write(t, dir+"/t/another", []byte("another"))
	for _, err := range []error{os.Rename(dir+"/t/another", dir+"/t/replaced"), os.Remove(dir + "/t/gone")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/t/came", []byte("came"))
	write(t, dir+"/e/new", []byte("new"))
	write(t, dir+"/e/late", []byte("late"))
	if err := os.RemoveAll(dir + "/a/gone"); err != nil {
		t.Fatal(err)
	}
	d, later := names(t, dir, "a/b/told", "t"), names(t, dir, "e/late", "e")
	d.Turn(id(t, dir+"/t"))
	r := m.save(func(c *save.Config) {
		c.Volumes = []save.Volume{{Path: dir, Dirty: d, Sweep: true, Later: func() (*journal.Dirty, error) { return later, nil },
			Record: catalog.Volume{Mode: catalog.Unoptimised}}}
	}, dir)
	m.same(r.Point, dir)
	v := r.Point.Volumes[0]
	var want []string
	for _, name := range []string{"/a/b/changed", "/e/new", "/a/gone", "/t/changed"} {
		want = append(want, manifest.EscapePath([]byte(dir+name)))
	}
	slices.Sort(v.Missed)
	slices.Sort(want)
	if !slices.Equal(v.Missed, want) || v.Misses != len(want) {
		t.Errorf("missed %q, want %q", v.Missed, want)
	}
}

// What changes while a sweep is on its way was not missed, however little of it is named: the directory of a new name, the other names of a
// file, what was in a directory that is gone since.
func TestSweepOfALivingTree(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for _, name := range []string{"dir/x", "left/x", "a", "gone/x"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	if err := os.Link(dir+"/a", dir+"/left/b"); err != nil {
		t.Fatal(err)
	}
	m.save(on(dir, nil), dir)
	write(t, dir+"/dir/new", []byte("new"))
	write(t, dir+"/a", []byte("by one name"))
	write(t, dir+"/gone/x", []byte("changed"))
	write(t, dir+"/left/x", []byte("unnoticed"))
	later := func() (*journal.Dirty, error) {
		d := names(t, dir, "dir/new", "a", "gone")
		d.Link(id(t, dir+"/a"))
		return d, os.RemoveAll(dir + "/gone")
	}
	sweep := func(c *save.Config) {
		c.Volumes = []save.Volume{{Path: dir, Dirty: names(t, dir), Sweep: true, Later: later, Record: catalog.Volume{Mode: catalog.Unoptimised}}}
	}
	v := m.save(sweep, dir).Point.Volumes[0]
	if want := manifest.EscapePath([]byte(dir + "/left/x")); !slices.Equal(v.Missed, []string{want}) {
		t.Errorf("missed %q, want only %s", v.Missed, want)
	}
}

// A journal that ends during a sweep is not judged, and the point is made all the same.
func TestSweepWithoutAnEnd(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	write(t, dir+"/a", []byte("a"))
	m.save(on(dir, nil), dir)
	write(t, dir+"/a", []byte("changed"))
	r := m.save(func(c *save.Config) {
		later := func() (*journal.Dirty, error) { return nil, fmt.Errorf("ask: %w", &journal.Gap{Reason: "it ended"}) }
		c.Volumes = []save.Volume{{Path: dir, Dirty: names(t, dir), Sweep: true, Later: later, Record: catalog.Volume{Mode: catalog.Unoptimised, Reason: "swept"}}}
	}, dir)
	m.same(r.Point, dir)
	if v := r.Point.Volumes[0]; v.Misses != 0 || v.Reason != "it ended" {
		t.Errorf("%+v", v)
	}
}

// What could not be saved is looked at the next time, though nothing happens to it; and what was left out and is no more.
func TestProblemsAreLookedAtAgain(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	for _, name := range []string{"a/b/secret", "a/b/c", "a/left/out", "d"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	m.save(func(c *save.Config) { on(dir, nil)(c); c.Skip = []string{dir + "/a/left"} }, dir)
	m.last.Point.Problems = []catalog.Problem{{Path: manifest.EscapePath([]byte(dir + "/a/b/secret")), Problem: "could not be read"}}
	write(t, dir+"/a/b/secret", []byte("by now"))
	r := m.save(on(dir, &journal.Dirty{}), dir)
	if s := r.Point.Stats; s.ReadBytes != int64(len("by now"+"a/left/out")) || s.Files != 4 {
		t.Errorf("%+v", s)
	}
	m.same(r.Point, dir)
}
