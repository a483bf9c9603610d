package seed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"waybill/internal/durable"
	"waybill/internal/pack"
	"waybill/internal/save"
	"waybill/manifest"
	"waybill/seed/disk"
)

// A Cache keeps what the machine needs of a seed while its disks travel.
type Cache interface {
	Put(ctx context.Context, name string, body io.ReadSeeker) error
}

// A fleet is the disks being filled, as the engine's destination. Packs go to them in turn.
type fleet struct {
	ctx       context.Context
	machine   manifest.ID
	disks     []*disk.Disk
	cache     Cache
	size      map[manifest.Class]int64
	committed int // how many disks the set has by its commits
	numbers   int // the highest number of a disk of the set
	next      atomic.Int64
	now       func() time.Time
}

func (f *fleet) close() {
	for _, d := range f.disks {
		d.Close()
	}
}

// equip gives a disk the documents that make it enough, with the passphrase, to restore.
func (f *fleet) equip(d *disk.Disk, o *Options) error {
	for name, b := range o.Copies {
		if err := d.Put(f.ctx, name, bytes.NewReader(b)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("writing %s to disk %d: %w", name, d.Label().Disk, err)
		}
	}
	for _, link := range o.Domain.Chain.Links {
		body, err := link.Manifest.Encode()
		if err != nil {
			return err
		}
		name := manifest.SignatureName(f.machine, link.Manifest.Sequence, link.Digest)
		signature, err := o.Domain.ReadObject(f.ctx, name)
		if err == nil {
			err = d.Publish(f.ctx, link.Manifest, link.Digest, body, signature)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// packSize is how large data packs should be: less on small disks, so that their last part is used too.
func (f *fleet) packSize() (int64, error) {
	size := int64(DataPack)
	for _, d := range f.disks {
		free, err := d.Free()
		if err != nil {
			return 0, err
		}
		size = min(size, max(free/64, 16<<20))
	}
	return size, nil
}

// Create begins the next pack, on the disk whose turn it is or the next one with room.
func (f *fleet) Create(class manifest.Class) (pack.Target, error) { return f.open(class) }

// Publish writes the commit to the cache and to every disk.
func (f *fleet) Publish(ctx context.Context, c save.Commit) error {
	for _, d := range f.disks {
		if err := d.Publish(ctx, c.Manifest, c.ID, c.Bytes, c.Signature); err != nil {
			return err
		}
	}
	seq := c.Manifest.Sequence
	err := f.keep(manifest.SignatureName(f.machine, seq, c.ID), c.Signature)
	if err == nil {
		err = f.keep(manifest.ManifestName(f.machine, seq), c.Bytes)
	}
	return err
}

func (f *fleet) keep(name string, b []byte) error {
	if err := f.cache.Put(f.ctx, name, bytes.NewReader(b)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keeping %s on this machine: %w", name, err)
	}
	return nil
}

// A target is a pack on its way to a disk.
type target struct {
	fleet *fleet
	disk  *disk.Disk
	file  *durable.File
	class manifest.Class
	copy  bytes.Buffer // of a catalogue pack, for the cache
}

func (t *target) Write(p []byte) (int, error) {
	if t.class == manifest.Catalogue {
		t.copy.Write(p)
	}
	return t.file.Write(p)
}

// Commit publishes the pack on its disk and, of the catalogue, in the cache.
func (t *target) Commit(p manifest.Pack) error {
	name := manifest.PackName(t.fleet.machine, p.Name)
	if err := t.file.Commit(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing a pack to disk %d: %w", t.disk.Label().Disk, err)
	}
	if t.class != manifest.Catalogue {
		return nil
	}
	return t.fleet.keep(name, t.copy.Bytes())
}

func (t *target) Abort() { t.file.Abort() }

// Disk tells the manifest which disk carries the pack.
func (t *target) Disk() int { return t.disk.Label().Disk }
