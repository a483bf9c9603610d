package save_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
	"waybill/internal/save"
)

// mount mounts a file system until the test ends; without the right to, the test is skipped.
func mount(t *testing.T, source, target, fstype string, flags uintptr, data string) {
	t.Helper()
	err := unix.Mount(source, target, fstype, flags, data)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("no right to mount a file system: %v", err)
	}
	if err != nil {
		t.Fatalf("mounting %s: %v", fstype, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o777); err != nil {
		t.Fatal(err)
	}
}

// What is mounted below is saved, unless it is the kernel's, or one file system is asked for. Roots, and
// what leads to them, are saved whatever they are.
func TestMounts(t *testing.T) {
	top := t.TempDir()
	for _, d := range []string{"mem", "kernel", "here"} {
		mkdir(t, top+"/"+d)
	}
	write(t, top+"/here/file", []byte("1"))
	mount(t, "tmpfs", top+"/mem", "tmpfs", 0, "size=1m")
	write(t, top+"/mem/sub/file", []byte("2"))
	mkdir(t, top+"/mem/sub/nested")
	mount(t, "tmpfs", top+"/mem/sub/nested", "tmpfs", 0, "size=1m")
	write(t, top+"/mem/sub/nested/file", []byte("3"))
	mount(t, "proc", top+"/kernel", "proc", 0, "")

	for name, test := range map[string]struct {
		one   bool
		roots []string
		want  string
	}{
		"everything":                 {false, []string{""}, "here here/file kernel mem mem/sub mem/sub/file mem/sub/nested mem/sub/nested/file"},
		"one file system":            {true, []string{""}, "here here/file kernel mem"},
		"the mount point, one":       {true, []string{"mem"}, "mem mem/sub mem/sub/file mem/sub/nested"},
		"below the mount, one":       {true, []string{"mem/sub/nested"}, "mem mem/sub mem/sub/nested mem/sub/nested/file"},
		"both file systems, one":     {true, []string{"", "mem"}, "here here/file kernel mem mem/sub mem/sub/file mem/sub/nested"},
		"the kernel's, by name":      {false, []string{"kernel/sys/kernel/ostype"}, "kernel kernel/sys kernel/sys/kernel kernel/sys/kernel/ostype"},
		"the kernel's, by name, one": {true, []string{"kernel/sys/kernel/ostype"}, "kernel kernel/sys kernel/sys/kernel kernel/sys/kernel/ostype"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t)
			var roots []string
			for _, r := range test.roots {
				roots = append(roots, top+"/"+r)
			}
			r := m.save(func(c *save.Config) { c.OneFileSystem = test.one }, roots...)
			got := m.files(r.Point, top)
			if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != test.want {
				t.Errorf("saved: %s\n want: %s", names, test.want)
			}
			for _, name := range []string{"mem", "kernel", "mem/sub/nested", "here"} {
				if it, ok := got[name]; ok && (it.Flags&catalog.MountPoint != 0) != (name != "here") {
					t.Errorf("%s: flags %v", name, it.Flags)
				}
			}
		})
	}
}

// A file system mounted on a file is treated like one on a directory.
func TestMountedFiles(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/mem/other", []byte("the mounted one"))
	write(t, top+"/file", []byte("what is below"))
	mount(t, "tmpfs", top+"/mem", "tmpfs", 0, "size=1m")
	write(t, top+"/mem/other", []byte("the mounted one"))
	mount(t, top+"/mem/other", top+"/file", "", unix.MS_BIND, "")
	for one, roots := range map[bool][]string{false: {top}, true: {top + "/file"}} {
		m := newMemory(t)
		got := m.files(m.save(func(c *save.Config) { c.OneFileSystem = one }, roots...).Point, top)
		if got["file"].content != "the mounted one" {
			t.Errorf("one file system %v, %v: %q", one, roots, got["file"].content)
		}
	}
	m := newMemory(t)
	got := m.files(m.save(func(c *save.Config) { c.OneFileSystem = true }, top).Point, top)
	if _, ok := got["file"]; ok {
		t.Error("another file system's file was saved")
	}
}

// The same directory mounted in two places, one of them the way to what must never be entered.
func TestSkipSeesThroughMounts(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/state/secret", []byte("1"))
	mkdir(t, top+"/bound")
	mount(t, top+"/state", top+"/bound", "", unix.MS_BIND, "")
	m := newMemory(t)
	got := m.files(m.save(func(c *save.Config) { c.Skip = []string{top + "/state"} }, top).Point, top)
	if len(got) != 0 {
		t.Errorf("saved: %v", slices.Sorted(maps.Keys(got)))
	}
}

// A full file system, mounted read-only, with no names at all: nothing that a reader should mind.
func TestReadOnlyMount(t *testing.T) {
	top := t.TempDir()
	mount(t, "tmpfs", top, "tmpfs", 0, "size=1m")
	write(t, top+"/file", noise(200<<10, 1))
	if err := unix.Mount("", top, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	m := newMemory(t)
	r := m.save(nil, top)
	m.same(r.Point, top)
	if r.Point.ProblemCount != 0 {
		t.Errorf("%+v", r.Point.Problems)
	}
}
