package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/heal"
	"waybill/manifest"
)

func newPoints(a *app) *cobra.Command {
	var f readFlags
	cmd := &cobra.Command{
		Use:   "points",
		Short: "list the recovery points",
		Long: `Lists the recovery points of this machine, oldest first. A recovery point is the complete state of what was
saved at one moment; each restores alone. A partial one is a checkpoint of a backup that had not ended: it can
be restored by its id, but is never taken for complete.

Where a command takes a POINT, it may be

  an id     as shown here, or its beginning, at least 4 digits, when no other begins so
  latest    the newest complete one
  a time    the newest complete one not after it: 2026-07-01T12:00:00Z, "2026-07-01 12:00:00", "2026-07-01 12:00"
  a day     the newest complete one by the end of that day: 2026-07-01

Times without a zone are local.

While disks of a seed travel, what is on them is not in the vault. "in transit, 3 of 8 disks imported" says so; with
the vault and the disks at hand, a point restores from both together: --from VAULT --from DISK. No time that passes makes a disk lost: say so
yourself, with seed --reissue. "2 packs wanted" are lost, by the vault's
receipts; the next backup stores again what was in them, as far as the files still have it. What they do not have
makes a point damaged: all but so many files of it restore.

HOW tells how a backup found what changed: optimised, by change journals, or unoptimised, by looking at everything, and why;
` + "`waybill points show`" + ` tells it for each volume.`,
		Example: `  waybill points
  waybill points show 3f9a51c0                          all about one
  waybill points --json
  waybill points --from /mnt/disk1                      what a disk holds, on any machine
  waybill points --credentials waybill-credentials.json --machine 0f8c2d3e-4b5a-4697-8877-665544332211`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.points(cmd.Context(), &f) },
	}
	f.flags(cmd.Flags())
	cmd.AddCommand(newPointsShow(a))
	return cmd
}

// pointLine is a recovery point as JSON.
type pointLine struct {
	ID       manifest.Digest `json:"id"`
	Sequence int             `json:"sequence"`
	Time     time.Time       `json:"time"`
	Set      manifest.ID     `json:"set,omitempty"`
	State    string          `json:"state"`
	Mode     string          `json:"mode,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Host     string          `json:"host,omitempty"`
	Roots    []string        `json:"roots,omitempty"`
	Stored   int64           `json:"stored_bytes"` // of the packs the commit added
	Volumes  []volumeLine    `json:"volumes,omitempty"`
	Stats    *catalog.Stats  `json:"stats,omitempty"`
	Problems int             `json:"problems"`
	Arrival  *arrivalLine    `json:"arrival,omitempty"`       // when a vault is read
	Damaged  int64           `json:"damaged_files,omitempty"` // that can't be had any more
	Error    string          `json:"error,omitempty"`
}

// arrivalLine is how much of what a point needs is in the vault.
type arrivalLine struct {
	Packs    int `json:"packs"`
	Missing  int `json:"missing"`
	Wanted   int `json:"wanted"` // of those: lost
	Disks    int `json:"disks"`
	Imported int `json:"disks_imported"`
}

func (a *app) points(ctx context.Context, f *readFlags) error {
	r, err := a.read(ctx, f, false)
	if err != nil {
		return err
	}
	defer r.Close()
	unreadable := 0
	points := r.Points(ctx)
	arrivals, err := r.arrivals(ctx)
	if err != nil {
		return err
	}
	lacks := heal.Lacks(points)
	for i, p := range points {
		l := newPointLine(&p)
		l.Damaged = lacks[p.Digest]
		if arrivals != nil {
			l.Arrival = (*arrivalLine)(&arrivals[i])
		}
		if p.Err != nil {
			unreadable++
		}
		a.out.Answer("point", l, func(w io.Writer) {
			if i == 0 {
				fmt.Fprintf(w, "%-12s  %-19s  %-10s  %10s  %12s  %10s  %s\n", "POINT", "TIME", "STATE", "FILES", "SIZE", "STORED", "HOW")
			}
			writePoint(w, &l)
		})
	}
	for _, n := range r.Chain.Missing {
		a.out.Warn("the manifest of commit %d is not there: its disk has not arrived, or is not here", n)
	}
	if unreadable > 0 {
		return cli.Errorf(cli.Incomplete, "%s can't be read", cli.Counted(int64(unreadable), "recovery point")).
			Hinted("if a disk has not been ingested yet, add it with --from DISK")
	}
	return r.Flaw // what is listed is sound, but it is not all
}

func newPointLine(p *domain.Point) pointLine {
	m := p.Manifest
	l := pointLine{ID: p.Digest, Sequence: m.Sequence, Time: m.Time, Set: m.Set, State: "unreadable"}
	for _, pack := range m.Packs {
		l.Stored += pack.Size
	}
	if p.Err != nil {
		l.Error = p.Err.Error()
		return l
	}
	l.State, l.Mode, l.Reason, l.Host, l.Roots = p.State, p.Mode, p.Reason, p.Host, p.Roots
	l.Stats, l.Problems, l.Volumes = &p.Stats, p.ProblemCount, newVolumeLines(p.Point)
	return l
}

func writePoint(w io.Writer, l *pointLine) {
	when := l.Time.Local().Format(time.DateTime)
	if l.Stats == nil {
		fmt.Fprintf(w, "%.12s  %-19s  %-10s  %10s  %12s  %10s  %s\n", l.ID, when, l.State, "", "", cli.Bytes(l.Stored), l.Error)
		return
	}
	how := found(l.Mode, l.Reason, l.Volumes)
	if l.Set != "" {
		how += ", on disks"
	}
	if l.Problems > 0 {
		how += ", " + cli.Counted(int64(l.Problems), "problem")
	}
	state, rest := l.whole()
	fmt.Fprintf(w, "%.12s  %-19s  %-10s  %10s  %12s  %10s  %s\n", l.ID, when, state,
		cli.Count(l.Stats.Files), cli.Bytes(l.Stats.Bytes), cli.Bytes(l.Stored), how+rest)
}
