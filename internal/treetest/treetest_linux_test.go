package treetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMakeIsRepeatable(t *testing.T) {
	for seed := range uint64(20) {
		a, b := newTree(t, seed, Options{Sizes: []int64{0, 4096}}), newTree(t, seed, Options{Sizes: []int64{0, 4096}})
		show(t, seed, Compare(a, b, Times))
	}
}

func TestMakeHasAllKinds(t *testing.T) {
	dir := newTree(t, 1, Options{Entries: 500, Wide: 2000})
	e := &editor{dice: newDice(1), root: mustOpen(t, dir)}
	if err := e.collect(e.root, ""); err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint32]int)
	longest := 0
	for _, n := range e.all {
		seen[n.kind]++
		longest = max(longest, len(n.path))
	}
	want := []uint32{unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFIFO, unix.S_IFSOCK}
	if os.Geteuid() == 0 {
		want = append(want, unix.S_IFCHR, unix.S_IFBLK)
	}
	for _, kind := range want {
		if seen[kind] == 0 {
			t.Errorf("no entry of kind %#o", kind)
		}
	}
	if longest <= unix.PathMax {
		t.Errorf("the longest path has %d bytes, want more than %d", longest, unix.PathMax)
	}
	if len(e.all) < 2400 {
		t.Errorf("%d entries", len(e.all))
	}
}

// TestCompareAgreesWithCopy: a copy by cp -a is a faithful one.
func TestCompareAgreesWithCopy(t *testing.T) {
	cp, err := exec.LookPath("cp")
	if err != nil {
		t.Skip("no cp")
	}
	for seed := range uint64(10) {
		a := newTree(t, seed, Options{Shallow: true})
		b := filepath.Join(tempDir(t), "copy")
		if out, err := exec.Command(cp, "-a", "--sparse=always", a, b).CombinedOutput(); err != nil {
			t.Skipf("cp: %v\n%s", err, out)
		}
		show(t, seed, Compare(a, b))
	}
}

// TestCompareSees makes one difference at a time in a copy that has none.
func TestCompareSees(t *testing.T) {
	at := func(dir, name string) string { return filepath.Join(dir, name) }
	for name, change := range map[string]func(dir string) error{
		"content":        func(d string) error { return overwrite(at(d, "file"), "Content") },
		"size":           func(d string) error { return overwrite(at(d, "file"), "content+") },
		"missing":        func(d string) error { return os.Remove(at(d, "file")) },
		"added":          func(d string) error { return overwrite(at(d, "more"), "") },
		"added, last":    func(d string) error { return overwrite(at(d, "zz"), "") },
		"mode":           func(d string) error { return os.Chmod(at(d, "file"), 0o600) },
		"directory mode": func(d string) error { return os.Chmod(at(d, "dir"), 0o700) },
		"root's mode":    func(d string) error { return os.Chmod(d, 0o711) },
		"mtime": func(d string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, at(d, "link"), []unix.Timespec{{}, {Sec: 1, Nsec: 1}}, unix.AT_SYMLINK_NOFOLLOW)
		},
		"owner":       func(d string) error { return os.Lchown(at(d, "link"), 5, -1) },
		"link target": func(d string) error { return errors.Join(os.Remove(at(d, "link")), os.Symlink("other", at(d, "link"))) },
		"kind":        func(d string) error { return errors.Join(os.Remove(at(d, "file")), os.Mkdir(at(d, "file"), 0o644)) },
		"attribute":   func(d string) error { return unix.Setxattr(at(d, "file"), "user.more", []byte("x"), 0) },
		"attribute's value": func(d string) error {
			return unix.Setxattr(at(d, "attr"), "user.a", []byte("other"), 0)
		},
		"attribute gone": func(d string) error { return unix.Removexattr(at(d, "attr"), "user.a") },
		"unlinked": func(d string) error {
			return errors.Join(os.Remove(at(d, "twin")), overwrite(at(d, "twin"), "twins"))
		},
		"linked": func(d string) error {
			return errors.Join(os.Remove(at(d, "twin")), os.Link(at(d, "file"), at(d, "twin")))
		},
		"hole filled":   func(d string) error { return fillHole(at(d, "hole")) },
		"hole reserved": func(d string) error { return reserve(at(d, "hole")) },
		"device": func(d string) error {
			return errors.Join(os.Remove(at(d, "null")), unix.Mknod(at(d, "null"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))))
		},
		"deep content": func(d string) error { return overwrite(at(d, "dir/inner"), "Inner") },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := small(t), small(t)
			ignore := Times
			if name == "mtime" {
				ignore = 0
				settle(t, a)
				settle(t, b)
			}
			if found := Compare(a, b, ignore); len(found) > 0 {
				t.Fatalf("equal trees differ: %q", found)
			}
			if err := change(b); err != nil {
				t.Skip(err)
			}
			if len(Compare(a, b, ignore)) == 0 {
				t.Error("no difference found")
			}
		})
	}
}

