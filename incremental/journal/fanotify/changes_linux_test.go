package fanotify

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

var kinds = []string{"ext4", "xfs", "tmpfs"}

// Whatever is done to a file system is named.
func TestEveryOperation(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			v := volume(t, kind)
			s := t.TempDir()
			start(t, Options{StateDir: s, Mounts: []string{v}})
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
					after := scan(t, v)
					mustCover(t, before, after, changed(t, j, from))
				})
			}
			if t.Failed() {
				return
			}
			from := now(t, j)
			if d := changed(t, j, from); len(d.Dirs) != 0 || len(d.Files) != 0 || len(d.Links) != 0 {
				t.Errorf("nothing happened, and there is %+v", d)
			}
		})
	}
}

var operations = []struct {
	name string
	do   func(t *testing.T, top string)
}{
	{"creating", func(t *testing.T, top string) { write(t, top+"/a/new", "x") }},
	{"writing", func(t *testing.T, top string) { write(t, top+"/a/b/other", "x") }},
	{"writing one of two names", func(t *testing.T, top string) { write(t, top+"/a/b/file", "x") }},
	{"chmod of a file", func(t *testing.T, top string) { must(t, os.Chmod(top+"/a/b/other", 0o600)) }},
	{"chmod of one of two names", func(t *testing.T, top string) { must(t, os.Chmod(top+"/c/link", 0o600)) }},
	{"attributes of a directory", func(t *testing.T, top string) { must(t, os.Chmod(top+"/a/b", 0o700)) }},
	{"owner of the root", func(t *testing.T, top string) { must(t, os.Chown(top+"/..", 1, 1)) }},
	{"extended attribute", func(t *testing.T, top string) {
		must(t, unix.Setxattr(top+"/a/b/other", "trusted.x", []byte("1"), 0))
	}},
	{"truncating by name", func(t *testing.T, top string) { must(t, os.Truncate(top+"/a/b/other", 3)) }},
	{"removing", func(t *testing.T, top string) { must(t, os.Remove(top+"/a/b/other")) }},
	{"unlinking one of two names", func(t *testing.T, top string) { must(t, os.Remove(top+"/a/b/file")) }},
	{"linking", func(t *testing.T, top string) { must(t, os.Link(top+"/a/b/other", top+"/c/d/second")) }},
	{"renaming a file", func(t *testing.T, top string) { must(t, os.Rename(top+"/a/b/other", top+"/c/d/renamed")) }},
	{"moving a directory with a change in it", func(t *testing.T, top string) {
		must(t, os.Rename(top+"/a/b", top+"/c/d/b"))
		write(t, top+"/c/d/b/other", "x")
		must(t, os.Rename(top+"/c/d", top+"/a/d"))
	}},
	{"overwriting one of two names by rename", func(t *testing.T, top string) { must(t, os.Rename(top+"/a/b/other", top+"/c/link")) }},
	{"exchanging", func(t *testing.T, top string) {
		must(t, unix.Renameat2(unix.AT_FDCWD, top+"/a/b", unix.AT_FDCWD, top+"/c/file", unix.RENAME_EXCHANGE))
	}},
	{"removing a tree", func(t *testing.T, top string) { must(t, os.RemoveAll(top+"/a")) }},
	{"inodes used again", func(t *testing.T, top string) {
		must(t, os.RemoveAll(top+"/c"))
		write(t, top+"/a/e/f/g", "x")
		write(t, top+"/h/deep", "x")
	}},
	{"a file without a name that gets one", func(t *testing.T, top string) {
		f, err := os.OpenFile(top+"/a", unix.O_TMPFILE|unix.O_RDWR, 0o600)
		must(t, err)
		defer f.Close()
		_, err = f.WriteString("x")
		must(t, err)
		must(t, unix.Linkat(int(f.Fd()), "", unix.AT_FDCWD, top+"/a/named", unix.AT_EMPTY_PATH))
	}},
	{"punching a hole", func(t *testing.T, top string) {
		f, err := os.OpenFile(top+"/a/b/other", os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 2))
	}},
	{"no name that is one in text", func(t *testing.T, top string) {
		write(t, top+"/a/new\n\xff \\name", "x")
		must(t, os.Symlink("x", top+"/a/symlink"))
		must(t, unix.Mkfifo(top+"/a/pipe", 0o600))
	}},
}
