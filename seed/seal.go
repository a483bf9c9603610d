package seed

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"waybill/manifest"
	"waybill/seed/disk"
)

// seal seals all disks that are there. A disk that fails doesn't stop the others.
func (f *fleet) seal(ctx context.Context, r *Report) error {
	if f.o.Sealing != nil {
		f.o.Sealing()
	}
	f.lostOne()
	disks := f.working(func(disk.Label) bool { return true })
	f.o.SealTotal.Store(f.toRead(disks))
	err := disk.Seal(ctx, disks, disk.SealOptions{Key: f.o.Key, Disks: f.numbers, Host: f.o.Save.Host, Now: f.now(), Scheme: f.o.Parity, Read: &f.o.SealBytes})
	there := map[int]bool{}
	for _, d := range disks {
		if d.Label().State == disk.Sealed {
			there[d.Label().Disk] = true
			r.Disks = append(r.Disks, d.Label())
			err = errors.Join(err, f.sign(d))
		}
	}
	slices.SortFunc(r.Disks, func(a, b disk.Label) int { return a.Disk - b.Disk })
	for n := 1; n <= f.numbers; n++ {
		if !there[n] {
			r.Absent = append(r.Absent, n)
		}
	}
	return err
}

// toRead is about how many bytes sealing reads: what is on the disks, and the parity that is made of it.
func (f *fleet) toRead(disks []*disk.Disk) (n int64) {
	for _, d := range disks {
		stored, largest := int64(0), int64(0)
		d.List(f.ctx, "", func(_ string, size int64) error { // when it fails, sealing will
			stored, largest = stored+size, max(largest, size)
			return nil
		})
		n += stored + f.o.Parity.Bytes(stored, largest)
	}
	return n
}

// sign begins the disk's custody log: what is on it was written and read back here.
func (f *fleet) sign(d *disk.Disk) error {
	l := d.Label()
	c := manifest.Custody{Vault: l.Vault, Machine: l.Machine, Set: l.Set, Disk: l.Disk, Time: f.now(), Host: f.o.Save.Host, Tool: f.o.Save.Tool,
		Serial: l.Serial, Note: f.o.Note, Packs: l.Packs, Bytes: l.Bytes}
	for _, c.Event = range []manifest.Event{manifest.EventWritten, manifest.EventSealed} {
		if _, err := manifest.AppendCustody(f.ctx, d, c, f.o.Save.Writer.Signer); err != nil {
			return fmt.Errorf("writing the custody log of disk %d: %w", l.Disk, err)
		}
	}
	return nil
}
