package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/ingestcmd"
	"waybill/cmd/internal/place"
	"waybill/incremental/volumes"
	"waybill/internal/cli"
	"waybill/seed"
	"waybill/seed/disk"
)

func newSeedStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [DISK...]",
		Short: "tell how far the seed is",
		Long: `Tells how far this machine's seed is: what its commits have on each disk of the set, and of the disks that are named, and so are here, their
state and room. A disk that is "filling" is not to be shipped. While the seed runs, its last checkpoint is told.`,
		Example: `  waybill seed status
  waybill seed status /mnt/disk1 /mnt/disk2
  waybill seed status --json`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.seedStatus(cmd.Context(), args) },
	}
}

func (a *app) seedStatus(ctx context.Context, disks []string) error {
	f := &seedFlags{to: disks, begun: true}
	s, err := a.seedStatusOf(ctx, f)
	if s == nil {
		return err
	}
	a.out.Answer("seed-status", s, func(out io.Writer) { writeStatus(out, s) })
	return err
}

// look tells how far the seed is.
func (w *writing) look(ctx context.Context, a *app, f *seedFlags) (*seed.Status, error) {
	s, err := seed.Look(ctx, &seed.Options{Disks: f.to, Medium: a.medium, Domain: w.Domain})
	if !errors.Is(err, seed.ErrNothing) {
		return s, err
	}
	if packs, lerr := w.state.Ledger().Packs(); len(w.disks) > 0 || lerr == nil && len(packs) > 0 {
		return nil, errUnsaid
	}
	return nil, err
}

func writeStatus(w io.Writer, s *seed.Status) {
	how := "not complete: waybill seed --resume --to DISK goes on"
	if s.Complete {
		how = "complete"
	}
	fmt.Fprintf(w, "seed %s  %s\n%s, %s by %s\n", s.Set, how, cli.Counted(s.Files, "file"), cli.Bytes(s.Bytes), s.Updated.Local().Format(time.DateTime))
	for _, d := range s.Disks {
		fmt.Fprintf(w, "disk %d  %s, %s", d.Disk, cli.Counted(int64(d.Packs), "pack"), cli.Bytes(d.Bytes))
		if d.Path == "" {
			fmt.Fprint(w, "  not here\n")
			continue
		}
		fmt.Fprintf(w, "  %s", d.State)
		if d.Role != "" {
			fmt.Fprintf(w, ", %s", d.Role)
		}
		if !place.Remote(d.Path) { // nobody can ask there
			fmt.Fprintf(w, ", %s free", cli.Bytes(d.Free))
		}
		fmt.Fprintf(w, ", at %s\n", d.Path)
		if s.Complete && d.State == disk.Filling {
			fmt.Fprintf(w, "        seal it before you ship it: waybill seed seal %s\n", d.Path)
		}
	}
}

func newSeedSeal(a *app) *cobra.Command {
	f := seedFlags{begun: true}
	cmd := &cobra.Command{
		Use:   "seal DISK...",
		Short: "make disks of a complete seed ready to travel",
		Long: `Seals disks of a seed whose recovery point is complete: brings them all its manifests, makes their parity, reads everything back from the medium
with the system's cache passed by, compares it, and writes SHA256SUMS, README.txt and the label. A seed does this itself at
its end to all disks that are there; this is for the others, or after it was interrupted. Name the parity disks of the set, too:
what is sealed together is covered by them. A disk that is sealed is checked once more.`,
		Example: `  waybill seed seal /mnt/disk2
  waybill seed seal /mnt/disk2 /mnt/parity`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.to = args
			if err := ingestcmd.CheckNote(f.note); err != nil {
				return err
			}
			return a.seedSeal(cmd.Context(), &f)
		},
	}
	f.parityFlag(cmd.Flags())
	cmd.Flags().StringVar(&f.note, "note", "", "`TEXT` for the custody log of the disks, such as a tracking number")
	cmd.Flags().BoolVar(&f.offline, "offline", false, "don't tell the vault")
	return cmd
}

func (a *app) seedSeal(ctx context.Context, f *seedFlags) error {
	w, err := a.openForSeed(ctx, f)
	if err != nil {
		return err
	}
	defer w.Close()
	s, err := w.look(ctx, a, f)
	if err != nil {
		return err
	}
	if !s.Complete {
		return cli.Errorf(cli.Usage, "the seed is not complete, and its disks are still to be filled").Hinted("go on with it: waybill seed --resume --to DISK")
	}
	if n := parityAway(s); n > 0 {
		a.out.Warn("disk %d is not here, and has no packs: if it carries the set's parity, what is sealed without it is not covered by it. Seal them together when it is here", n)
	}
	f.save.compression = "auto"
	o, err := w.seedOptions(a, nil, f, volumes.Options{})
	if err != nil {
		return err
	}
	o.Again = true
	if w.vault != nil {
		if err := w.fetchCustody(ctx, a, s.Set, o.Disks); err != nil {
			a.out.Warn("what the vault has noted of the disks could not be brought to them: %v", err)
		}
	}
	return a.runAndTell(ctx, w, o, f)
}

// parityAway is a disk that is not here and may be one of parity: commits have nothing on it. 0 when there is none.
func parityAway(s *seed.Status) int {
	for _, d := range s.Disks {
		if d.Packs == 0 && d.Path == "" {
			return d.Disk
		}
	}
	return 0
}