func TestEdit(t *testing.T) {
	for seed := range uint64(20) {
		a, b := newTree(t, seed, Options{}), newTree(t, seed, Options{})
		log, err := Edit(b, seed, 40)
		if err != nil {
			t.Fatal(err)
		}
		if len(log) != 40 {
			t.Errorf("seed %d: %d changes", seed, len(log))
		}
		if len(Compare(a, b, Times)) == 0 {
			t.Errorf("seed %d: no difference after %q", seed, log)
		}
	}
}

func TestEditDoesAll(t *testing.T) {
	dir := newTree(t, 3, Options{})
	seen := make(map[string]int)
	for seed := range uint64(30) {
		log, err := Edit(dir, seed, 20)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range log {
			name, _, _ := strings.Cut(line, ` "`)
			name, _, _ = strings.Cut(name, " to ")
			seen[name]++
		}
	}
	if len(seen) < 20 {
		t.Errorf("%d kinds of changes: %v", len(seen), seen)
	}
}

// tempDir is in memory where there is a place for it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "waybill-treetest-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() {
		if err := RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newTree(t *testing.T, seed uint64, o Options) string {
	t.Helper()
	dir := tempDir(t)
	if err := Make(dir, seed, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustOpen(t *testing.T, dir string) int {
	t.Helper()
	fd, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func show(t *testing.T, seed uint64, differences []string) {
	t.Helper()
	for _, d := range differences {
		t.Errorf("seed %d: %.300s", seed, d)
	}
}

// small makes a tree that has one of each thing to differ in.
func small(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	hole, err := os.Create(in("hole"))
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	_, err = hole.WriteAt(make([]byte, 4096), 1<<20)
	err = errors.Join(err, hole.Truncate(2<<20),
		overwrite(in("file"), "content"), overwrite(in("attr"), ""), overwrite(in("one"), "twins"),
		os.Link(in("one"), in("twin")), os.Symlink("target", in("link")), os.Mkdir(in("dir"), 0o755), overwrite(in("dir/inner"), "inner"))
	if err != nil {
		t.Fatal(err)
	}
	// These may be refused; then the case that needs them is skipped.
	_ = unix.Setxattr(in("attr"), "user.a", []byte("value"), 0)
	_ = unix.Mknod(in("null"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3)))
	return dir
}

// settle gives all that small made the same mtime.
func settle(t *testing.T, dir string) {
	t.Helper()
	when := []unix.Timespec{{Sec: 7}, {Sec: 7, Nsec: 7}}
	for _, name := range []string{"hole", "file", "attr", "one", "link", "dir/inner", "dir", "null", "."} {
		err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), when, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && name != "null" {
			t.Fatal(err)
		}
	}
}

func overwrite(path, content string) error { return os.WriteFile(path, []byte(content), 0o644) }

func fillHole(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 4096), 64<<10)
	return errors.Join(err, f.Close())
}

func reserve(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 1<<20); err != nil {
		return fmt.Errorf("fallocate: %w", err)
	}
	return nil
}
