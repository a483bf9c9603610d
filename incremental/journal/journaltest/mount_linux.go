package journaltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Mount makes a file system of so many bytes in memory, mounts it until the test ends, and returns where. The test is skipped where that can't be done.
func Mount(t testing.TB, system string, size int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir, err := os.MkdirTemp("/dev/shm", "waybill-"+system+"-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	for _, err := range []error{os.WriteFile(image, nil, 0o600), os.Truncate(image, size), os.Mkdir(at, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mkfs := []string{"-q", image}
	if system == "ext4" {
		mkfs = append(mkfs, "-F")
	}
	for _, c := range []*exec.Cmd{exec.Command("mkfs."+system, mkfs...), exec.Command("mount", "-o", "loop", image, at)} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("%v: %v, %s", c.Args, err, out)
		}
	}
	t.Cleanup(func() {
		if unix.Unmount(at, 0) != nil {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				t.Errorf("unmounting %s: %v", at, err)
			}
		}
	})
	return at
}
