package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"waybill/internal/durable"
	"waybill/internal/heal"
	"waybill/internal/save"
	"waybill/manifest"
)

// Reissue writes what was in packs that did not reach the vault to further disks of the set, and seals them: what the machine still has as it
// was, and for the rest what its files have now, with a commit that settles the packs. Interrupted, it goes on when it is run again with the packs that
// are left. The heal report tells what was done, whatever the error.
func Reissue(ctx context.Context, o *Options, packs []manifest.Pack) (*Report, *heal.Report, error) {
	r := &Report{Set: setOf(o.Domain.Chain)}
	if r.Set == "" {
		r.Set = o.NewSet()
	}
	f, err := begin(ctx, o, r.Set)
	if err != nil {
		return r, &heal.Report{}, err
	}
	defer f.close()
	for _, d := range f.disks {
		if err := f.tidy(d); err != nil {
			return r, &heal.Report{}, err
		}
	}
	cfg := o.Save
	f.size = f.packSizes(&cfg)
	cfg.Set, cfg.Destination, cfg.Disks = r.Set, f, func() int { return f.numbers }
	cfg.DataPack, cfg.Lanes = f.size[manifest.Data], max(1, len(f.data()))
	h, err := heal.Run(ctx, o.Domain, cfg, packs, heal.Options{Put: f.put, Count: true,
		Committed: func(c *save.Result) error {
			r.Result = c
			return nil
		}})
	if errors.Is(err, durable.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrNextDisk, err)
	}
	if err != nil {
		return r, h, err
	}
	return r, h, f.seal(ctx, r)
}

// put stores a small pack on the first disk that takes it.
func (f *fleet) put(ctx context.Context, name string, body io.ReadSeeker) error {
	disks := f.data()
	if len(disks) == 0 {
		return ErrNoData
	}
	var errs []error
	for _, d := range disks {
		_, err := body.Seek(0, io.SeekStart)
		if err == nil {
			err = d.Put(ctx, name, body)
		}
		if err == nil || errors.Is(err, fs.ErrExist) {
			return nil // by an earlier run
		}
		errs = append(errs, f.fail(d, err))
	}
	return errors.Join(errs...)
}

// Numbers are the numbers of a set's disks by the machine's commits.
func Numbers(c manifest.Chain) (set manifest.ID, disks int) {
	set = setOf(c)
	for _, link := range c.Links {
		if link.Manifest.Set == set {
			disks = max(disks, link.Manifest.Disks)
		}
	}
	return set, disks
}
