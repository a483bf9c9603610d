package btrfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSubvolumes(t *testing.T) {
	top := mounted(t, 256<<20)
	make := func(path string) {
		t.Helper()
		ok(t, os.MkdirAll(filepath.Dir(filepath.Join(top, path)), 0o755))
		run(t, "btrfs", "subvolume", "create", filepath.Join(top, path))
	}
	make("home")
	make("home/a/b/c/user")
	make("home/a/b/c/user/data")
	make("z")
	ok(t, os.Rename(top+"/home/a/b/c", top+"/home/a/moved"))
	run(t, "btrfs", "subvolume", "snapshot", "-r", top+"/z", top+"/old")
	make(newName(5, 1, time.Now())) // a name like ours does not make it one
	_, release, err := opened(t, top).Hold(t.Context())
	ok(t, err)
	defer release()
	subs, err := Subvolumes(top)
	ok(t, err)
	want := []string{"home", "home/a/moved/user", "home/a/moved/user/data", "old", "", "z"}
	if len(subs) != len(want) {
		t.Fatalf("%+v", subs)
	}
	for i, s := range subs {
		if want[i] != "" && s.Path != want[i] || s.ReadOnly != (s.Path == "old") {
			t.Errorf("%+v, want %s", s, want[i])
		}
		f, err := os.Open(filepath.Join(top, s.Path))
		ok(t, err)
		if is, err := subvolumeOf(f); err != nil || is.id != s.ID {
			t.Errorf("%s has id %d, not %d, %v", s.Path, is.id, s.ID, err)
		}
		f.Close()
	}
	if subs, err = Subvolumes(top + "/home"); err != nil || len(subs) != 2 || subs[0].Path != "a/moved/user" {
		t.Errorf("%+v, %v", subs, err)
	}
	if _, err := Subvolumes("/proc"); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// A nested subvolume has a journal of its own.
func TestNested(t *testing.T) {
	top := mounted(t, 256<<20)
	run(t, "btrfs", "subvolume", "create", top+"/sub")
	write(t, top+"/sub/dir/file", []byte("one"))
	ok(t, os.Symlink("x", top+"/link"))
	run(t, "sync", "-f", top)
	outer, inner := opened(t, top), opened(t, top+"/sub")
	before, _ := hold(t, outer, nil)
	inside, _ := hold(t, inner, nil)
	write(t, top+"/sub/dir/file", []byte("two"))
	after, d := hold(t, outer, before)
	covered(t, before, after, d)
	if !d.Dirs[firstInode].Has([]byte("sub")) {
		t.Errorf("the outer one doesn't tell that there is an inner one: %+v", d)
	}
	now, d := hold(t, inner, inside)
	covered(t, inside, now, d)
	if len(d.Dirs) == 0 || inside.cursor.Journal == before.cursor.Journal || inside.cursor.Volume != before.cursor.Volume {
		t.Errorf("%+v, %+v", inside.cursor, d)
	}
}
