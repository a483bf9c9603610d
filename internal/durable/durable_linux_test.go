package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What is no regular file of the tree is neither opened nor listed.
func TestHostileTree(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, t.TempDir())
	put(t, d, "good/x", "x")
	at := func(name string) string { return filepath.Join(d.Path(), name) }
	for _, err := range []error{
		os.Symlink(outside, at("link")),
		os.Symlink(filepath.Dir(outside), at("dir")),
		os.Symlink("good", at("inside")),
		unix.Mkfifo(at("fifo"), 0o666),
		os.Mkdir(at("empty"), 0o777),
		os.WriteFile(at("Upper"), nil, 0o666),
		os.WriteFile(at(".tmp-x"), nil, 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var listed []string
	err := d.List(t.Context(), "", func(name string, _ int64) error { listed = append(listed, name); return nil })
	if err != nil || strings.Join(listed, " ") != "good/x" {
		t.Errorf("listed %v, %v", listed, err)
	}
	for _, name := range []string{"link", "dir/secret", "fifo", "empty", "good", "inside"} {
		if _, err := d.ReadAt(t.Context(), name, make([]byte, 10), 0); err == nil {
			t.Errorf("%s can be read", name)
		}
		if _, err := d.Size(t.Context(), name); err == nil {
			t.Errorf("%s has a size", name)
		}
	}
	if err := d.Put(t.Context(), "dir/new", strings.NewReader("x")); err == nil {
		t.Error("wrote through a link to outside")
	}
	if err := d.Replace("link", []byte("label")); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(outside); string(b) != "secret" {
		t.Errorf("what is outside reads %q, %v", b, err)
	}
}

// TestPublishers tries each way to give a file its name, those for lesser file systems too.
func TestPublishers(t *testing.T) {
	for name, publish := range map[string]func(*os.Root, string, string) error{
		"renameat2": publishAtOnce, "link": publishByLink, "rename under a lock": publishByRename} {
		t.Run(name, func(t *testing.T) { testPublisher(t, publish) })
	}
}

func testPublisher(t *testing.T, publish func(*os.Root, string, string) error) {
	d := open(t, t.TempDir())
	if err := d.makeDirs("a"); err != nil {
		t.Fatal(err)
	}
	const racers = 8
	for round := range 20 {
		name := fmt.Sprintf("a/%d", round)
		var wg sync.WaitGroup
		errs := make([]error, racers)
		for i := range errs {
			temp := fmt.Sprintf("%s%d", tempPrefix, i)
			if err := os.WriteFile(filepath.Join(d.Path(), temp), []byte{byte(i)}, 0o666); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { errs[i] = publish(d.root, temp, name) })
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			switch {
			case err == nil && won < 0:
				won = i
			case err == nil:
				t.Errorf("%d and %d have both published %s", won, i, name)
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("%v", err)
			}
		}
		if b, err := d.root.ReadFile(name); len(b) != 1 || int(b[0]) != won {
			t.Errorf("%s has the content of %v, %v; %d has won", name, b, err, won)
		}
	}
}

// A link that is there already because the call was answered twice is no conflict.
func TestPublishByLinkAnsweredTwice(t *testing.T) {
	d := open(t, t.TempDir())
	for _, err := range []error{d.root.WriteFile(".tmp-1", []byte("x"), 0o666), d.root.Link(".tmp-1", "x"), publishByLink(d.root, ".tmp-1", "x")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, d); got != "x" {
		t.Errorf("the tree is %s", got)
	}
}

// mount mounts a file system for the time of the test.
func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("can't mount here: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
}

