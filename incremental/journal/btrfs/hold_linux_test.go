package btrfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

// gap fails unless the error says that there is no telling what changed, and for what reason.
func gap(t testing.TB, err error, reason string) {
	t.Helper()
	if g, ok := errors.AsType[*journal.Gap](err); !ok || !strings.Contains(g.Reason, reason) || g.Hint == "" {
		t.Errorf("%v, want a gap with a hint: %s", err, reason)
	}
}

// since returns what Changes fails with from a moment on.
func since(t testing.TB, v *Volume, from *journal.Cursor) error {
	t.Helper()
	_, release, err := v.Hold(t.Context())
	ok(t, err)
	defer func() { ok(t, release()) }()
	now, err := v.Now(t.Context())
	ok(t, err)
	return v.Changes(t.Context(), from, now, &journal.Dirty{})
}

func snapshots(t testing.TB, place string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(place)
	ok(t, err)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestLeftSnapshots(t *testing.T) {
	top := mounted(t, 256<<20)
	dead, living, v := opened(t, top), opened(t, top), opened(t, top)
	_, _, err := dead.Hold(t.Context())
	ok(t, err)
	kept, release, err := living.Hold(t.Context())
	ok(t, err)
	dead.held.dir.Close() // as when it is killed

	place := filepath.Join(top, DefaultPlace)
	run(t, "btrfs", "subvolume", "snapshot", "-r", top, place+"/of-the-user")
	run(t, "btrfs", "subvolume", "snapshot", top, place+"/"+newName(5, 1, time.Now()))
	run(t, "btrfs", "subvolume", "create", top+"/other")
	run(t, "btrfs", "subvolume", "snapshot", "-r", top+"/other", place+"/"+newName(256, 1, time.Now()))
	run(t, "btrfs", "subvolume", "snapshot", "-r", top, place+"/waybill-5-of-the-user")
	if n := len(snapshots(t, place)); n != 6 {
		t.Fatalf("%d snapshots to begin with", n)
	}
	now, _ := hold(t, v, nil)
	if got := strings.Join(snapshots(t, place), " "); strings.Count(got, " ") != 4 || !strings.Contains(got, filepath.Base(kept)) {
		t.Errorf("left: %s", got)
	}
	ok(t, release())
	ok(t, release())
	if n := len(snapshots(t, place)); n != 4 {
		t.Errorf("%d snapshots after release", n)
	}
	again, d := hold(t, v, now)
	covered(t, now, again, d)
}

// A snapshot that anybody takes in the very transaction of ours changes the directory it is put into after ours was taken.
func TestSnapshotOfTheSameTransaction(t *testing.T) {
	top := mounted(t, 256<<20)
	v := opened(t, top)
	for try := range 100 {
		var theirs sync.WaitGroup
		dirs := map[string]bool{}
		for i := range 8 {
			dir := fmt.Sprintf("%s/%d.%d", top, try, i)
			ok(t, os.Mkdir(dir, 0o755))
			dirs[dir] = true
		}
		_, err := commit(v.root)
		ok(t, err)
		for dir := range dirs {
			theirs.Go(func() { snapshotInto(t, v, dir) })
		}
		before, _ := hold(t, v, nil)
		theirs.Wait()
		after, d := hold(t, v, before)
		covered(t, before, after, d)
		for dir := range dirs {
			rel := strings.TrimPrefix(dir, top)
			f, err := os.Open(dir + "/s")
			ok(t, err)
			is, err := subvolumeOf(f)
			f.Close()
			if ok(t, err); is.made == before.cursor.Position && before.at(rel).stat != after.at(rel).stat {
				return // it happened
			}
		}
	}
	t.Error("no two snapshots were taken in one transaction")
}

func snapshotInto(t testing.TB, v *Volume, dir string) {
	place, err := os.Open(dir)
	if err == nil {
		defer place.Close()
		err = create(place, v.root, "s")
	}
	if err != nil {
		t.Error(err)
	}
}

// Writing goes on all the time; what isn't in one snapshot is told with the next.
func TestWriterThatNeverStops(t *testing.T) {
	top := mounted(t, 256<<20)
	v := opened(t, top)
	path := filepath.Join(top, "dir/file")
	write(t, path, make([]byte, 1<<20))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	ok(t, err)
	defer unix.Munmap(m)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := byte(0); ctx.Err() == nil; i++ {
			f.WriteAt([]byte{i, i, i}, int64(i)*4096)
			m[int(i)*4096+99] = i
			time.Sleep(50 * time.Microsecond)
		}
	}()
	before, _ := hold(t, v, nil)
	for range 30 {
		now, d := hold(t, v, before)
		covered(t, before, now, d)
		before = now
	}
	cancel()
	<-done
	now, d := hold(t, v, before)
	covered(t, before, now, d)
}

// Without a snapshot the moment is the one at which all was written out.
func TestLive(t *testing.T) {
	top := mounted(t, 256<<20)
	v := opened(t, top)
	write(t, top+"/dir/file", []byte("one"))
	write(t, top+"/other/file", []byte("one"))
	write(t, top+"/in-place", nil)
	run(t, "chattr", "+C", top+"/in-place")
	write(t, top+"/in-place", make([]byte, 16<<10))
	_, err := commit(v.root)
	ok(t, err)
	from, err := v.Now(t.Context())
	ok(t, err)
	overwrite(t, top+"/in-place", 4096, "two")
	write(t, top+"/dir/file", []byte("two"))
	to, err := v.Now(t.Context())
	ok(t, err)
	var d journal.Dirty
	ok(t, v.Changes(t.Context(), from, to, &d))
	dir, other := describe(t, top+"/dir", ""), describe(t, top+"/other", "")
	if !d.Dirs[dir.inode].Has([]byte("file")) || d.Dirs[other.inode] != nil || !d.Leads(firstInode) {
		t.Errorf("%+v", d)
	}
	if f := d.Files[describe(t, top+"/in-place", "").inode]; f == nil || !f.Read {
		t.Errorf("of a file that was written in place is said: %+v", f)
	}
	now, dirty := hold(t, v, &moment{cursor: to})
	if now.cursor.Position <= to.Position || dirty.Dirs[dir.inode] != nil {
		t.Errorf("%+v, then held %+v, %+v", to, now.cursor, dirty)
	}
}

