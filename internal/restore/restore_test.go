package restore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"waybill/internal/restore"
	"waybill/internal/treetest"
)

func TestRandomTreesComeBack(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m, src := newMachine(t), temp(t)
			if err := treetest.Make(src, seed, treetest.Options{Sizes: []int64{32 << 10, 96 << 10, 1 << 20}}); err != nil {
				t.Fatal(err)
			}
			for round := range 3 {
				m.backup(src)
				to := temp(t)
				report := m.restore(restore.Options{To: to})
				m.same(to, src)
				if report.WarningsCount > 0 {
					t.Errorf("warnings: %v", report.Warnings)
				}
				settle()
				if log, err := treetest.Edit(src, seed*100+uint64(round), 20); err != nil {
					t.Fatal(log, err)
				}
			}
		})
	}
}

func TestSelection(t *testing.T) {
	m, src := newMachine(t), temp(t)
	write(t, src+"/a/in/file", []byte("1"))
	write(t, src+"/a/in/deep/file", []byte("2"))
	write(t, src+"/a/out/file", []byte("3"))
	write(t, src+"/b/one", []byte("4"))
	write(t, src+"/b/other", []byte("5"))
	m.backup(src)
	to := temp(t)
	m.restore(restore.Options{To: to, Paths: [][]byte{[]byte(src + "/a/in/"), []byte(src + "/b/one"), []byte(src + "/a/in/deep")}})
	for path, there := range map[string]bool{"a/in/file": true, "a/in/deep/file": true, "a/out": false, "b/one": true, "b/other": false} {
		if _, err := os.Lstat(filepath.Join(to, src, path)); (err == nil) != there {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := m.try(t.Context(), restore.Options{To: to, Paths: [][]byte{[]byte(src + "/c")}}); err == nil {
		t.Error("a path that is not in the point was restored")
	}
}

func TestConflicts(t *testing.T) {
	m, src := newMachine(t), temp(t)
	write(t, src+"/report.txt", []byte("saved"))
	write(t, src+"/sub/.profile", []byte("saved"))
	os.Symlink("saved", src+"/link")
	os.Link(src+"/report.txt", src+"/sub/same")
	m.backup(src)
	occupied := func() string {
		to := temp(t)
		for _, name := range []string{"/report.txt", "/sub/.profile", "/sub/same", "/link", "/sub/mine"} {
			write(t, to+src+name, []byte("mine"))
		}
		return to
	}
	t.Run("copy", func(t *testing.T) {
		to := occupied()
		for n := 1; n <= 2; n++ {
			m.restore(restore.Options{To: to})
			has(t, to+src+"/report.txt", []byte("mine"))
			has(t, fmt.Sprintf("%s/report (restored %d).txt", to+src, n), []byte("saved"))
			has(t, fmt.Sprintf("%s/sub/.profile (restored %d)", to+src, n), []byte("saved"))
			has(t, fmt.Sprintf("%s/sub/same (restored %d)", to+src, n), []byte("saved"))
			if target, _ := os.Readlink(fmt.Sprintf("%s/link (restored %d)", to+src, n)); target != "saved" {
				t.Errorf("link leads to %q", target)
			}
		}
	})
	t.Run("overwrite", func(t *testing.T) {
		to := occupied()
		m.restore(restore.Options{To: to, Conflict: restore.Overwrite})
		has(t, to+src+"/sub/mine", []byte("mine"))
		os.Remove(to + src + "/sub/mine")
		m.same(to, src, treetest.Times)
	})
	t.Run("skip", func(t *testing.T) {
		to := occupied()
		os.Remove(to + src + "/sub/same")
		r := m.restore(restore.Options{To: to, Conflict: restore.Skip})
		has(t, to+src+"/report.txt", []byte("mine"))
		has(t, to+src+"/sub/same", []byte("saved"))
		if r.Skipped != 3 {
			t.Errorf("%d skipped, not 3", r.Skipped)
		}
	})
	t.Run("fail", func(t *testing.T) {
		to := occupied()
		os.Remove(to + src + "/sub/same")
		if _, err := m.try(t.Context(), restore.Options{To: to, Conflict: restore.Fail}); !isErr(err, restore.ErrConflict) {
			t.Errorf("error is %v", err)
		}
		if _, err := os.Lstat(to + src + "/sub/same"); err == nil {
			t.Error("something was restored although there was a conflict")
		}
		if left, _ := filepath.Glob(to + "/.waybill*"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		clean := temp(t)
		write(t, clean+src+"/sub/mine", []byte("mine"))
		m.restore(restore.Options{To: clean, Conflict: restore.Fail})
		has(t, clean+src+"/report.txt", []byte("saved"))
	})
}

// What is of another kind stays when it holds something, and is reported; nothing is traversed.
func TestOtherKindsInTheWay(t *testing.T) {
	m, src := newMachine(t), temp(t)
	write(t, src+"/file", []byte("saved"))
	write(t, src+"/empty", []byte("saved"))
	write(t, src+"/dir/below", []byte("saved"))
	write(t, src+"/linked/below", []byte("saved"))
	m.backup(src)
	to, outside := temp(t), temp(t)
	write(t, to+src+"/file/in it", nil)
	os.Mkdir(to+src+"/empty", 0o777)
	write(t, to+src+"/dir", []byte("mine"))
	os.Symlink(outside, to+src+"/linked")
	r, err := m.try(t.Context(), restore.Options{To: to, Conflict: restore.Overwrite})
	if !isErr(err, restore.ErrNotAll) || r.FailedCount != 3 {
		t.Errorf("%v %+v", err, r)
	}
	has(t, to+src+"/empty", []byte("saved"))
	has(t, to+src+"/dir", []byte("mine"))
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("a link in the target was followed: %v", left)
	}
}
