package seed_test

import (
	"context"
	"testing"

	"waybill/ingest/vault"
	"waybill/seed/disk"
)

// A box is a store of blobs, which tests can look at as at a disk's directory.
type box struct{ *vault.Dir }

func (b box) Overwrite(_ context.Context, name string, content []byte) error {
	return b.Replace(name, content)
}

// Containers are seeded like disks: interrupted, gone on with, sealed and read back.
func TestResumeInContainers(t *testing.T) {
	m := newMachine(t)
	m.medium = func(path string) (disk.Medium, error) {
		v, err := vault.Open(path)
		if err != nil {
			return nil, err
		}
		return disk.Container(box{v}), nil
	}
	root := tree(t, 12)
	disks := []string{t.TempDir(), t.TempDir()}
	m.stopped(3, disks, root)
	r, err := m.try(t.Context(), disks, root)
	m.must(err)
	if !r.Resumed || len(r.Disks) != 2 || r.Disks[0].State != disk.Sealed || packs(t, disks[0]) == 0 || packs(t, disks[1]) == 0 {
		t.Errorf("%+v", r)
	}
	m.check(root, disks...)
	if _, err := m.try(t.Context(), []string{disks[0], t.TempDir()}, root); err == nil {
		t.Error("what is complete was seeded once more")
	}
}
