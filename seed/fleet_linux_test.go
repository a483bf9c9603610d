package seed

import (
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/manifest"
	"waybill/seed/disk"
)

// While one disk has room, a pack finds it, however many are begun at once.
func TestPacksFindTheDiskWithRoom(t *testing.T) {
	full := t.TempDir()
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=1m"); errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("no right to mount a small file system: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(full, unix.MNT_DETACH) })
	f := &fleet{size: map[manifest.Class]int64{manifest.Data: 1 << 20}}
	defer f.close()
	for i, dir := range []string{full, t.TempDir()} {
		d, err := disk.Create(dir, disk.Label{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002",
			Set: "0c000000-0000-4000-8000-000000000003", Disk: i + 1, Time: time.Unix(1e9, 0).UTC()})
		if err != nil {
			t.Fatal(err)
		}
		f.disks = append(f.disks, d)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				p, err := f.Create(manifest.Data)
				if err != nil {
					t.Error(err)
					return
				}
				p.Abort()
			}
		})
	}
	wg.Wait()
}
