package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"waybill/internal/cli"
	"waybill/internal/heal"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
)

// againLine is the answer of seed --want and --reissue.
type againLine struct {
	*healLine
	Set   manifest.ID  `json:"set"`
	Disks []disk.Label `json:"disks"`
}

// seedAgain writes to further disks what did not arrive: the vault's want list, or all that one disk carried.
func (a *app) seedAgain(ctx context.Context, w *writing, o *seed.Options, f *seedFlags) (failed error) {
	packs, err := w.toReissue(ctx, f)
	if err != nil {
		return err
	}
	if len(packs) == 0 {
		if f.want {
			a.out.Say("the vault wants nothing: what has not arrived there may still be in the post")
		} else {
			a.out.Say("disk %d carried nothing of the backup: it is one of parity, or what it had is on another by now", f.reissue)
		}
		return nil
	}
	release, err := inImages(ctx, &o.Save, o.Volumes)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, release()) }()
	began := time.Now()
	var r *seed.Report
	var h *heal.Report
	err = a.showing(ctx, o, f, func() (err error) {
		r, h, err = seed.Reissue(ctx, o, packs)
		return err
	})
	for _, c := range h.Commits {
		err = w.record(c, err)
	}
	err = errors.Join(err, w.tellVault(ctx, a, r.Set, o.Disks))
	if errors.Is(err, seed.ErrNextDisk) {
		again := "--want"
		if f.reissue > 0 {
			again = fmt.Sprintf("--reissue %d", f.reissue)
		}
		return cli.Errorf(cli.NextDisk, "%w", err).Hinted("run it again with a larger disk, or with several: `waybill seed %s --to DISK --to DISK`", again)
	}
	if err != nil {
		return err
	}
	l := &againLine{newHealLine(h, len(packs), time.Since(began)), r.Set, r.Disks}
	a.out.Answer("reissue", l, func(out io.Writer) {
		l.healLine.write(out)
		writeDisks(out, r.Disks, nil)
	})
	return a.lacking(l.healLine)
}

// toReissue is the packs that are asked for.
func (w *writing) toReissue(ctx context.Context, f *seedFlags) ([]manifest.Pack, error) {
	if f.want {
		if w.vault == nil {
			return nil, cli.Errorf(cli.NoVault, "the want list is in the vault, and that is out of reach").Hinted("mount the vault, and leave out --offline")
		}
		l, err := heal.Wants(ctx, w.vault, w.Domain, w.state.Credentials.ReceiptKey)
		return slices.Concat(l.Now, l.Later), err
	}
	set, disks := seed.Numbers(w.Chain)
	if f.reissue > disks {
		return nil, cli.Errorf(cli.Usage, "there is no disk %d: the set has %d", f.reissue, disks).Hinted("`waybill seed status` lists them")
	}
	return heal.OfDisk(&w.Chain, set, f.reissue), nil
}
