package main

import (
	"context"
	"errors"

	"waybill/hwtest"
	"waybill/internal/cli"
	"waybill/seed"
	"waybill/seed/disk"
)

// serialOf is the serial number of the device that a directory is on; empty when it can't be told.
func serialOf(path string) string {
	d, err := hwtest.Identity(path)
	if err != nil {
		return ""
	}
	return d.Serial
}

// testDisks has a look at each new disk before anything is entrusted to it.
func (a *app) testDisks(ctx context.Context, o *seed.Options) error {
	for _, path := range o.Disks {
		d, err := disk.Open(path)
		if err == nil { // it was tried when it was begun
			d.Close()
			continue
		}
		if !errors.Is(err, disk.ErrNoDisk) {
			return err
		}
		r, err := hwtest.Glance(ctx, path, o.Save.DataPack)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		for _, remark := range r.Remarks {
			a.out.Detail("%s: %s", path, remark)
		}
		if err := r.Err(); err != nil {
			return cli.Errorf(cli.Unfit, "%s: %w", path, err).Hinted("take another disk, look closer with `waybill hwtest %s`, or write to it all the same: --no-hwtest", path)
		}
	}
	return nil
}
