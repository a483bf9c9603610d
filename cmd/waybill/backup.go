package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waybill/incremental"
	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/heal"
	"waybill/internal/save"
	"waybill/manifest"
)

func newBackup(a *app) *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use:   "backup [PATH...]",
		Short: "make the next recovery point, over the network",
		Long: `Makes the next recovery point of this machine, straight into its vault. After a seed, or an earlier backup, only what changed is
read and sent; without one it is a full backup. Without paths it saves what the last recovery point has, and leaves out what that
left out, unless other excludes are given; with paths, only the excludes given with them count.

Where a file system has a change journal that knows what changed, nothing else of it is looked at, and the backup is optimised; else
everything is looked at, and the answer says why. ` + "`waybill help journals`" + ` tells more, ` + "`waybill journal status`" + ` how it will be next time.
With --image, a Windows machine is saved from outside, by the images of its disks, or by devices: the paths are then those in them, and without
paths all that is in them, or what the last recovery point has of them.

When disks of a seed arrived damaged, or without some of their packs, the vault's receipts say so. Then this command
also stores again, over the network, what was in those packs, and no more than that; --no-heal leaves it for
later. While a disk of the set's parity is on its way it waits, for that makes up for them without losing what has changed since; --heal-now
does not. A disk that is still on its way is waited for, however long it takes. What the files do not have any more
is listed, for every earlier recovery point that lacks it, and the exit code is 20; the newest is whole.

While a seed is not complete it does nothing: the rest of the seed goes to disks, by ` + "`waybill seed --resume`" + `. With --end-seed it goes over
the network instead, and the disks that were filled are sealed by ` + "`waybill seed seal`" + `.

Interrupted, it keeps what is done; the next one goes on from there, and sends nothing again that is in the vault. While the vault is
out of reach it waits, for hours if need be; ` + "`waybill help throttle`" + ` tells about that, and how to leave some of the line to others. Items that can't be read are listed, and
the exit code is 3.`,
		Example: `  waybill backup                        what the last recovery point has
  waybill backup /home /etc             from now on these
  waybill backup -x /                   the whole machine, without what is mounted below
  waybill backup --no-heal              what disks lost can wait
  waybill backup --heal-now             the disk of parity will not come
  waybill backup --journal required     rather fail than look at everything
  waybill backup --sweep now            look at everything, and tell what the journals had missed
  waybill backup --image web1.qcow2:3 --as C: --image web1-data.vhdx --as D:
  waybill backup --limit-upload 20Mbit
  waybill backup --throttle "mon-fri 08:00-18:00 2Mbit" --throttle "sat,sun unlimited"
  waybill backup --json --quiet`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.backup(cmd.Context(), args, &f)
		},
	}
	cmd.Flags().BoolVar(&f.noHeal, "no-heal", false, "don't store again what the vault has found missing on disks that arrived")
	cmd.Flags().BoolVar(&f.healNow, "heal-now", false, "don't wait for a disk of parity that may mend it")
	cmd.MarkFlagsMutuallyExclusive("no-heal", "heal-now")
	cmd.Flags().BoolVar(&f.endSeed, "end-seed", false, "send over the network what a seed that is not complete has yet to write to disks")
	f.save.flags(cmd.Flags())
	f.journal.flags(cmd.Flags())
	f.line.sending(cmd.Flags(), 12*time.Hour)
	a.secrets.Line.TierFlag(cmd.Flags())
	return cmd
}

type backupFlags struct {
	save                     saveFlags
	journal                  journalFlags
	line                     lineFlags
	noHeal, healNow, endSeed bool
}

