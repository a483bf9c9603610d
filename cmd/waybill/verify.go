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
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/restore"
	"waybill/manifest"
)

type verifyFlags struct {
	data     bool
	listOnly bool
	archive  rehydration
	read     readFlags
	line     lineFlags
}

func newVerify(a *app) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify DISK...|VAULT|POINT",
		Short: "check disks, a vault or a recovery point",
		Long: ingestcmd.VerifyHelp + `

With --data it takes the passphrase, too, and opens, decompresses and hashes every chunk of one machine's packs, looks up
all that its recovery points refer to, and tries the keys: what passes restores.

Of a recovery point it checks that it would restore, all of it, without writing anything; that takes the passphrase.`,
		Example: `  waybill verify /mnt/disk1
  waybill verify /mnt/disk1 /mnt/disk2 /mnt/disk3
  waybill verify --list-only /srv/vault
  waybill verify --data /srv/vault
  waybill verify latest
  waybill verify --json /srv/vault`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args, &f) },
	}
	cmd.Flags().BoolVar(&f.data, "data", false, "open every chunk, too; takes the passphrase")
	cmd.Flags().BoolVar(&f.listOnly, "list-only", false, ingestcmd.ListOnlyHelp)
	cmd.MarkFlagsMutuallyExclusive("data", "list-only")
	f.archive.flags(cmd.Flags())
	f.read.flags(cmd.Flags())
	f.line.receiving(cmd.Flags(), 12*time.Hour)
	return cmd
}

func (a *app) verify(ctx context.Context, what []string, f *verifyFlags) error {
	if err := a.useLine(&f.line); err != nil {
		return err
	}
	f.read.check = true
	if err := f.archive.check(); err != nil {
		return err
	}
	if !isTree(what[0]) && len(what) == 1 {
		if f.listOnly {
			return cli.Errorf(cli.Usage, "--list-only is for disks and vaults, and %s is a recovery point", what[0])
		}
		return a.verifyPoint(ctx, what[0], f)
	}
	err := ingestcmd.VerifyTrees(ctx, a.out, a.secrets, what, f.listOnly)
	if !f.data || ctx.Err() != nil {
		return err
	}
	f.read.from = what
	derr := a.verifyData(ctx, f)
	if derr == nil && place.InArchive(err) { // no more
		err = ingestcmd.VerifyTrees(ctx, a.out, a.secrets, what, f.listOnly)
	}
	return errors.Join(err, derr)
}

// verifyPoint checks what one recovery point needs.
func (a *app) verifyPoint(ctx context.Context, name string, f *verifyFlags) (err error) {
	r, err := a.read(ctx, &f.read, true)
	if err != nil {
		return err
	}
	defer r.Close()
	defer func() { err = lapsed(r.state, err) }()
	p, err := r.point(ctx, name)
	if err != nil {
		return err
	}
	return r.fromArchive(ctx, a, f.archive, func() ([]string, error) { return r.packsOf(ctx, p, nil) }, func() error {
		return a.check(ctx, r, []domain.Point{*p}, true)
	})
}

// verifyData checks every chunk of a machine's packs.
func (a *app) verifyData(ctx context.Context, f *verifyFlags) (err error) {
	r, err := a.read(ctx, &f.read, true)
	if err != nil {
		return err
	}
	defer r.Close()
	defer func() { err = lapsed(r.state, err) }()
	errs := []error{r.verifyKeys(ctx, r.trees[len(r.trees)-1])}
	var readable []domain.Point
	for _, p := range r.Points(ctx) {
		if p.Err != nil {
			errs = append(errs, fmt.Errorf("recovery point %.12s: %w", p.Digest, p.Err))
		} else {
			readable = append(readable, p)
		}
	}
	err = r.fromArchive(ctx, a, f.archive, func() ([]string, error) { return r.dataPacks(0), nil }, func() error { return a.check(ctx, r, readable, false) })
	return errors.Join(append([]error{err}, errs...)...)
}

// checkLine is the answer of a check that opens chunks.
type checkLine struct {
	Points        int                   `json:"points"`
	Packs         int64                 `json:"packs"`
	Frames        int64                 `json:"frames"`
	Chunks        int64                 `json:"chunks"`
	PlainBytes    int64                 `json:"plain_bytes"`
	Entries       int64                 `json:"entries"`
	Damaged       []restore.PackProblem `json:"damaged"`
	Missing       []manifest.Digest     `json:"missing_packs"`
	Affected      []restore.Affected    `json:"affected"`
	AffectedCount int64                 `json:"affected_count"`
	Seconds       float64               `json:"seconds"`
}

func (a *app) check(ctx context.Context, r *reading, points []domain.Point, reachable bool) error {
	began := time.Now()
	p := &restore.CheckProgress{}
	stop := a.progress(func() cli.Sample {
		return cli.Sample{Phase: "opening", Bytes: p.Bytes.Load(), TotalBytes: p.TotalBytes.Load(), Files: p.Frames.Load(), Unit: "frame"}
	})
	report, err := restore.Check(ctx, r.Domain, points, restore.CheckOptions{Dedupe: r.dedupe, Reachable: reachable, Progress: p})
	stop()
	if report == nil {
		return err
	}
	l := checkLine{len(points), report.Packs, report.Frames, report.Chunks, report.PlainBytes, report.Entries, append([]restore.PackProblem{}, report.Damaged...),
		append([]manifest.Digest{}, report.Missing...), append([]restore.Affected{}, report.Affected...), report.AffectedCount, time.Since(began).Seconds()}
	a.out.Answer("check", l, l.write)
	return errors.Join(r.explainMissing(ctx, err), r.Flaw)
}

func (l *checkLine) write(w io.Writer) {
	fmt.Fprintf(w, "opened %s in %s, %s; looked at %s of %s; %s\n", cli.Counted(l.Chunks, "chunk"), cli.Counted(l.Packs, "pack"), cli.Bytes(l.PlainBytes),
		cli.Counted(l.Entries, "entry"), cli.Counted(int64(l.Points), "recovery point"), cli.Duration(time.Duration(l.Seconds*float64(time.Second))))
	for _, p := range l.Damaged {
		fmt.Fprintf(w, "  damaged: pack %s: %s\n", p.Pack, p.Problem)
	}
	for _, name := range l.Missing {
		fmt.Fprintf(w, "  missing: pack %s\n", name)
	}
	for _, e := range l.Affected {
		fmt.Fprintf(w, "  affected: %.12s %s: %s\n", e.Point, e.Path, e.Problem.Problem)
	}
}
