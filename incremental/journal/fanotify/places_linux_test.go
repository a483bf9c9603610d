package fanotify

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

// Of a directory that is mounted elsewhere, only what is below it is in the volume; what is done by way of any mount is told.
func TestBindMount(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			v := volume(t, kind)
			write(t, v+"/in/side/file", "x")
			write(t, v+"/outside/file", "x")
			b := filepath.Join(memory(t), "bind")
			must(t, os.Mkdir(b, 0o755))
			must(t, unix.Mount(v+"/in", b, "", unix.MS_BIND, ""))
			t.Cleanup(func() { unmount(t, b) })
			s := t.TempDir()
			start(t, Options{StateDir: s, Mounts: []string{v}})
			j := open4(t, s, b)
			from, before := now(t, j), scan(t, b)
			write(t, v+"/in/side/file", "y")
			write(t, v+"/outside/deep/file", "y")
			must(t, os.Chmod(v, 0o700))
			must(t, os.Rename(v+"/outside/file", v+"/in/side/moved"))
			d := changed(t, j, from)
			mustCover(t, before, scan(t, b), d)
			if d.Dirs[inode(t, v)] != nil || d.Dirs[inode(t, v+"/outside")] != nil {
				t.Error("what is outside is in the dirty set")
			}
		})
	}
}

// btrfs is watched if it is asked for: by its top, in which each subvolume is a volume.
func TestBtrfs(t *testing.T) {
	v := volume(t, "btrfs")
	run(t, "btrfs", "subvolume", "create", v+"/sub")
	write(t, v+"/dir/file", "x")
	write(t, v+"/sub/dir/file", "x")
	s := t.TempDir()
	start(t, Options{StateDir: s, Mounts: []string{v}})
	j := open4(t, s, v)
	from := now(t, j)
	write(t, v+"/dir/file", "y")
	f := openFile(t, v+"/dir/open")
	defer f.Close()
	d := changed(t, j, from)
	wantFile(t, d, v+"/dir/file", true, true, false)
	wantFile(t, d, v+"/dir/open", true, false, false)
	from = now(t, j)
	write(t, v+"/sub/dir/new", "y")
	if d := changed(t, j, from); len(d.Dirs) != 1 {
		t.Errorf("a change in a subvolume is %+v in the volume above it", d)
	}
}

// Of its own files the agent is told nothing, or telling would never end. They are looked at each time.
func TestOwnFiles(t *testing.T) {
	v := volume(t, "ext4")
	s := v + "/var/lib/state"
	must(t, os.MkdirAll(s, 0o755))
	o := Options{StateDir: s, Mounts: []string{v}, Every: time.Millisecond, deaf: os.Getpid()}
	start(t, o)
	j := open4(t, s, v)
	before, from := scan(t, v), now(t, j)
	first, err := j.Status(t.Context())
	must(t, err)
	time.Sleep(50 * time.Millisecond)
	second, err := j.Status(t.Context())
	must(t, err)
	if second.Next-first.Next != syncFrame {
		t.Errorf("the agent's log grows by itself, from %d to %d", first.Next, second.Next)
	}
	d := changed(t, j, from)
	mustCover(t, before, scan(t, v), d)
	var st, later unix.Stat_t // and nothing is written while nothing is to be told
	logs, err := filepath.Glob(j.dir + "/*")
	must(t, err)
	for _, name := range append(logs, j.dir) {
		must(t, unix.Stat(name, &st))
		time.Sleep(30 * time.Millisecond)
		must(t, unix.Stat(name, &later))
		if st != later {
			t.Errorf("%s is written all the time", name)
		}
	}
}

// What is done again and again is told once for each backup.
func TestRepeats(t *testing.T) {
	v, j, _ := watched(t, Options{Every: time.Millisecond})
	from := now(t, j)
	for range 100 {
		appendTo(t, v+"/file")
		time.Sleep(time.Millisecond)
	}
	to := now(t, j)
	if size := to.Position - from.Position; size > 500 {
		t.Errorf("100 writes to a file take %d bytes of log", size)
	}
	appendTo(t, v+"/file")
	if !names(t, changed(t, j, to), v+"/file") {
		t.Error("a write after the next backup is not told")
	}
}

// The same by a kernel before 5.17, which tells less.
func TestOldKernel(t *testing.T) {
	v := volume(t, "ext4")
	s := t.TempDir()
	start(t, Options{StateDir: s, Mounts: []string{v}, old: true})
	j := open4(t, s, v)
	for i, test := range operations {
		t.Run(test.name, func(t *testing.T) {
			top := fmt.Sprintf("%s/%d", v, i)
			for _, name := range []string{"a/b/file", "a/b/other", "c/file", "c/d/deep"} {
				write(t, top+"/"+name, name)
			}
			must(t, os.Link(top+"/a/b/file", top+"/c/link"))
			from, before := now(t, j), scan(t, v)
			test.do(t, top)
			mustCover(t, before, scan(t, v), changed(t, j, from))
		})
	}
}

// Whatever several do at once, all that is done before a cursor is between it and the one before.
func TestRandom(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			v := volume(t, kind)
			s := t.TempDir()
			start(t, Options{StateDir: s, Mounts: []string{v}, Every: 5 * time.Millisecond})
			j := open4(t, s, v)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			for round := range uint64(8) {
				from, before := now(t, j), scan(t, v)
				var wg sync.WaitGroup
				for i := range uint64(3) {
					wg.Go(func() { fiddle(v, rand.New(rand.NewPCG(seed, round*3+i))) })
				}
				wg.Wait()
				d := changed(t, j, from)
				mustCover(t, before, scan(t, v), d)
				mustKeep(t, before, scan(t, v), d)
			}
		})
	}
}