func (a *app) backup(ctx context.Context, paths []string, f *backupFlags) (err error) {
	o, err := a.volumeOptions(&f.journal)
	if err == nil {
		err = a.useLine(&f.line)
	}
	if err != nil {
		return err
	}
	w, err := a.openOwnForWriting(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	defer func() { err = lapsed(w.state, err) }()
	if unfinished, err := w.seeding(ctx); err != nil {
		return err
	} else if unfinished && !f.endSeed {
		return cli.Errorf(cli.Usage, "the seed is not complete, and the rest of it would go over the network").
			Hinted("go on with it: `waybill seed --resume --to DISK`; or say that this is meant, with --end-seed")
	}
	saved, err := roots(o.Images, paths)
	if err != nil {
		return err
	}
	cfg, err := w.config(saved, &f.save)
	if err != nil {
		return err
	}
	wants, err := a.wanted(ctx, w, f)
	if err != nil {
		return err
	}
	w.Shun(wants)
	r, err := a.save(ctx, w, cfg, o)
	if err != nil {
		return err
	}
	if len(wants) > 0 {
		err = a.heal(ctx, w, cfg, o, wants)
	}
	return errors.Join(err, a.missed(r.Point), a.problems(r.Point))
}

// wanted is the packs to be stored again.
func (a *app) wanted(ctx context.Context, w *writing, f *backupFlags) ([]manifest.Pack, error) {
	if f.noHeal {
		return nil, nil
	}
	l, err := heal.Wants(ctx, w.vault, w.Domain, w.state.Credentials.ReceiptKey)
	if f.healNow {
		return slices.Concat(l.Now, l.Later), err
	}
	if n := len(l.Later); n > 0 {
		a.out.Say("%s of disks that arrived can't be used; disk %s of the set may mend that, and is waited for. If it will not come: `waybill backup --heal-now`",
			cli.Counted(int64(n), "pack"), strings.Trim(fmt.Sprint(l.Disks), "[]"))
	}
	return l.Now, err
}

// seeding tells whether the machine's newest point is a checkpoint of a seed.
func (w *writing) seeding(ctx context.Context) (bool, error) {
	last := w.Chain.Last()
	if last == nil || last.Manifest.Set == "" {
		return false, nil
	}
	p, err := w.Resolve(ctx, last.Digest.String())
	if domain.Lost(err) {
		return false, nil // the run will say what it makes of that
	}
	return err == nil && p.State == catalog.PartialState, err
}

// save makes the point and tells of it.
func (a *app) save(ctx context.Context, w *writing, cfg save.Config, o volumes.Options) (*save.Result, error) {
	began := time.Now()
	cfg.Progress = &save.Progress{}
	sending, end := a.line.sending(ctx)
	defer end()
	stop := a.progress(saving(cfg.Progress))
	r, err := incremental.Run(ctx, w.vault, w.Domain, cfg, incremental.Options{Volumes: o, Ledger: w.state.Sent(), Sending: sending})
	stop()
	if err := w.record(r, imagesAgain(required(err))); err != nil {
		return nil, err
	}
	l := newSavedLine(r, time.Since(began))
	a.size(ctx, r.Point, o, l.Volumes)
	a.out.Answer("backup", l, l.write)
	a.advise(o.Mode, l.Volumes)
	return r, nil
}

// saving shows the engine's counters.
func saving(p *save.Progress) func() cli.Sample {
	return func() cli.Sample { return cli.Sample{Phase: "saving", Bytes: p.Bytes.Load(), Files: p.Files.Load()} }
}

// savedLine is the answer of backup and seed.
type savedLine struct {
	ID       manifest.Digest   `json:"id"`
	Sequence int               `json:"sequence"`
	State    string            `json:"state"`
	Mode     string            `json:"mode"`
	Reason   string            `json:"reason"`
	Stats    catalog.Stats     `json:"stats"`
	Packs    int               `json:"packs"`
	Stored   int64             `json:"stored_bytes"`
	Seconds  float64           `json:"seconds"`
	Volumes  []volumeLine      `json:"volumes"`
	Problems []catalog.Problem `json:"problems"`
	Count    int               `json:"problem_count"`
}

// newSavedLine says what a run came to.
func newSavedLine(r *save.Result, took time.Duration) *savedLine {
	p := r.Point
	return &savedLine{ID: r.ID, Sequence: r.Manifest.Sequence, State: p.State, Mode: p.Mode, Reason: p.Reason, Stats: p.Stats, Packs: len(r.Packs),
		Stored: r.StoredBytes(), Seconds: took.Seconds(), Volumes: newVolumeLines(p), Problems: append([]catalog.Problem{}, p.Problems...), Count: p.ProblemCount}
}

func (l *savedLine) write(w io.Writer) {
	fmt.Fprintf(w, "recovery point %.12s  %s, %s\n", l.ID, l.State, found(l.Mode, l.Reason, l.Volumes))
	fmt.Fprintf(w, "%s, %s; %s read, %s new, %s stored in %s; %s\n",
		cli.Counted(l.Stats.Files, "file"), cli.Bytes(l.Stats.Bytes), cli.Bytes(l.Stats.ReadBytes), cli.Bytes(l.Stats.NewBytes),
		cli.Bytes(l.Stored), cli.Counted(int64(l.Packs), "pack"), cli.Duration(time.Duration(l.Seconds*float64(time.Second))))
	if l.Mode != catalog.First {
		writeVolumes(w, l.Volumes)
	}
}

// problems lists the items that could not be saved; they are the command's error.
func (a *app) problems(p *catalog.Point) error {
	for _, problem := range p.Problems {
		a.out.Warn("%s: %s", problem.Path, problem.Problem)
	}
	if p.ProblemCount > 0 {
		return cli.Errorf(cli.Unreadable, "%s could not be saved as it should", cli.Counted(int64(p.ProblemCount), "item")).
			Hinted("all else is in the recovery point; the list above says why")
	}
	return nil
}
