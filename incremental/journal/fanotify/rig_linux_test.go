package fanotify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

// memory is a directory on a tmpfs, until the test ends.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "waybill-fanotify-")
	if err != nil {
		t.Skipf("no /dev/shm: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can watch file systems")
	}
}

// volume makes a file system and mounts it until the test ends.
func volume(t testing.TB, kind string) string {
	t.Helper()
	needRoot(t)
	top := memory(t)
	at := filepath.Join(top, "volume")
	must(t, os.Mkdir(at, 0o755))
	if kind == "tmpfs" {
		mountHere(t, "tmpfs", at, "tmpfs", "size=64m")
		return at
	}
	mountHere(t, loop(t, image(t, top, kind)), at, kind, "")
	return at
}

func image(t testing.TB, dir, kind string) string {
	t.Helper()
	mkfs, size := "mkfs."+kind, int64(64<<20)
	args := []string{"-q"}
	switch kind {
	case "ext4":
		args = []string{"-q", "-F"}
	case "xfs":
		size = 320 << 20
	case "btrfs":
		size = 128 << 20
	}
	if _, err := exec.LookPath(mkfs); err != nil {
		t.Skip(err)
	}
	name := filepath.Join(dir, kind+".img")
	must(t, os.WriteFile(name, nil, 0o600))
	must(t, os.Truncate(name, size))
	run(t, mkfs, append(args, name)...)
	return name
}

func loop(t testing.TB, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "-f", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop devices: %s", out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "-d", device) })
	return device
}

func mountHere(t testing.TB, source, target, kind, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, 0, data); err != nil {
		t.Skipf("no right to mount a file system: %v", err)
	}
	t.Cleanup(func() { unmount(t, target) })
}

func unmount(t testing.TB, target string) {
	t.Helper()
	if err := unix.Unmount(target, 0); err != nil && err != unix.EINVAL { // EINVAL: the test has done it
		t.Errorf("unmounting %s: %v", target, err)
		_ = unix.Unmount(target, unix.MNT_DETACH)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// start runs an agent in this process until stop is called or the test ends. It hears what this process does, unless told otherwise.
func start(t testing.TB, o Options) (stop func()) {
	t.Helper()
	if o.deaf == 0 {
		o.deaf = -1
	}
	if o.Log == nil {
		o.Log = t.Logf
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	waitForAgent(t, o.StateDir, done)
	return stop
}

func waitForAgent(t testing.TB, stateDir string, done chan error) {
	t.Helper()
	for range 1000 {
		if _, err := Agent(t.Context(), stateDir); err == nil {
			return
		}
		select {
		case err := <-done:
			done <- nil
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the agent doesn't start")
}

func open4(t testing.TB, stateDir, path string) *Journal {
	t.Helper()
	j, err := Open(stateDir, path)
	must(t, err)
	t.Cleanup(func() { j.Close() })
	return j
}

func now(t testing.TB, j *Journal) *journal.Cursor {
	t.Helper()
	c, err := j.Now(t.Context())
	must(t, err)
	return c
}

func changed(t testing.TB, j *Journal, from *journal.Cursor) *journal.Dirty {
	t.Helper()
	d := &journal.Dirty{}
	must(t, j.Changes(t.Context(), from, now(t, j), d))
	return d
}

// wantGap demands a gap with a reason that begins so.
func wantGap(t testing.TB, err error, reason string) {
	t.Helper()
	var gap *journal.Gap
	if !errors.As(err, &gap) || !strings.HasPrefix(gap.Reason, reason) {
		t.Fatalf("got %v, want a gap: %s", err, reason)
	}
}

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return st.Ino
}

func names(t testing.TB, d *journal.Dirty, path string) bool {
	t.Helper()
	return d.Dirs[inode(t, filepath.Dir(path))].Has([]byte(filepath.Base(path)))
}

// A spot is where an entry is: its directory's inode and its name.
type spot struct {
	dir  uint64
	name string
}

// A tree is what a scan sees.
type tree struct {
	root     uint64
	entries  map[spot]string // all of an entry that must not change unnoticed
	inodes   map[spot]uint64
	contents map[spot]string
	above    map[uint64]uint64
	self     map[uint64]string // of directories
}

func scan(t testing.TB, top string) *tree {
	t.Helper()
	return scanBelow(t, top, "")
}

// scanBelow leaves a directory out.
func scanBelow(t testing.TB, top, without string) *tree {
	t.Helper()
	x := &tree{root: inode(t, top), entries: map[spot]string{}, inodes: map[spot]uint64{}, contents: map[spot]string{}, above: map[uint64]uint64{}, self: map[uint64]string{}}
	must(t, filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == without {
			return fs.SkipDir
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		s := fmt.Sprint(st.Ino, st.Mode, st.Nlink, st.Uid, st.Gid, st.Rdev, st.Mtim, st.Ctim, xattrs(path))
		if e.IsDir() {
			x.self[st.Ino] = s
		} else {
			s += fmt.Sprint(st.Size)
		}
		content := ""
		if e.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		if path == top {
			return nil
		}
		p := spot{inode(t, filepath.Dir(path)), e.Name()}
		x.entries[p], x.inodes[p], x.contents[p] = s+content, st.Ino, content
		if e.IsDir() {
			x.above[st.Ino] = p.dir
		}
		return nil
	}))
	return x
}

func xattrs(path string) string {
	b := make([]byte, 4096)
	n, err := unix.Llistxattr(path, b)
	if err != nil {
		return err.Error()
	}
	var s strings.Builder
	for _, name := range strings.Split(strings.TrimRight(string(b[:n]), "\x00"), "\x00") {
		n, _ := unix.Lgetxattr(path, name, b[n:])
		fmt.Fprintf(&s, "%s=%q ", name, b[:max(n, 0)])
	}
	return s.String()
}

// mustCover demands that all differences between two states are in a dirty set.
func mustCover(t testing.TB, before, after *tree, d *journal.Dirty) {
	t.Helper()
	covers := func(p spot, what string) {
		_, isDir := after.self[after.inodes[p]]
		switch {
		case d.Dirs[p.dir].Has([]byte(p.name)):
		case isDir && d.Dirs[after.inodes[p]] != nil: // looked at itself
		case has(d.Links, before.inodes[p]): // if no entry of several names has it in the base, all entries are searched
		case after.self[p.dir] == "": // the directory is gone, for which see there
		default:
			t.Errorf("%s in directory %d %s, and the journal does not name it", p.name, p.dir, what)
		}
	}
	for p, s := range after.entries {
		if old, ok := before.entries[p]; !ok {
			covers(p, "is new")
		} else if old != s {
			covers(p, "changed")
		}
	}
	for p := range before.entries {
		if _, ok := after.entries[p]; !ok {
			covers(p, "is gone")
		}
	}
	if before.self[after.root] != after.self[after.root] && d.Dirs[after.root] == nil {
		t.Error("the root changed, and the journal does not name it")
	}
	for id := range d.Dirs {
		for id != after.root {
			up, ok := after.above[id]
			if !ok {
				t.Errorf("directory %d is in the dirty set and not in the volume", id)
				break
			}
			if !has(d.Via, up) {
				t.Errorf("directory %d leads to a dirty one, and isn't said to", up)
			}
			id = up
		}
	}
}

func has(set map[uint64]struct{}, id uint64) bool {
	_, ok := set[id]
	return ok
}
