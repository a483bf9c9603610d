package incremental_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental"
	"waybill/incremental/journal/fanotify"
	"waybill/incremental/journal/journaltest"
	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/manifest"
)

// onBtrfs is a machine whose backups go by the generations of a btrfs volume, and a directory on it.
func onBtrfs(t *testing.T) (*machine, string) {
	volume := journaltest.Mount(t, "btrfs", 256<<20)
	m := newMachine(t)
	m.options.Volumes = volumes.Options{Snapshot: true, StateDir: t.TempDir()}
	root := filepath.Join(volume, "data")
	for i := range 200 {
		write(t, fmt.Sprintf("%s/d%02d/f%03d", root, i%20, i), noise(1000+i, uint64(i)))
	}
	return m, root
}

// how is how the volume of a directory was looked at.
func how(t *testing.T, r *save.Result, dir string) catalog.Volume {
	t.Helper()
	path := manifest.EscapePath([]byte(dir))
	for _, at := range []string{path, filepath.Dir(path)} {
		for _, v := range r.Point.Volumes {
			if v.Path == at {
				return v
			}
		}
	}
	t.Fatalf("%s is on none of %+v", dir, r.Point.Volumes)
	return catalog.Volume{}
}

// optimised makes a backup, which must go by the journal, and looks at what it saved.
func (m *machine) optimised(dir string) *save.Result {
	m.t.Helper()
	r := m.backup()
	if v := how(m.t, r, dir); v.Mode != catalog.Optimised || v.Reason != "" || v.Cursor == nil || r.Point.Mode != catalog.Journalled {
		m.t.Errorf("%+v, %s", v, r.Point.Reason)
	}
	m.same("latest", dir)
	return r
}

// scanned makes a backup, which must scan, for that reason.
func (m *machine) scanned(dir, reason string, roots ...string) *save.Result {
	m.t.Helper()
	r := m.backup(roots...)
	if v := how(m.t, r, dir); v.Mode != catalog.Unoptimised || v.Reason != reason {
		m.t.Errorf("%+v", v)
	}
	m.same("latest", dir)
	return r
}

func TestJournal(t *testing.T) {
	m, root := onBtrfs(t)
	settle()
	first := m.scanned(root, "first backup", root).Point.Stats
	settle()
	write(t, root+"/d03/new", noise(3000, 1000))
	if err := os.Rename(root+"/d04", root+"/d05/moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(root + "/d06"); err != nil {
		t.Fatal(err)
	}
	settle()
	r := m.optimised(root)
	if s := r.Point.Stats; s.ReadBytes != 3000 || s.Files != 191 || s.Directories != first.Directories-1 || s.Unchanged != 190 {
		t.Errorf("%+v", s)
	}
	if r := m.optimised(root); r.Point.Stats.ReadBytes != 0 {
		t.Errorf("%+v", r.Point.Stats)
	}
	m.change = func(c *save.Config) { c.Excludes = []string{"f1*"} }
	if r := m.backup(); how(t, r, root).Reason != "selection changed" {
		t.Errorf("%+v", r.Point.Volumes)
	}
	m.change = nil
	if r := m.backup(); how(t, r, root).Mode != catalog.Optimised || r.Point.Excludes == nil {
		t.Errorf("%+v", r.Point)
	}
}

// What was left out for its own sake is looked at when it is no more.
func TestLeftOut(t *testing.T) {
	m, root := onBtrfs(t)
	m.change = func(c *save.Config) { c.Skip = []string{root + "/d01"} }
	m.backup(root)
	m.change = nil
	m.optimised(root)
	m.change = func(c *save.Config) { c.Skip = []string{root + "/d02"} }
	if r := m.backup(); r.Point.Stats.Files != 190 || r.Point.Mode != catalog.Journalled {
		t.Errorf("%+v", r.Point)
	}
}

// In a snapshot it has other numbers, so it is known by where it is: be it named by a link.
func TestLeftOutByLink(t *testing.T) {
	m, root := onBtrfs(t)
	link := t.TempDir() + "/link"
	if err := os.Symlink(root+"/d01", link); err != nil {
		t.Fatal(err)
	}
	m.change = func(c *save.Config) { c.Skip = []string{link} }
	if r := m.backup(root); r.Point.Stats.Files != 190 {
		t.Errorf("%+v", r.Point.Stats)
	}
	m.backup(root)
	m.change = nil
	m.optimised(root)
}

