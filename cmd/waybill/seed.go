package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"waybill/internal/cli"
	"waybill/internal/durable"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
)

type seedFlags struct {
	to       []string
	packSize string
	save     saveFlags
}

func newSeed(a *app) *cobra.Command {
	var f seedFlags
	cmd := &cobra.Command{
		Use:   "seed --to DISK [--to DISK]... PATH...",
		Short: "make the first full backup, on disks that travel",
		Long: `Makes the first full backup of this machine on one or several disks, which are then shipped to the vault. A DISK is an
empty directory, most often a mounted disk's. Several are written at once.

What is on them is compressed, encrypted and signed; who finds one can't read it. Each also carries what it
takes, with the vault's passphrase, to restore straight from the disks.

Interrupted, or with a full disk, run it again with the same disks, and more if need be: it goes on from what is
done. At the end every disk is read back. While the disks travel, ` + "`waybill backup`" + ` already goes on from them.`,
		Example: `  waybill seed --to /mnt/disk1 /home /etc
  waybill seed --to /mnt/disk1 --to /mnt/disk2 -x /
  waybill seed --json --to /mnt/disk1 /srv`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.seed(cmd.Context(), args, &f) },
	}
	cmd.Flags().StringArrayVar(&f.to, "to", nil, "write to this `DISK`, an empty directory or one of an interrupted seed; may be given again")
	cmd.Flags().StringVar(&f.packSize, "pack-size", "", "`SIZE` of data packs (default: 512MiB, less on small disks)")
	f.save.flags(cmd.Flags())
	return cmd
}

// seedLine is the answer of seed.
type seedLine struct {
	*savedLine
	Set     manifest.ID  `json:"set"`
	Resumed bool         `json:"resumed"`
	Disks   []disk.Label `json:"disks"`
}

func (a *app) seed(ctx context.Context, paths []string, f *seedFlags) error {
	if len(f.to) == 0 {
		return cli.Errorf(cli.Usage, "to which disk?").Hinted("say it with --to DISK, an empty directory")
	}
	w, err := a.openForSeed(ctx, f.to)
	if err != nil {
		return err
	}
	defer w.Close()
	o, err := w.seedOptions(paths, f)
	if err != nil {
		return err
	}
	began := time.Now()
	r, err := a.runSeed(ctx, o)
	if r != nil {
		err = w.record(r.Result, err)
	}
	if errors.Is(err, durable.ErrFull) {
		return cli.Errorf(cli.DiskFull, "%w", err).Hinted("run it again with the same disks and one more: --to DISK. What is done is kept")
	}
	if err != nil {
		return err
	}
	if w.vault != nil {
		err = w.publish(ctx)
	}
	l := &seedLine{newSavedLine(r.Result, time.Since(began)), r.Set, r.Resumed, r.Disks}
	a.out.Answer("seed", l, l.write)
	a.out.Say("ship the disks; where they arrive: `waybill ingest --vault VAULT DISK...`")
	return errors.Join(err, a.problems(r.Point))
}

func (l *seedLine) write(w io.Writer) {
	l.savedLine.write(w)
	for _, d := range l.Disks {
		fmt.Fprintf(w, "disk %d of %d  %s: %s, %s\n", d.Disk, d.Disks, d.State, cli.Counted(int64(d.Packs), "pack"), cli.Bytes(d.Bytes))
	}
}

// openForSeed opens this machine's domain for a seed: the vault may be out of reach, and disks that were
// begun are read, too.
func (a *app) openForSeed(ctx context.Context, disks []string) (*writing, error) {
	return a.openWriting(func(w *writing) error {
		var none *cli.Error
		if err := w.openVault(ctx); errors.As(err, &none) && none.Code == cli.NoVault {
			a.out.Say("the vault is out of reach; the first backup will tell it of this seed")
		} else if err != nil {
			return err
		}
		for _, name := range disks {
			d, err := disk.Open(name)
			if errors.Is(err, disk.ErrNoDisk) {
				continue
			}
			if err != nil {
				return err
			}
			w.disks = append(w.disks, tree{d.Dir})
		}
		return w.open(ctx, w.disks...)
	})
}

func (w *writing) seedOptions(paths []string, f *seedFlags) (*seed.Options, error) {
	cfg, err := w.config(paths, &f.save)
	if err != nil {
		return nil, err
	}
	if f.packSize != "" {
		if cfg.DataPack, err = cli.ParseBytes(f.packSize); err != nil {
			return nil, cli.Errorf(cli.Usage, "--pack-size: %w", err)
		}
	}
	for _, name := range f.to {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		cfg.Skip = append(cfg.Skip, abs)
	}
	copies, err := w.state.Copies()
	if err != nil {
		return nil, err
	}
	return &seed.Options{Disks: f.to, Domain: w.Domain, Cache: w.own, Copies: copies, Key: w.state.Machine.SigningKey,
		NewSet: func() manifest.ID { return manifest.ID(uuid.NewString()) }, Save: cfg}, nil
}

// runSeed runs the engine and shows how far it is.
func (a *app) runSeed(ctx context.Context, o *seed.Options) (*seed.Report, error) {
	var sealing atomic.Bool
	o.Sealing = func(int, int) { sealing.Store(true) }
	saved := saving(o.Save.Progress)
	stop := a.out.Progress(func() cli.Sample {
		if sealing.Load() {
			return cli.Sample{Phase: "reading back", Bytes: o.SealBytes.Load()}
		}
		return saved()
	})
	defer stop()
	return seed.Run(ctx, o)
}
