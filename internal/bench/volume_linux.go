package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// mountable tells why no image can be mounted here.
func mountable() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it mounts file systems of its own, which takes root")
	}
	for _, name := range []string{"mkfs.btrfs", "mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	return nil
}

// makeFileSystem makes one in an image file that takes no more room than is written to it. Blocks of ext4 are small, as its files are, and
// btrfs keeps its metadata once.
func makeFileSystem(ctx context.Context, image, kind string, bytes int64) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := f.Truncate(bytes); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	args := []string{"mkfs.btrfs", "-q", "-m", "single", "-d", "single", image}
	if kind == "ext4" {
		args = []string{"mkfs.ext4", "-q", "-F", "-b", "1024", "-i", "1024", "-m", "0", "-E", "lazy_itable_init=1", image}
	}
	return say(ctx, args...)
}

// mountImage mounts an image, and returns how to unmount it.
func mountImage(ctx context.Context, image, dir string) (unmount func() error, err error) {
	if err := say(ctx, "mount", "-o", "loop,noatime", image, dir); err != nil {
		return nil, err
	}
	return func() error { return say(context.WithoutCancel(ctx), "umount", dir) }, nil
}

// settle writes what the file system of dir holds back.
func settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// spare is how many bytes dir's file system has left, and the memory.
func spare(dir string) (disk, memory int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	memory, err = memInfo("/proc/meminfo", "MemAvailable:")
	return int64(fs.Bavail) * fs.Bsize, memory, err
}

// resident is the memory that a process has.
func resident(pid int) (int64, error) { return memInfo(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") }

// memInfo is a figure, in bytes, of a file of proc that gives them in kB.
func memInfo(file, key string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kB int64
		if line, ok := strings.CutPrefix(s.Text(), key); ok {
			_, err := fmt.Sscan(line, &kB)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}