// A cursor only moves with a point that is complete (Duplicati #3971, #3995: state kept after an interrupted backup lost files).
func TestJournalStops(t *testing.T) {
	m, root := onBtrfs(t)
	m.backup(root)
	first := m.optimised(root)
	for i := range 40 {
		write(t, fmt.Sprintf("%s/d07/late%02d", root, i), noise(40<<10, uint64(2000+i)))
	}
	m.store = failing{m.vault, "manifests/"}
	if _, err := m.try(t.Context()); err == nil {
		t.Fatal("a manifest could not be put, and nobody noticed")
	}
	m.store = m.vault

	ctx, cancel := context.WithCancel(t.Context())
	m.change = func(c *save.Config) {
		c.Progress, c.DataPack, c.Readers = &save.Progress{}, 64<<10, 1
		c.Now, c.CheckpointBytes = nil, 200<<10
	}
	m.store = cancelling{m.vault, cancel}
	r, err := m.try(ctx)
	if !errors.Is(err, context.Canceled) || r == nil || r.Point.State != catalog.PartialState {
		t.Fatalf("%+v, %v", r, err)
	}
	m.store, m.change = m.vault, nil
	if v := how(t, r, root); v.Cursor == nil || v.Cursor.Position != how(t, first, root).Cursor.Position {
		t.Errorf("%+v", v)
	}
	if err := os.Remove(root + "/d07/late00"); err != nil {
		t.Fatal(err)
	}
	if r := m.optimised(root); r.Point.Stats.Files != 239 || r.Point.Stats.Directories != first.Point.Stats.Directories || r.Point.Stats.NewBytes >= 39*40<<10 {
		t.Errorf("%+v", r.Point.Stats)
	}
}

// failing fails to put what has part in its name; cancelling cancels the run when it has put a commit.
type failing struct {
	incremental.Store
	part string
}

type cancelling struct {
	incremental.Store
	cancel func()
}

func (f failing) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if strings.Contains(name, f.part) {
		return errors.New("no room")
	}
	return f.Store.Put(ctx, name, body)
}

func (c cancelling) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	err := c.Store.Put(ctx, name, body)
	if strings.HasSuffix(name, ".json") {
		c.cancel()
	}
	return err
}

// Subvolumes below are held and asked each for itself, and what is mounted below is found in spite of the snapshot.
func TestVolumesBelow(t *testing.T) {
	m, root := onBtrfs(t)
	run(t, "btrfs", "-q", "subvolume", "create", root+"/sub")
	run(t, "btrfs", "-q", "subvolume", "create", root+"/sub/deeper")
	write(t, root+"/sub/a", noise(100, 1))
	write(t, root+"/sub/deeper/b", noise(100, 2))
	other := root + "/d08/other"
	for _, dir := range []string{other, root + "/plain"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("none", other, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			unix.Unmount(other, 0)
		}
	})
	write(t, other+"/c", noise(100, 3))
	settle()
	r := m.backup(root)
	m.same("latest", root)
	if len(r.Point.Volumes) != 4 {
		t.Errorf("%+v", r.Point.Volumes)
	}
	write(t, root+"/sub/deeper/b", noise(120, 4))
	write(t, other+"/d", noise(100, 5))
	settle()
	r = m.backup()
	m.same("latest", root)
	for _, sub := range []string{root + "/sub", root + "/sub/deeper"} {
		if v := how(t, r, sub); v.Path != manifest.EscapePath([]byte(sub)) || v.Mode != catalog.Optimised {
			t.Errorf("%s: %+v", sub, v)
		}
	}
	if s := r.Point.Stats; s.ReadBytes != 220 || s.Files != 204 {
		t.Errorf("%+v", s)
	}
	if err := unix.Unmount(other, 0); err != nil {
		t.Fatal(err)
	}
	mounted = false
	if err := os.Rename(root+"/d08", root+"/plain/d08"); err != nil {
		t.Fatal(err)
	}
	var told []string
	m.options.Volumes.Tell = func(note string) { told = append(told, note) }
	r = m.backup()
	if m.options.Volumes.Tell = nil; len(told) != 1 || !strings.Contains(told[0], "d08/other was mounted") {
		t.Errorf("told %q", told)
	}
	m.same("latest", root)
	if s := r.Point.Stats; s.Files != 202 || s.ReadBytes != 0 {
		t.Errorf("%+v", s)
	}
	run(t, "btrfs", "-q", "subvolume", "delete", root+"/sub/deeper")
	m.backup()
	m.same("latest", root)
}