// TestFull fills a small file system at every stage.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "-t", "tmpfs", "-o", "size=64k", "tmpfs")
	d := open(t, dir)
	put(t, d, "a/small", "x")
	if err := d.Put(t.Context(), "a/large", strings.NewReader(strings.Repeat("x", 1<<20))); !errors.Is(err, ErrFull) {
		t.Errorf("put: %v", err)
	}
	f, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 1<<20)); !errors.Is(err, ErrFull) {
		t.Errorf("write: %v", err)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, ErrFull) {
		t.Errorf("write after a write has failed: %v", err)
	}
	if err := f.Commit("a/large"); !errors.Is(err, ErrFull) {
		t.Errorf("commit after a write has failed: %v", err)
	}
	if got := files(t, d); got != "a/small" {
		t.Errorf("the tree is %s", got)
	}
	if free, err := d.Free(); err != nil || free < 32<<10 || free > 64<<10 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
}

// TestNoInodes: creating a file or a directory fails like writing one.
func TestNoInodes(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "-t", "tmpfs", "-o", "nr_inodes=4", "tmpfs")
	d := open(t, dir)
	var err error
	for i := 0; i < 5 && err == nil; i++ {
		err = d.Put(context.Background(), fmt.Sprintf("a/%d", i), strings.NewReader("x"))
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("the last file: %v", err)
	}
}

// TestLesserFileSystems runs on file systems that people carry disks with.
func TestLesserFileSystems(t *testing.T) {
	for name, how := range map[string]struct{ mkfs, mount string }{
		"ntfs-3g": {"mkfs.ntfs -q -F", "mount -t ntfs-3g"},
		"exfat":   {"mkfs.exfat", "mount.exfat-fuse"},
		"vfat":    {"mkfs.vfat", "mount -t vfat"},
		"ext4":    {"mkfs.ext4 -q", "mount -t ext4"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("mounting needs root")
			}
			testFileSystem(t, open(t, mountNew(t, strings.Fields(how.mkfs), strings.Fields(how.mount))))
		})
	}
}

func testFileSystem(t *testing.T, d *Dir) {
	want := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	create := func() *File {
		f, err := d.Create()
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte("other"))
		return f
	}
	put(t, d, "a/b/x", "content")
	want("a second time", d.Put(t.Context(), "a/b/x", strings.NewReader("other")), fs.ErrExist)
	want("publishing over it", create().Commit("a/b/x"), fs.ErrExist)
	if b, err := d.root.ReadFile("a/b/x"); string(b) != "content" {
		t.Errorf("it reads %q, %v", b, err)
	}
	want("a label", d.Replace("label.json", []byte("1")), nil)
	want("another label", d.Replace("label.json", []byte("2")), nil)
	if b, err := d.root.ReadFile("label.json"); string(b) != "2" {
		t.Errorf("the label reads %q, %v", b, err)
	}
	alive := create()
	want("what a dead writer left", d.root.WriteFile(".tmp-dead", nil, 0o666), nil)
	want("sweeping", d.Sweep(), nil)
	want("a writer that was alive", alive.Commit("a/c"), nil)
	if _, err := d.root.Stat(".tmp-dead"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("swept: %v", err)
	}
	want("filling it", d.Put(t.Context(), "a/large", strings.NewReader(strings.Repeat("x", 40<<20))), ErrFull)
	if got := files(t, d); !strings.HasSuffix(got, "a/b/x a/c label.json") {
		t.Errorf("the tree is %s", got)
	}
	testRace(t, d)
}

// testRace has many writers want one name.
func testRace(t *testing.T, d *Dir) {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = d.Put(context.Background(), "race/x", strings.NewReader(fmt.Sprint(i))) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d writers have created one name", won)
	}
}

// mountNew makes a small file system and mounts it.
func mountNew(t *testing.T, mkfs, mount []string) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	run := func(cmd ...string) string {
		if _, err := exec.LookPath(cmd[0]); err != nil {
			t.Skip("needs ", cmd[0])
		}
		out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput()
		if err != nil {
			t.Skipf("%s: %v %s", cmd[0], err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(append(mkfs, image)...)
	device := run("losetup", "--find", "--show", image)
	t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
	run(append(mount, device, dir)...)
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}
