package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"time"

	"waybill/internal/cli"
	"waybill/internal/line"
	"waybill/seed/plan"
)

// planLine is the answer of plan.
type planLine struct {
	Survey    *plan.Survey `json:"survey"`
	Bandwidth float64      `json:"bandwidth"` // bits a second, as given or measured; 0 when it is not known
	Plan      plan.Answer  `json:"plan"`
	Advice    string       `json:"advice"`

	question plan.Question
	hours    string
}

// newPlanLine answers for what was surveyed, and for how wrong that may be.
func newPlanLine(s *plan.Survey, q plan.Question) (*planLine, error) {
	q.Source, q.Stored, q.Rate = s.Bytes.Value, s.Stored.Value, cmp.Or(q.Rate, s.Rate)
	a, err := plan.Compare(q)
	if err != nil {
		return nil, err
	}
	sure := true
	for _, off := range []int64{-s.Stored.Error, s.Stored.Error} {
		other := q
		other.Stored = max(q.Stored+off, 0)
		b, err := plan.Compare(other)
		if err != nil {
			return nil, err
		}
		sure = sure && a.Ship == b.Ship
	}
	l := &planLine{Survey: s, Bandwidth: q.Line.Rate, Plan: a, question: q}
	l.Advice = l.advise(sure)
	return l, nil
}

// advise is the answer in a sentence.
func (l *planLine) advise(sure bool) string {
	a, disks := &l.Plan, fmt.Sprintf("%s of %s", cli.Counted(int64(l.Plan.Disks), "disk"), cli.Bytes(l.question.DiskSize))
	even := line.FormatRate(a.Breakeven)
	switch {
	case a.Never:
		return fmt.Sprintf("Ship: the line takes nothing; on %s it takes %s.", disks, span(a.Disk))
	case l.Bandwidth == 0 && l.question.Line.Busy == 0:
		return fmt.Sprintf("Ship, on %s, unless the line to the vault gives more than %s: by disk it takes %s.", disks, even, span(a.Disk))
	case !sure:
		return fmt.Sprintf("Either: by wire it takes %s and by disk %s, and what was sampled doesn't tell which is less.", span(a.Wire), span(a.Disk))
	case a.Ship:
		return fmt.Sprintf("Ship: by disk it takes %s, on %s, and by wire %s.", span(a.Disk), disks, span(a.Wire))
	}
	return fmt.Sprintf("Send: by wire it takes %s, and by disk %s.", span(a.Wire), span(a.Disk))
}

func (l *planLine) write(w io.Writer) {
	s, a, q := l.Survey, &l.Plan, &l.question
	fmt.Fprintf(w, "source    %s files in %s, %s\n", within(s.Files, cli.Count), cli.Counted(s.Directories, "directory"), within(s.Bytes, cli.Bytes))
	for _, b := range s.Sizes {
		if b.Files == 0 {
			continue
		}
		to := "larger files"
		if b.To > 0 {
			to = fmt.Sprintf("up to %s", binary(b.To))
		}
		fmt.Fprintf(w, "  %-14s  %12s  %8s\n", to, cli.Count(b.Files), cli.Bytes(b.Bytes))
	}
	if s.Duplicate.Value > 0 {
		fmt.Fprintf(w, "copies    %s, in files that are there already\n", within(s.Duplicate, cli.Bytes))
	}
	fmt.Fprintf(w, "stored    %s by a seed, %.0f %% of the source; %s were read\n", within(s.Stored, cli.Bytes), 100*part(s.Stored.Value, s.Bytes.Value), cli.Bytes(s.Sampled))
	if l.Bandwidth > 0 || q.Line.Busy > 0 {
		l.writeWire(w)
	}
	fmt.Fprintf(w, "by disk   %s: %s to fill, %s on the way, %s to ingest\n", span(a.Disk), span(a.Seed), span(a.Courier), span(a.Ingest))
	fmt.Fprintf(w, "disks     %d of %s without parity; %d with parity %s on each and %s\n", a.Bare, cli.Bytes(q.DiskSize), a.Disks, q.Parity, cli.Counted(int64(q.ParityDisks), "parity disk"))
	if a.Breakeven > 0 {
		fmt.Fprintf(w, "even at   %s, when both ways take as long\n", line.FormatRate(a.Breakeven))
	} else {
		fmt.Fprintf(w, "even at   no rate: what flows outside of the hours is enough\n")
	}
	fmt.Fprintln(w, l.Advice)
}

func (l *planLine) writeWire(w io.Writer) {
	if l.Plan.Never {
		fmt.Fprintf(w, "by wire   never\n")
		return
	}
	fmt.Fprintf(w, "by wire   %s at %s", span(l.Plan.Wire), line.FormatRate(l.Bandwidth))
	if l.hours != "" {
		fmt.Fprintf(w, ", %s, and %s else", l.hours, line.FormatRate(l.question.Line.Busy))
	}
	fmt.Fprintln(w)
}

// within writes an estimate with its error, when it has one.
func within(e plan.Estimate, text func(int64) string) string {
	if e.Error == 0 {
		return text(e.Value)
	}
	return text(e.Value) + " ± " + text(e.Error)
}

func part(of, all int64) float64 { return float64(of) / float64(max(all, 1)) }

// binary writes a power of two.
func binary(n int64) string {
	unit := 0
	for ; n >= 1024; n /= 1024 {
		unit++
	}
	return fmt.Sprintf("%d %sB", n, [...]string{"", "Ki", "Mi", "Gi"}[unit])
}

// span writes seconds for people.
func span(seconds float64) string {
	const year = 365 * 24 * 60 * 60
	if seconds > 10*year {
		return fmt.Sprintf("%.0f years", seconds/year)
	}
	return cli.Duration(time.Duration(math.Round(seconds * float64(time.Second))))
}
