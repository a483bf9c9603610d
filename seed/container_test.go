package seed_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"waybill/ingest/vault"
	"waybill/seed/disk"
)

// A box is a store of blobs, which tests can look at as at a disk's directory. It counts the packs that it was told are some.
type box struct {
	*vault.Dir
	data, other *atomic.Int64
}

func (b box) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if about := vault.Describe(body); about.MD5 != nil && about.Data {
		b.data.Add(1)
	} else if about.MD5 != nil {
		b.other.Add(1)
	}
	return b.Dir.Put(ctx, name, body)
}

// Containers are seeded like disks: interrupted, gone on with, sealed and read back.
func TestResumeInContainers(t *testing.T) {
	m := newMachine(t)
	var data, other atomic.Int64
	m.medium = func(path string) (disk.Medium, error) {
		v, err := vault.Open(path)
		if err != nil {
			return nil, err
		}
		return disk.Container(box{v, &data, &other}), nil
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
	// What is data and what is not decides in which tier it is kept.
	if told := data.Load() + other.Load(); data.Load() == 0 || other.Load() == 0 || told < int64(packs(t, disks[0])+packs(t, disks[1])) {
		t.Errorf("the containers were told of %d packs of data and %d others", data.Load(), other.Load())
	}
	if _, err := m.try(t.Context(), []string{disks[0], t.TempDir()}, root); err == nil {
		t.Error("what is complete was seeded once more")
	}
}
