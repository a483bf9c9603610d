package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/restore"
	"waybill/manifest"
)

type restoreFlags struct {
	to       string
	conflict string
	owners   string
	archive  rehydration
	read     readFlags
	line     lineFlags
}

var (
	conflicts = map[string]restore.Conflict{"copy": restore.Copy, "overwrite": restore.Overwrite, "skip": restore.Skip, "fail": restore.Fail}
	owners    = map[string]restore.Owners{"auto": restore.OwnersAuto, "number": restore.OwnersByNumber, "name": restore.OwnersByName, "none": restore.OwnersNone}
)

func newRestore(a *app) *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore POINT [PATH...] --to DIR",
		Short: "bring files back from a recovery point",
		Long: `Restores a recovery point, or some paths of it, below a directory: /home/ada comes back as DIR/home/ada. Nothing is ever
written outside of DIR. It takes the vault's passphrase or recovery key, as reading contents always does.

Interrupted, the same command goes on where it was. What is damaged or not there is listed, everything else is
restored, and the exit code says so.

On another machine the credentials file is enough, or a disk:  --credentials FILE, --from DISK.

Packs that are in the archive tier of a vault on Azure are brought back first, which takes hours: how many, it tells. --rehydrate high is faster and
costs more. It takes a credential that may write in the vault.

--conflict says what happens to what is in the way: copy keeps both and numbers the restored one, overwrite replaces, skip
leaves it, fail stops before anything is written.`,
		Example: `  waybill restore latest --to /tmp/back
  waybill restore 2026-07-01 /home/ada/thesis /etc/fstab --to /tmp/back
  waybill restore latest --to / --conflict skip
  waybill restore latest --from /mnt/disk1 --from /mnt/disk2 --to /tmp/back
  waybill restore latest --credentials waybill-credentials.json --to /srv/new`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.restore(cmd.Context(), args[0], args[1:], &f) },
	}
	cmd.Flags().StringVar(&f.to, "to", "", "restore below this `DIR`; it is made if needed")
	cmd.Flags().StringVar(&f.conflict, "conflict", "copy", "what to do `WHEN` something is in the way: copy, overwrite, skip or fail")
	cmd.Flags().StringVar(&f.owners, "owners", "auto", "who owns what is restored: number, name, none, or auto: by `HOW` root may, number")
	f.archive.flags(cmd.Flags())
	f.read.flags(cmd.Flags())
	f.line.receiving(cmd.Flags(), 12*time.Hour)
	return cmd
}

// restoreLine is the answer of restore and of verify --data of a point.
type restoreLine struct {
	Point       manifest.Digest   `json:"point"`
	To          string            `json:"to,omitempty"`
	Files       int64             `json:"files"`
	Directories int64             `json:"directories"`
	Others      int64             `json:"others"`
	Linked      int64             `json:"hard_links"` // of these, further names of a file
	Bytes       int64             `json:"bytes"`
	Kept        int64             `json:"kept"`                     // were complete already, from an interrupted run
	Skipped     int64             `json:"skipped"`                  // existed, with --conflict skip
	Unkept      int64             `json:"without_windows_metadata"` // which the target's file system can't hold
	Damaged     []restore.Problem `json:"damaged"`
	Failed      []restore.Problem `json:"failed"`
	Warnings    []restore.Problem `json:"warnings"`
	Counts      [3]int64          `json:"problem_counts"` // of damaged, failed, warnings: the lists are cut at 10,000
	Missing     []manifest.Digest `json:"missing_packs"`
	Seconds     float64           `json:"seconds"`
}

func (a *app) restore(ctx context.Context, point string, paths []string, f *restoreFlags) (err error) {
	opts, err := f.options(paths)
	if err == nil {
		err = a.useLine(&f.line)
	}
	if err != nil {
		return err
	}
	r, err := a.read(ctx, &f.read, true)
	if err != nil {
		return err
	}
	defer r.Close()
	defer func() { err = lapsed(r.state, err) }()
	p, err := r.point(ctx, point)
	if err != nil {
		return err
	}
	began := time.Now()
	stop := a.progress(restoring("restoring", opts.Progress, p, len(paths) == 0))
	var report *restore.Report
	err = r.fromArchive(ctx, a, f.archive, func() ([]string, error) {
		stop() // another display follows
		return r.packsOf(ctx, p, opts.Paths)
	}, func() (err error) {
		report, err = restore.Run(ctx, r.Domain, p, *opts)
		return err
	})
	stop()
	if report == nil {
		return err
	}
	l := newRestoreLine(report, p.Digest, f.to, time.Since(began))
	a.out.Answer("restore", l, l.write)
	a.listProblems(report)
	return r.explainMissing(ctx, err)
}