// fiddle does random things to a few names. Most of them fail now and then.
func fiddle(v string, r *rand.Rand) {
	name := func() string {
		s := v
		for range 1 + r.IntN(4) {
			s += fmt.Sprintf("/%d", r.IntN(5))
		}
		return s
	}
	for range 60 {
		a, b := name(), name()
		switch r.IntN(12) {
		case 0, 1:
			_ = os.MkdirAll(a, 0o755)
		case 2, 3:
			_ = os.WriteFile(a, fmt.Appendf(nil, "%d", r.IntN(100)), 0o644)
		case 4:
			_ = os.RemoveAll(a)
		case 5, 6:
			_ = os.Rename(a, b)
		case 7:
			_ = os.Link(a, b)
		case 8:
			_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
		case 9:
			_ = os.Chmod(a, 0o700|os.FileMode(r.IntN(8)))
		case 10:
			_ = os.Truncate(a, int64(r.IntN(9)))
		case 11:
			_ = os.Remove(a)
		}
	}
}

// mustKeep demands that the content of files that are said to be kept is what it was.
func mustKeep(t *testing.T, before, after *tree, d *journal.Dirty) {
	t.Helper()
	was := map[uint64]string{}
	for p, id := range before.inodes {
		was[id] = before.contents[p]
	}
	for p, id := range after.inodes {
		old, ok := was[id]
		if f := d.Files[id]; ok && f != nil && f.Kept && !f.Read && old != after.contents[p] {
			t.Errorf("%s in directory %d was said to be kept, and its content changed", p.name, p.dir)
		}
	}
}

// Containers write through overlayfs to the file system that their upper directory is on.
func TestOverlay(t *testing.T) {
	v := volume(t, "ext4")
	for _, dir := range []string{"lower/a", "upper", "work", "merged"} {
		must(t, os.MkdirAll(v+"/"+dir, 0o755))
	}
	for i := range 4 {
		write(t, fmt.Sprintf("%s/lower/a/%d", v, i), "lower")
	}
	mountHere(t, "overlay", v+"/merged", "overlay", fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", v, v, v))
	s := t.TempDir()
	start(t, Options{StateDir: s, Mounts: []string{v}})
	j := open4(t, s, v)
	m := v + "/merged"
	for name, do := range map[string]func(){
		"creating":     func() { write(t, m+"/a/new", "x") },
		"writing":      func() { write(t, m+"/a/0", "x") },
		"copying up":   func() { must(t, os.Chmod(m+"/a/1", 0o600)) },
		"removing":     func() { must(t, os.Remove(m+"/a/2")) },
		"renaming":     func() { must(t, os.Rename(m+"/a/3", m+"/a/4")) },
		"truncating":   func() { must(t, os.Truncate(m+"/a/1", 2)) },
		"appending":    func() { appendTo(t, m+"/a/1") },
		"a directory":  func() { must(t, os.Mkdir(m+"/a/dir", 0o755)) },
		"mapped store": func() { b := mapped(t, m+"/a/mapped"); b[1]++; must(t, unix.Munmap(b)) },
	} {
		from := now(t, j)
		before := scanBelow(t, v, m)
		do()
		mustCover(t, before, scanBelow(t, v, m), changed(t, j, from))
		if t.Failed() {
			t.Fatalf("while %s", name)
		}
	}
}

func appendTo(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	must(t, err)
	_, err = f.WriteString("x")
	must(t, err)
	must(t, f.Close())
}

// A copy of a file system has its UUID, and a journal of its own.
func TestCopyOfFileSystem(t *testing.T) {
	needRoot(t)
	top := memory(t)
	img := image(t, top, "ext4")
	run(t, "cp", img, top+"/copy.img")
	o := Options{StateDir: t.TempDir()}
	for _, name := range []string{"ext4", "copy"} {
		at := top + "/" + name
		must(t, os.Mkdir(at, 0o755))
		mountHere(t, loop(t, top+"/"+name+".img"), at, "ext4", "")
		o.Mounts = append(o.Mounts, at)
	}
	start(t, o)
	one, other := open4(t, o.StateDir, o.Mounts[0]), open4(t, o.StateDir, o.Mounts[1])
	from, otherFrom := now(t, one), now(t, other)
	if from.Volume == otherFrom.Volume {
		t.Errorf("both are known as %s", from.Volume)
	}
	write(t, o.Mounts[0]+"/file", "x")
	if !names(t, changed(t, one, from), o.Mounts[0]+"/file") {
		t.Error("what was done to the one is not told")
	}
	if d := changed(t, other, otherFrom); len(d.Dirs) != 0 {
		t.Errorf("what was done to the one is told of the other: %+v", d)
	}
}

func TestStatus(t *testing.T) {
	s := t.TempDir()
	_, err := Agent(t.Context(), s)
	wantGap(t, err, "the agent does not run")
	a, b := volume(t, "tmpfs"), volume(t, "ext4")
	start(t, Options{StateDir: s, Mounts: []string{b, a, filepath.Join(a, "missing")}})
	got, err := Agent(t.Context(), s)
	must(t, err)
	if got.PID != os.Getpid() || len(got.Volumes) != 2 {
		t.Fatalf("%+v", got)
	}
	for _, v := range got.Volumes {
		want := map[string]string{a: "tmpfs", b: "ext4"}[v.Path]
		if v.FileSystem != want || v.Status.Kind != Kind || v.Status.Volume == "" || v.Status.Journal == "" || v.Status.Size != 64<<20 || v.Status.Since.IsZero() {
			t.Errorf("%+v", v)
		}
	}
}