func TestGaps(t *testing.T) {
	top := mounted(t, 256<<20)
	run(t, "btrfs", "subvolume", "create", top+"/sub")
	sub := opened(t, top+"/sub")
	first, _ := hold(t, sub, nil)
	t.Run("other subvolume", func(t *testing.T) { gap(t, since(t, opened(t, top), first.cursor), "journal re-created") })
	t.Run("other file system", func(t *testing.T) {
		gap(t, since(t, opened(t, mounted(t, 256<<20)), first.cursor), "journal re-created")
	})
	t.Run("older", func(t *testing.T) {
		later := *first.cursor
		later.Position += 1000
		gap(t, since(t, sub, &later), "set back")
	})
	t.Run("rolled back by snapshot", func(t *testing.T) {
		run(t, "btrfs", "subvolume", "snapshot", top+"/sub", top+"/saved")
		ok(t, os.Rename(top+"/sub", top+"/bad"))
		ok(t, os.Rename(top+"/saved", top+"/sub"))
		gap(t, since(t, opened(t, top+"/sub"), first.cursor), "set back")
	})
	t.Run("moments removed", func(t *testing.T) {
		v := opened(t, top+"/bad")
		ok(t, os.Remove(v.moments()))
		gap(t, v.remembers(first.cursor.Taken), "journal re-created")
		gap(t, since(t, v, first.cursor), "set back")
	})
}

// An image that is put back counts its transactions on, so that its count may be beyond that of a cursor it never saw.
func TestVolumeSetBack(t *testing.T) {
	top := mounted(t, 256<<20)
	image := filepath.Join(filepath.Dir(top), "image")
	v := opened(t, top)
	common, _ := hold(t, v, nil)
	v.Close()
	ok(t, unix.Unmount(top, 0))
	run(t, "cp", "--sparse=always", image, image+".old")

	mount(t, top, image)
	v = opened(t, top)
	write(t, top+"/lost", []byte("by being set back"))
	lost, _ := hold(t, v, nil)
	v.Close()
	ok(t, unix.Unmount(top, 0))

	ok(t, os.Rename(image+".old", image))
	mount(t, top, image)
	v = opened(t, top)
	for range 20 {
		_, err := commit(v.root)
		ok(t, err)
		write(t, top+"/new", []byte("history"))
	}
	now, d := hold(t, v, common)
	covered(t, common, now, d)
	if now.cursor.Position <= lost.cursor.Position {
		t.Fatal("it doesn't go beyond")
	}
	gap(t, since(t, v, lost.cursor), "set back")
	v.Close()
}

func TestNoSnapshot(t *testing.T) {
	t.Run("read-only", func(t *testing.T) {
		top := mounted(t, 256<<20)
		v := opened(t, top)
		run(t, "mount", "-o", "remount,ro", top)
		_, _, err := v.Hold(t.Context())
		refused(t, err, unix.EROFS, "read-only")
	})
	t.Run("full", func(t *testing.T) {
		top := mounted(t, 128<<20)
		v := opened(t, top)
		write(t, top+"/big", make([]byte, 1<<20))
		exec.Command("sh", "-c", "cat /dev/zero > "+top+"/big; i=0; while echo $i > "+top+"/f$i; do i=$((i+1)); [ $i -lt 20000 ] || break; done 2>/dev/null").Run()
		if _, release, err := v.Hold(t.Context()); err != nil {
			refused(t, err, unix.ENOSPC, "full")
		} else {
			ok(t, release())
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		v, err := Open(mounted(t, 256<<20), Options{Place: filepath.Join(mounted(t, 256<<20), "place")})
		ok(t, err)
		defer v.Close()
		_, _, err = v.Hold(t.Context())
		refused(t, err, unix.EXDEV, "another file system")
	})
	t.Run("no btrfs", func(t *testing.T) {
		if _, err := Open("/proc", Options{}); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("no root of a subvolume", func(t *testing.T) {
		top := mounted(t, 256<<20)
		write(t, top+"/dir/file", nil)
		if _, err := Open(top+"/dir", Options{}); err == nil || errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
}

func refused(t *testing.T, err error, cause unix.Errno, words string) {
	t.Helper()
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %v with the words %q", err, cause, words)
	}
}

// TestUnprivileged runs itself as nobody.
func TestUnprivileged(t *testing.T) {
	if top := os.Getenv("WAYBILL_BTRFS"); top != "" {
		_, err := Open(top, Options{})
		gap(t, err, "privileges")
		return
	}
	top := mounted(t, 256<<20)
	ok(t, os.Chmod(filepath.Dir(top), 0o755))
	program := filepath.Join(filepath.Dir(top), "test")
	run(t, "cp", os.Args[0], program)
	ok(t, os.Chmod(program, 0o755))
	cmd := exec.Command(program, "-test.run", "^TestUnprivileged$")
	cmd.Dir, cmd.Env = "/", []string{"WAYBILL_BTRFS=" + top}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v, %s", err, out)
	}
}