func (f *restoreFlags) options(paths []string) (*restore.Options, error) {
	if err := f.archive.check(); err != nil {
		return nil, err
	}
	if f.to == "" {
		return nil, cli.Errorf(cli.Usage, "restore where to?").Hinted("say it with --to DIR")
	}
	o := &restore.Options{To: f.to, Progress: &restore.Progress{}}
	var ok bool
	if o.Conflict, ok = conflicts[f.conflict]; !ok {
		return nil, cli.Errorf(cli.Usage, "--conflict %s is none of copy, overwrite, skip, fail", f.conflict)
	}
	if o.Owners, ok = owners[f.owners]; !ok {
		return nil, cli.Errorf(cli.Usage, "--owners %s is none of auto, number, name, none", f.owners)
	}
	for _, arg := range paths {
		at, err := savedPath(arg)
		if err != nil {
			return nil, err
		}
		o.Paths = append(o.Paths, append([]byte("/"), at...))
	}
	return o, nil
}

// restoring shows how far a restore is; of some paths only nobody knows the size before.
func restoring(phase string, done *restore.Progress, p *domain.Point, all bool) func() cli.Sample {
	return func() cli.Sample {
		s := cli.Sample{Phase: phase, Bytes: done.Bytes.Load(), Files: done.Entries.Load(), Unit: "entry"}
		if all {
			s.TotalBytes, s.TotalFiles = p.Stats.Bytes, p.Stats.Files+p.Stats.Directories+p.Stats.Others
		}
		return s
	}
}

func newRestoreLine(r *restore.Report, point manifest.Digest, to string, took time.Duration) *restoreLine {
	list := func(l []restore.Problem) []restore.Problem { return append([]restore.Problem{}, l...) }
	return &restoreLine{Point: point, To: to, Files: r.Files, Directories: r.Directories, Others: r.Others, Linked: r.Linked, Bytes: r.Bytes,
		Kept: r.Kept, Skipped: r.Skipped, Unkept: r.Unkept, Damaged: list(r.Damaged), Failed: list(r.Failed), Warnings: list(r.Warnings),
		Counts: [3]int64{r.DamagedCount, r.FailedCount, r.WarningsCount}, Missing: append([]manifest.Digest{}, r.Missing...), Seconds: took.Seconds()}
}

func (l *restoreLine) write(w io.Writer) {
	fmt.Fprintf(w, "restored %s, %s, %s, %s; %s\n", cli.Counted(l.Files, "file"), cli.Counted(l.Directories, "directory"),
		cli.Counted(l.Others, "other"), cli.Bytes(l.Bytes), cli.Duration(time.Duration(l.Seconds*float64(time.Second))))
	if l.Kept > 0 {
		fmt.Fprintf(w, "%s complete already\n", cli.Counted(l.Kept, "entry"))
	}
	if l.Skipped > 0 {
		fmt.Fprintf(w, "%s there before, left as they are\n", cli.Counted(l.Skipped, "entry"))
	}
	if l.Unkept > 0 {
		fmt.Fprintf(w, "%s without their Windows metadata, which this file system can't hold\n", cli.Counted(l.Unkept, "entry"))
	}
}

// listProblems lists what went wrong.
func (a *app) listProblems(r *restore.Report) {
	for _, list := range []struct {
		what  string
		items []restore.Problem
	}{{"damaged", r.Damaged}, {"not restored", r.Failed}, {"not quite as it was", r.Warnings}} {
		for _, p := range list.items {
			a.out.Warn("%s: %s: %s", list.what, p.Path, p.Problem)
		}
	}
}

// explainMissing gives damaged parts the exit code of an incomplete set when packs are not there.
func (r *reading) explainMissing(ctx context.Context, err error) error {
	if !errors.Is(err, restore.ErrDamagedParts) {
		return err
	}
	missing := 0
	lost := r.Chain.Lost() // nobody waits for those
	for _, link := range r.Chain.Links {
		for _, p := range link.Manifest.Packs {
			if !lost[p.Name] && !r.has(ctx, manifest.PackName(r.Machine.Machine, p.Name)) {
				missing++
			}
		}
	}
	if missing == 0 {
		return err
	}
	return cli.Errorf(cli.Incomplete, "%w; %s not there", err, cli.Counted(int64(missing), "pack")).
		Hinted("if they are on disks that have not been ingested, read from those, too: --from DISK")
}

func (r *reading) has(ctx context.Context, name string) bool {
	for _, t := range r.trees {
		if _, err := t.Size(ctx, name); err == nil {
			return true
		}
	}
	return false
}