// A subvolume below what is mounted can't be seen, and is none of the volumes.
func TestHiddenSubvolume(t *testing.T) {
	m, root := onBtrfs(t)
	run(t, "btrfs", "-q", "subvolume", "create", root+"/sub")
	run(t, "btrfs", "-q", "subvolume", "create", root+"/sub/hidden")
	mount(t, "none", root+"/sub", "tmpfs", 0)
	write(t, root+"/sub/a", noise(100, 1))
	r := m.backup(root)
	m.same("latest", root)
	if v := r.Point.Volumes; len(v) != 2 || v[1].Path != manifest.EscapePath([]byte(root+"/sub")) {
		t.Errorf("%+v", v)
	}
}

// mount mounts until the test ends.
func mount(t *testing.T, source, target, system string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, target, system, flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v, %s", name, args, err, out)
	}
}

// A sweep looks at all of it, and has nothing to say when the journal told everything.
func TestSweep(t *testing.T) {
	m, root := onBtrfs(t)
	m.backup(root)
	write(t, root+"/d09/new", noise(10, 1))
	if err := os.Chmod(root+"/d10", 0o700); err != nil {
		t.Fatal(err)
	}
	m.options.Volumes.Sweep = -1
	r := m.scanned(root, "swept, as was asked for")
	if v := how(t, r, root); v.Misses != 0 || v.Scanned == nil || r.Point.Stats.Files != 201 {
		t.Errorf("%+v, %+v", v, r.Point.Stats)
	}
}

// A journal that is required and can't be had is an error, and no scan (Duplicati #4175: it was scanned silently).
func TestJournalRequired(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	write(t, root+"/a", []byte("a"))
	m.options.Volumes.Mode = volumes.Required
	if r, err := m.try(t.Context(), root); r != nil || !isRequired(err) {
		t.Errorf("%v, %v", r, err)
	}
	m, root = onBtrfs(t)
	m.options.Volumes.Mode = volumes.Required
	m.backup(root)
	m.optimised(root)
	m.change = func(c *save.Config) { c.Excludes = []string{"f1*"} }
	if r, err := m.try(t.Context()); r != nil || !isRequired(err) || !strings.Contains(err.Error(), "selection changed") {
		t.Errorf("%v, %v", r, err)
	}
}

func isRequired(err error) bool {
	_, ok := errors.AsType[*volumes.RequiredError](err)
	return ok
}

// The same by the log of an agent, which watches a file system that has no journal of its own.
func TestAgent(t *testing.T) {
	volume := journaltest.Mount(t, "ext4", 64<<20)
	m := newMachine(t)
	m.options.Volumes.StateDir = t.TempDir()
	root := filepath.Join(volume, "data")
	for i := range 100 {
		write(t, fmt.Sprintf("%s/d%02d/f%03d", root, i%20, i), noise(1000+i, uint64(i)))
	}
	m.scanned(root, "the agent does not run", root)
	watch(t, m.options.Volumes.StateDir, volume)
	m.scanned(root, "no cursor from the last backup (then: the agent does not run)")
	run(t, "sh", "-c", // another process: the agent doesn't listen to its own
		"cd "+root+" && head -c 3000 /dev/urandom >d03/new && mv d04 d05/moved && ln d06/f006 d07/link && rm -r d08")
	r := m.optimised(root)
	if s := r.Point.Stats; s.ReadBytes > 3000+2*1006 || s.Files != 97 {
		t.Errorf("%+v", s)
	}
	run(t, "sh", "-c", "echo late >"+root+"/d09/late")
	m.options.Volumes.Sweep = -1
	if v := how(t, m.scanned(root, "swept, as was asked for"), root); v.Misses != 0 {
		t.Errorf("%+v", v)
	}
}

