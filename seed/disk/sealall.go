package disk

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// SealOptions say how to seal.
type SealOptions struct {
	Key    manifest.PublicKey
	Disks  int
	Host   string
	Now    time.Time
	Scheme parity.Scheme
	Read   *atomic.Int64
}

// Seal seals disks.
func Seal(ctx context.Context, disks []*Disk, o SealOptions) error {
	var errs []error
	for _, d := range disks {
		errs = append(errs, d.Seal(ctx, o.Key, o.Disks, o.Host, o.Now, o.Read))
	}
	return errors.Join(errs...)
}
