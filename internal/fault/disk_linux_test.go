package fault_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/internal/durable"
	"waybill/internal/fault"
)

// write writes a file through the disk, synced.
func write(t *testing.T, d *fault.Disk, name string, b []byte) error {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.Dir, name), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func mustWrite(t *testing.T, d *fault.Disk, name string, b []byte) {
	t.Helper()
	if err := write(t, d, name, b); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, d *fault.Disk, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pattern is n bytes of which no two blocks are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>12)
	}
	return b
}

// A disk without faults is a directory like others, also for package durable.
func TestDiskInOrder(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{})
	tree, err := durable.Open(d.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	want := pattern(3<<20 + 17)
	if err := tree.Put(t.Context(), "a/b/c", bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	if err := tree.Put(t.Context(), "a/b/c", bytes.NewReader(want)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("put again: %v, want that it exists", err)
	}
	for _, label := range []string{"one", "two"} {
		if err := tree.Replace("label", []byte(label)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := tree.OpenUncached("a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if f.Close(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v; want what was written", len(got), err)
	}
	if got := string(read(t, d, "label")); got != "two" {
		t.Errorf("label is %q after it was replaced", got)
	}
	direct, err := os.OpenFile(filepath.Join(d.Dir, "a/b/c"), os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatalf("O_DIRECT: %v", err)
	}
	direct.Close()
	if err := tree.Remove(t.Context(), "a/b/c"); err != nil {
		t.Error(err)
	}
}

func TestDiskFails(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{FailReads: fault.Part("bad", 8192, 12288)})
	mustWrite(t, d, "bad", pattern(1<<16))
	mustWrite(t, d, "good", pattern(1<<16))
	read(t, d, "good")
	f, err := os.Open(filepath.Join(d.Dir, "bad"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off, want := range map[int64]error{0: nil, 4096: nil, 8192: syscall.EIO, 12287: syscall.EIO, 12288: nil} {
		if _, err := f.ReadAt(make([]byte, 1), off); !errors.Is(err, want) {
			t.Errorf("reading at %d: %v, want %v", off, err, want)
		}
	}
	d.Set(fault.Faults{FailWrites: fault.Everywhere})
	if err := write(t, d, "new", []byte("x")); !errors.Is(err, syscall.EIO) {
		t.Errorf("writing: %v, want EIO", err)
	}
	d.Set(fault.Faults{FailSyncs: fault.Everywhere})
	if err := write(t, d, "new", []byte("x")); !errors.Is(err, syscall.EIO) {
		t.Errorf("syncing: %v, want EIO", err)
	}
}

func TestDiskLies(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{Lie: fault.Part("", 4096, 8192)})
	want := pattern(1 << 16)
	mustWrite(t, d, "a", want)
	got := read(t, d, "a")
	var wrong []int
	for i := range got {
		if got[i] != want[i] {
			wrong = append(wrong, i)
		}
	}
	if len(wrong) != 1 || wrong[0]/4096 != 1 {
		t.Errorf("bytes %v were wrong, want one of the second block", wrong)
	}
}

func TestDiskLosesWrites(t *testing.T) {
	for _, test := range []struct {
		name string
		lose fault.Loss
		want string // of the synced file
	}{{"honest", fault.Unsynced, "new"}, {"lying", fault.Synced, "older"}} {
		t.Run(test.name, func(t *testing.T) {
			d := fault.MountTest(t, fault.Faults{})
			mustWrite(t, d, "synced", []byte("older"))
			mustWrite(t, d, "unsynced", []byte("older"))
			d.Set(fault.Faults{Lose: test.lose})
			if err := os.Truncate(filepath.Join(d.Dir, "synced"), 0); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, d, "synced", []byte("new"))
			for _, name := range []string{"unsynced", "made"} {
				if err := os.WriteFile(filepath.Join(d.Dir, name), []byte("changed"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.PowerCut(); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"synced": test.want, "unsynced": "older", "made": ""} {
				if got := string(read(t, d, name)); got != want {
					t.Errorf("%s has %q after the power cut, want %q", name, got, want)
				}
			}
		})
	}
}

func TestDiskWraps(t *testing.T) {
	const real = 1 << 20
	d := fault.MountTest(t, fault.Faults{RealSize: real, Size: 1 << 30})
	want := pattern(real + 8192)
	mustWrite(t, d, "a", want[:real])
	if !bytes.Equal(read(t, d, "a"), want[:real]) {
		t.Fatal("the disk doesn't hold its real size")
	}
	mustWrite(t, d, "b", want[real:])
	if got := read(t, d, "b"); !bytes.Equal(got, want[real:]) {
		t.Error("what was written last is not there")
	}
	got := read(t, d, "a")
	if !bytes.Equal(got[:8192], want[real:]) || !bytes.Equal(got[8192:], want[8192:real]) {
		t.Error("what was written last is not in the place of what was first")
	}
}

func TestImageWraps(t *testing.T) {
	const wrap = 1 << 16
	d := fault.MountTest(t, fault.Faults{WrapAt: wrap})
	want := pattern(wrap + 5000)
	mustWrite(t, d, "image", want)
	copy(want, want[wrap:])
	if got := read(t, d, "image"); !bytes.Equal(got, want) {
		t.Error("what lies behind is not in the place of what was first")
	}
}

func TestDiskIsFull(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{Size: 1 << 20})
	tree, err := durable.Open(d.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	put := func(name string, n int) error { return tree.Put(t.Context(), name, bytes.NewReader(pattern(n))) }
	if err := put("a", 3<<18); err != nil {
		t.Fatal(err)
	}
	if free, err := tree.Free(); err != nil || free != 1<<18 {
		t.Errorf("%d bytes are free, %v; want %d", free, err, 1<<18)
	}
	if err := put("b", 1<<19); !errors.Is(err, durable.ErrFull) {
		t.Errorf("writing what doesn't fit: %v", err)
	}
	if err := put("b", 1<<18); err != nil {
		t.Errorf("writing what fits exactly: %v", err)
	}
	if err := errors.Join(tree.Remove(t.Context(), "a"), put("c", 1<<19)); err != nil {
		t.Errorf("writing after there is room again: %v", err)
	}
}

func TestDiskVanishes(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{})
	mustWrite(t, d, "a", []byte("content"))
	f, err := os.OpenFile(filepath.Join(d.Dir, "a"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d.Set(fault.Faults{Gone: true})
	a := filepath.Join(d.Dir, "a")
	for what, do := range map[string]func() error{
		"read":   func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		"write":  func() error { _, err := f.WriteAt([]byte("x"), 0); return err },
		"sync":   f.Sync,
		"stat":   func() error { _, err := os.Stat(a); return err },
		"open":   func() error { _, err := os.Open(a); return err },
		"create": func() error { return write(t, d, "b", nil) },
		"list":   func() error { _, err := os.ReadDir(d.Dir); return err },
		"mkdir":  func() error { return os.Mkdir(filepath.Join(d.Dir, "c"), 0o777) },
		"remove": func() error { return syscall.Unlink(a) },
		"rename": func() error { return os.Rename(a, a+"x") },
		"free":   func() error { return syscall.Statfs(d.Dir, new(syscall.Statfs_t)) },
	} {
		if err := do(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v, want EIO", what, err)
		}
	}
	d.Set(fault.Faults{})
	if got := string(read(t, d, "a")); got != "content" {
		t.Errorf("after it came back it has %q", got)
	}
}

// A slow disk takes at least its time; how much longer depends on the machine.
func TestDiskIsSlow(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{WriteRate: 10 << 20})
	began := time.Now()
	mustWrite(t, d, "a", []byte(strings.Repeat("x", 2<<20)))
	if took := time.Since(began); took < 170*time.Millisecond {
		t.Errorf("2 MiB at 10 MiB/s took %v", took)
	}
}