// watch runs an agent until the test ends, and waits for it to watch.
func watch(t *testing.T, stateDir, volume string) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- fanotify.Run(ctx, fanotify.Options{StateDir: stateDir, Mounts: []string{volume}}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	for range 500 {
		if j, err := fanotify.Open(stateDir, volume); err == nil {
			j.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the agent does not watch")
}

// A directory that was new when a backup was interrupted in it is saved whole by the next.
func TestJournalStopsInNewDirectory(t *testing.T) {
	m, root := onBtrfs(t)
	m.backup(root)
	m.optimised(root)
	for i := range 1200 {
		write(t, fmt.Sprintf("%s/new/inner/late%04d", root, i), noise(4<<10, uint64(2000+i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.change = func(c *save.Config) {
		c.Progress, c.DataPack, c.Readers = &save.Progress{}, 64<<10, 1
		c.Now, c.CheckpointBytes = nil, 200<<10
	}
	m.store = cancelling{m.vault, cancel}
	r, err := m.try(ctx)
	if !errors.Is(err, context.Canceled) || r == nil || r.Point.State != catalog.PartialState {
		t.Fatalf("%+v, %v", r, err)
	}
	m.store, m.change = m.vault, nil
	if r := m.optimised(root); r.Point.Stats.Files != 1400 || r.Point.Stats.NewBytes >= 1190*4<<10 {
		t.Errorf("%+v", r.Point.Stats)
	}
}

// A directory that came while a volume that is not held still was read.
func TestMadeMeanwhile(t *testing.T) {
	m, root := onBtrfs(t)
	m.options.Volumes.Snapshot = false
	m.backup(root)
	m.options.Volumes.Now = func() time.Time { // it is asked for when the journal was
		write(t, root+"/d07/new/inner/a", []byte("a"))
		return time.Now()
	}
	m.backup(root)
	m.options.Volumes.Now = nil
	run(t, "sync")
	write(t, root+"/d07/new/inner/b", []byte("b"))
	m.optimised(root)
}

// What was mounted below and is no more is not taken from the base, nor is what was hidden by it, though no journal tells of that.
func TestUnmounted(t *testing.T) {
	for name, oneFileSystem := range map[string]bool{"saved": false, "left out": true} {
		t.Run(name, func(t *testing.T) {
			m, root := onBtrfs(t)
			m.change = func(c *save.Config) { c.OneFileSystem = oneFileSystem }
			other := root + "/d08/other"
			write(t, other+"/hidden", noise(100, 1))
			mount(t, "none", other, "tmpfs", 0)
			write(t, other+"/c", noise(100, 3))
			settle()
			m.backup(root)
			m.backup(root)
			if err := unix.Unmount(other, 0); err != nil {
				t.Fatal(err)
			}
			if r := m.optimised(root); r.Point.Stats.Files != 201 || r.Point.Stats.ReadBytes != 100 {
				t.Errorf("%+v", r.Point.Stats)
			}
			if r := m.optimised(root); r.Point.Stats.Files != 201 || r.Point.Stats.ReadBytes != 0 {
				t.Errorf("%+v", r.Point.Stats)
			}
		})
	}
}

// What is found at two places for being mounted there is looked at at both, be it a directory of the same file system, when only that is
// wanted, or a file of another.
func TestBound(t *testing.T) {
	m, root := onBtrfs(t)
	m.options.Volumes.Snapshot = false
	elsewhere, file := filepath.Dir(root)+"/elsewhere", t.TempDir()+"/file"
	write(t, elsewhere+"/deep/a", noise(100, 1))
	write(t, file, noise(100, 1))
	write(t, root+"/d09/bound/b", nil)
	mount(t, elsewhere, root+"/d09/bound", "", unix.MS_BIND)
	mount(t, file, root+"/d08/f008", "", unix.MS_BIND)
	settle()
	m.backup(root)
	settle()
	m.backup(root)
	write(t, elsewhere+"/deep/a", noise(200, 2))
	write(t, file, noise(200, 2))
	settle()
	m.backup(root)
	m.same("latest", root)
	m.change = func(c *save.Config) { c.OneFileSystem = true }
	if err := unix.Unmount(root+"/d08/f008", 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		write(t, elsewhere+"/deep/a", noise(200, 2))
		settle()
		m.backup(root)
		m.same("latest", root)
	}
}

// It belongs to the one file system that is wanted, too, where that is read from a snapshot, in which nothing is mounted.
func TestBoundInSnapshot(t *testing.T) {
	m, root := onBtrfs(t)
	m.change = func(c *save.Config) { c.OneFileSystem = true }
	elsewhere := filepath.Dir(root) + "/elsewhere"
	write(t, root+"/d09/bound/b", nil)
	write(t, elsewhere+"/deep/a", nil)
	mount(t, elsewhere, root+"/d09/bound", "", unix.MS_BIND)
	for i := range 3 {
		write(t, elsewhere+"/deep/a", noise(100, uint64(i)))
		settle()
		m.backup(root)
		m.same("latest", root)
	}
}

// Roots that are links may lead to other places than before: that is another selection.
func TestRootsByLinks(t *testing.T) {
	m, root := onBtrfs(t)
	link := t.TempDir() + "/link"
	for _, to := range []string{root + "/d08", root} {
		os.Remove(link)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
		settle()
		m.backup(link)
		m.backup(link)
		m.same("latest", to)
	}
}
