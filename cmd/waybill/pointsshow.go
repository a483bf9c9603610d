package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/manifest"
)

func newPointsShow(a *app) *cobra.Command {
	var f readFlags
	cmd := &cobra.Command{
		Use:   "show [POINT]",
		Short: "tell all about a recovery point",
		Long: `Tells all that is known of a recovery point, the newest complete one unless another is named: what was to be saved, what it holds, and for
each volume whether its backup was optimised, by the change journal, or unoptimised, by looking at everything, and why (` + "`waybill help journals`" + `).
It lists what a journal had missed, and the items that could not be saved as they should.`,
		Example: `  waybill points show
  waybill points show 3f9a51c0
  waybill points show --json latest`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pointsShow(cmd.Context(), append(args, "latest")[0], &f)
		},
	}
	f.flags(cmd.Flags())
	return cmd
}

// pointDetail is all about a recovery point as JSON. Paths are escaped.
type pointDetail struct {
	pointLine
	Started       time.Time              `json:"started"`
	Ended         time.Time              `json:"ended"`
	Base          *manifest.Digest       `json:"base,omitempty"`
	Excludes      []string               `json:"excludes"`
	OneFileSystem bool                   `json:"one_file_system"`
	ProblemList   []catalog.Problem      `json:"problem_list"`
	DamagedPoints []catalog.DamagedPoint `json:"damaged_points"`
}

func (a *app) pointsShow(ctx context.Context, name string, f *readFlags) error {
	r, err := a.read(ctx, f, false)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := r.point(ctx, name)
	if err != nil {
		return err
	}
	l := newPointDetail(p)
	a.out.Answer("point-detail", l, l.write)
	return r.Flaw
}

func newPointDetail(p *domain.Point) *pointDetail {
	return &pointDetail{pointLine: newPointLine(p), Started: p.Started, Ended: p.Ended, Base: p.Base, Excludes: append([]string{}, p.Excludes...),
		OneFileSystem: p.OneFileSystem, ProblemList: append([]catalog.Problem{}, p.Point.Problems...), DamagedPoints: append([]catalog.DamagedPoint{}, p.Point.Damaged...)}
}

func (l *pointDetail) write(w io.Writer) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%-15s %s\n", what, fmt.Sprintf(format, args...))
	}
	line("recovery point", "%s", l.ID)
	line("commit", "%d", l.Sequence)
	line("made", "%s, in %s, on %s", l.Time.Local().Format(time.DateTime), cli.Duration(l.Ended.Sub(l.Started)), l.Host)
	line("state", "%s", l.State)
	line("saved", "%s", strings.Join(l.Roots, " "))
	if l.OneFileSystem {
		line("", "without what is mounted below")
	}
	if len(l.Excludes) > 0 {
		line("without", "%s", strings.Join(l.Excludes, " "))
	}
	line("holds", "%s in %s, %s", cli.Counted(l.Stats.Files, "file"), cli.Counted(l.Stats.Directories, "directory"), cli.Bytes(l.Stats.Bytes))
	line("took", "%s read, %s new, %s stored", cli.Bytes(l.Stats.ReadBytes), cli.Bytes(l.Stats.NewBytes), cli.Bytes(l.Stored))
	line("changes", "%s", found(l.Mode, l.Reason, l.Volumes))
	for _, v := range l.Volumes {
		v.write(line)
	}
	for _, d := range l.DamagedPoints {
		line("lost", "%s and %s of recovery point %.12s", cli.Counted(d.Files, "item"), cli.Bytes(d.Bytes), d.Point)
	}
	for _, p := range l.ProblemList {
		line("problem", "%s: %s", p.Path, p.Problem)
	}
	if n := l.Problems - len(l.ProblemList); n > 0 {
		line("", "and %s more", cli.Count(int64(n)))
	}
}

// write tells all about how the volume's changes were found.
func (v *volumeLine) write(line func(what, format string, args ...any)) {
	line("volume", "%s  %s", v.Path, v.how())
	if v.Advice != "" {
		line("", "%s", v.Advice)
	}
	if v.Mode == catalog.Optimised && v.Scanned != nil {
		line("", "all of it was looked at last on %s", v.Scanned.Local().Format(time.DateTime))
	}
	if !v.Cursor {
		line("", "the next backup will look at all of it: there was no journal to begin from")
	}
	for _, path := range v.Missed {
		line("", "missed: %s", path)
	}
	if n := v.Misses - len(v.Missed); n > 0 {
		line("", "missed: %d more", n)
	}
}
