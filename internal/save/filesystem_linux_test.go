package save_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"waybill/internal/save"
)

// mounted mounts a file system below a new directory until the test ends, or skips where that can't be done.
func mounted(t *testing.T, args ...string) string {
	t.Helper()
	at := t.TempDir()
	if out, err := exec.Command("mount", append(args, at)...).CombinedOutput(); err != nil {
		t.Skipf("this test needs root and mount %v: %v, %s", args, err, out)
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", at).Run(); err != nil {
			t.Errorf("unmounting %s: %v", at, err)
		}
	})
	return at
}

// Small inodes of ext2, ext3 and ext4 have whole seconds: what changes in the second in which a backup
// began and read it looks the same as what was read.
func TestTimesOfWholeSeconds(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	write(t, image, nil)
	if err := os.Truncate(image, 8<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-I", "128", image).CombinedOutput(); err != nil {
		t.Skipf("this test needs mkfs.ext4: %v, %s", err, out)
	}
	root := mounted(t, "-o", "loop", image)
	for range 3 {
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second + 300*time.Millisecond)))
		m := newMemory(t)
		write(t, root+"/f", []byte("one"))
		began := time.Now().Add(50 * time.Millisecond)
		time.Sleep(time.Until(began))
		m.save(nil, root)
		write(t, root+"/f", []byte("two"))
		if time.Now().Truncate(time.Second) != began.Truncate(time.Second) {
			continue // too slow, so it would show
		}
		time.Sleep(time.Second)
		if got := m.files(m.save(nil, root).Point, root)["f"].content; got != "two" {
			t.Errorf("the change of %q to %q went unnoticed", got, "two")
		}
		return
	}
}

// In an overlay of several file systems, files have other devices than their directories.
func TestOneFileSystemThatIsAnOverlay(t *testing.T) {
	lower, err := os.MkdirTemp("/dev/shm", "waybill-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(lower) })
	write(t, lower+"/dir/lower", []byte("lower"))
	upper, work := t.TempDir(), t.TempDir()
	root := mounted(t, "-t", "overlay", "-o", "lowerdir="+lower+",upperdir="+upper+",workdir="+work, "overlay")
	write(t, root+"/dir/upper", []byte("upper"))
	if dev(t, root+"/dir") == dev(t, root+"/dir/lower") {
		t.Skip("both layers are of one file system here")
	}
	m := newMemory(t)
	m.same(m.save(func(c *save.Config) { c.OneFileSystem = true }, root).Point, root)
}

func dev(t *testing.T, path string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Dev)
}

// Attributes that fit no entry are left out, and said to be; the backup goes on.
func TestHugeAttributes(t *testing.T) {
	root, err := os.MkdirTemp("/dev/shm", "waybill-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	write(t, root+"/f", []byte("content"))
	for i := range 300 {
		if err := syscall.Setxattr(root+"/f", "user."+string(rune('a'+i/26))+string(rune('a'+i%26)), make([]byte, 64<<10), 0); err != nil {
			t.Skipf("attributes of this size: %v, after %d", err, i)
		}
	}
	m := newMemory(t)
	p := m.save(nil, root).Point
	m.same(p, root)
	if p.ProblemCount != 1 {
		t.Errorf("%+v", p.Problems)
	}
}
