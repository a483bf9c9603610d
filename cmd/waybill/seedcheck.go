package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"waybill/cmd/internal/ingestcmd"
	"waybill/internal/cli"
	"waybill/internal/save"
	"waybill/seed"
)

const maxParityDisks = 16

// errUnsaid is what a seed ends with that nothing is known of but some packs: no commit says what it saves.
var errUnsaid = cli.Errorf(cli.Usage, "the seed stopped before its first checkpoint, so it must be said again what to save").
	Hinted("go on with it: waybill seed --resume --to DISK PATH...; what is on the disks is kept")

// check refuses what makes no sense before anything is opened. Disks may take days to fill: a note that is too long must not be found out at
// the end.
func (f *seedFlags) check(paths []string, fl *pflag.FlagSet) error {
	switch {
	case len(f.to) == 0:
		return cli.Errorf(cli.Usage, "to which disk?").Hinted("say it with --to DISK, an empty directory")
	case f.parityDisks < 0 || f.parityDisks > maxParityDisks:
		return cli.Errorf(cli.Usage, "--parity-disks is from 0 to %d", maxParityDisks)
	case fl.Changed("reissue") && f.reissue < 1:
		return cli.Errorf(cli.Usage, "--reissue %d: disks are numbered from 1 on", f.reissue).Hinted("`waybill seed status` lists them")
	case (f.want || f.reissue > 0) && len(paths) > 0:
		return cli.Errorf(cli.Usage, "--want and --reissue take no paths: what was lost is read from where it was")
	}
	return ingestcmd.CheckNote(f.note)
}

// checkSelection refuses a seed of which nobody says what it saves, or that saves what isn't there, before a disk is begun.
func (w *writing) checkSelection(cfg save.Config, f *seedFlags) error {
	images := len(f.journal.images.images) > 0
	for _, root := range cfg.Roots {
		if _, err := os.Lstat(root); err != nil && !images { // what is in images is looked for when they are opened
			return fmt.Errorf("looking at what is to be saved: %w", err)
		}
	}
	started := begun(w.Chain)
	switch {
	case f.want || f.reissue > 0:
		return nil
	case f.resume && len(w.disks) == 0 && !started:
		return cli.Errorf(cli.Usage, "%w", seed.ErrNothing).Hinted("begin one: waybill seed --to DISK PATH...")
	case len(cfg.Roots) > 0 || images || len(w.Chain.Links) > 0:
		return nil
	case len(w.disks) > 0:
		return errUnsaid
	}
	return cli.Errorf(cli.Usage, "what shall be saved?").Hinted("waybill seed --to DISK PATH...")
}
