// Package ntfstest makes NTFS volumes for tests, with mkntfs and ntfs-3g. Tests that use it are skipped where these aren't, or
// where nothing can be mounted.
package ntfstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Make makes a volume of this size in an image file on tmpfs, if there is one, and returns its path. The arguments are mkntfs' own.
func Make(t testing.TB, size int64, args ...string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("NTFS volumes are made on Linux only")
	}
	if _, err := exec.LookPath("mkntfs"); err != nil {
		t.Skip("mkntfs isn't here: ", err)
	}
	image := filepath.Join(Temp(t), "volume")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	Run(t, "mkntfs", append(append([]string{"-F", "-q", "-Q"}, args...), image)...)
	return image
}

// Mount mounts a volume by ntfs-3g with these options until unmount is called or the test ends, and returns where.
func Mount(t testing.TB, image, options string) (dir string, unmount func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root mounts volumes")
	}
	if _, err := exec.LookPath("ntfs-3g"); err != nil {
		t.Skip("ntfs-3g isn't here: ", err)
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("FUSE isn't here: ", err)
	}
	dir = filepath.Join(Temp(t), "mounted")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	Run(t, "ntfs-3g", "-o", options, image, dir)
	mounted := true
	unmount = func() {
		if mounted {
			mounted = false
			Run(t, "umount", dir)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

// Temp is t.TempDir on tmpfs, if there is one.
func Temp(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "waybill-ntfs-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Run runs a program that must succeed, and returns what it said.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
