package save_test

import (
	"os"
	"testing"
	"time"

	"waybill/incremental/journal/journaltest"
	"waybill/internal/save"
)

// A directory made after the journal was asked, of the id of one that went before, is not taken for that one: else what the base had in it would be in
// the point once more, by ids that other directories have by now, and the next run would find it there.
func TestReusedIds(t *testing.T) {
	m, dir := newMemory(t), journaltest.Mount(t, "ext4", 16<<20)+"/tree"
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/y/x/old", []byte("old"))
	write(t, dir+"/elsewhere/file", []byte("same"))
	write(t, dir+"/same/file", []byte("same"))
	y, x := id(t, dir+"/y"), id(t, dir+"/y/x")
	m.save(on(dir, nil), dir)

	ok(os.RemoveAll(dir + "/y"))
	ok(os.Mkdir(dir+"/spare", 0o777)) // takes y
	ok(os.Mkdir(dir+"/z", 0o777))
	write(t, dir+"/z/new", []byte("new"))
	d := names(t, dir, "y", "z", "z/new")
	d.List(x)
	asked := time.Now()
	ok(os.Rename(dir+"/z", dir+"/elsewhere/z"))
	ok(os.Remove(dir + "/spare"))
	ok(os.Mkdir(dir+"/y", 0o777))
	if id(t, dir+"/y") != y || id(t, dir+"/elsewhere/z") != x {
		t.Skip("the file system doesn't give the ids again in that order")
	}
	m.save(func(c *save.Config) { c.Volumes = []save.Volume{{Path: dir, Dirty: d, Reuses: asked}} }, dir)

	d = names(t, dir, "z", "y", "elsewhere/z")
	d.List(y)
	r := m.save(on(dir, d), dir)
	m.same(r.Point, dir)
	if s := r.Point.Stats; s.ReadBytes != 3 {
		t.Errorf("%d bytes were read, 3 are new", s.ReadBytes)
	}
}
