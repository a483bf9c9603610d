package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/machine"
	"waybill/internal/save"
	"waybill/manifest"
)

func newJournal(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "look after the change journals of volumes",
		Long: `Change journals tell a backup what changed, so that it need not look at everything. "waybill help journals" tells
which there are, and what they do and don't see.`,
		Example: `  waybill journal status
  waybill journal resize C: --size 512MiB`,
	}
	cmd.AddCommand(newJournalStatus(a), newJournalCreate(a), newJournalResize(a))
	return cmd
}

func newJournalStatus(a *app) *cobra.Command {
	var f journalFlags
	cmd := &cobra.Command{
		Use:   "status [PATH...]",
		Short: "tell for each volume whether its next backup is optimised, and how its journal does",
		Long: `Tells for each volume of the last backup, or those that the paths are on, which change journal it has, whether the next backup can
go by it, and if not, why and what can be done. Of journals that wrap around it tells how much is written to them a day, and
how large they should be: one that holds less than 7 days has little to spare when a machine or its line is down over a weekend.`,
		Example: `  waybill journal status
  waybill journal status /home /srv
  waybill journal status --image web1.qcow2:3 --as C:
  waybill journal status --json`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.journalStatus(cmd.Context(), args, &f) },
	}
	f.mode, f.sweep, f.snapshot = "auto", "auto", "auto"
	f.images.flags(cmd.Flags())
	return cmd
}

// journalLine is a volume and its journal as JSON. Times are left out when not known.
type journalLine struct {
	Path       string    `json:"path"`
	FileSystem string    `json:"file_system"`
	Kind       string    `json:"kind,omitempty"` // empty when there is no journal
	Volume     string    `json:"volume,omitempty"`
	Journal    string    `json:"journal,omitempty"`
	Mode       string    `json:"mode"`             // of the next backup: "optimised" or "unoptimised"
	Reason     string    `json:"reason,omitempty"` // why that will look at everything, or otherwise than always
	Advice     string    `json:"advice,omitempty"`
	First      uint64    `json:"first"`
	Next       uint64    `json:"next"`
	Size       int64     `json:"size"`        // bytes it may hold; 0 when it doesn't wrap
	Wanted     int64     `json:"wanted_size"` // bytes it should hold; 0 when it is large enough, or that can't be told
	Since      time.Time `json:"since,omitzero"`
	FillPerDay int64     `json:"fill_per_day"`
	DaysLeft   float64   `json:"days_left"`           // that it holds at this rate: until what the next backup needs is overwritten
	Changed    int       `json:"changed_directories"` // that the next backup would look at
	Last       *lastLine `json:"last,omitempty"`      // how the last backup found its changes
}

// lastLine is how the last backup found the changes of a volume.
type lastLine struct {
	Time    time.Time  `json:"time"`
	Mode    string     `json:"mode"`
	Reason  string     `json:"reason,omitempty"`
	Scanned *time.Time `json:"scanned,omitempty"` // when all of it was looked at last
	Misses  int        `json:"misses"`
}

func newLastLine(p *catalog.Point, path string) *lastLine {
	if p == nil {
		return nil
	}
	for _, v := range p.Volumes {
		if v.Path == path && v.Mode != "" {
			return &lastLine{p.Ended, v.Mode, v.Reason, v.Scanned, v.Misses}
		}
	}
	return nil
}

func (a *app) journalStatus(ctx context.Context, paths []string, f *journalFlags) error {
	o, err := a.volumeOptions(f)
	if err != nil {
		return err
	}
	cfg := save.Config{}
	if cfg.Roots, err = roots(o.Images, paths); err != nil {
		return err
	}
	last, err := a.lastPoint(ctx)
	if err != nil && len(paths) == 0 {
		return err
	}
	if err != nil {
		a.out.Warn("what the last backup needs of the journals is not known: %v", err)
	}
	if last != nil {
		if err := cfg.SelectAgain(last); err != nil {
			return err
		}
	}
	if len(cfg.Roots)+len(o.Images) == 0 {
		return cli.Errorf(cli.Usage, "nothing was saved yet").Hinted("name what is meant: `waybill journal status /home`")
	}
	all, err := volumes.Status(ctx, cfg.Roots, last, o)
	if err != nil {
		return imagesAgain(err)
	}
	for _, s := range all {
		l := newJournalLine(&s, last, time.Now())
		a.out.Answer("journal", l, l.write)
	}
	return nil
}

// lastPoint is the newest point of this machine, nil when there is none.
func (a *app) lastPoint(ctx context.Context) (*catalog.Point, error) {
	r, err := a.read(ctx, &readFlags{}, false)
	if errors.Is(err, machine.ErrNotRegistered) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p, err := r.Last(ctx)
	if p == nil || err != nil {
		return nil, err
	}
	return p.Point, nil
}

func newJournalLine(s *volumes.VolumeStatus, last *catalog.Point, now time.Time) *journalLine {
	path := manifest.EscapePath([]byte(s.Path))
	l := &journalLine{Path: path, FileSystem: s.FileSystem, Kind: s.Kind, Volume: s.Volume, Journal: s.Journal, Mode: catalog.Optimised,
		Reason: cmp.Or(s.Gap, s.How), Advice: cmp.Or(s.Hint, causeOf(cmp.Or(s.Gap, s.How)).advice), First: s.First, Next: s.Next, Size: s.Size, Since: s.Since,
		FillPerDay: s.FillPerDay, DaysLeft: s.DaysLeft, Changed: s.Changed, Last: newLastLine(last, path)}
	if s.Gap != "" {
		l.Mode = catalog.Unoptimised
	}
	if now.Sub(s.Since) < soon && s.Next-s.First < uint64(s.Size)/2 { // it has just begun: that says nothing of a day
		l.FillPerDay, l.DaysLeft = 0, 0
		return l
	}
	if s.Size > 0 && s.Size < mostRoom && s.Size/enoughDays < s.FillPerDay {
		l.Wanted = roomFor(s.FillPerDay)
		l.Advice = l.enlarge()
	}
	return l
}

// size says in the advice of volumes whose journal wrapped how large it should be.
func (a *app) size(ctx context.Context, p *catalog.Point, o volumes.Options, list []volumeLine) {
	wrapped := func(v volumeLine) bool { return strings.HasPrefix(v.Reason, "journal wrapped") }
	if !slices.ContainsFunc(list, wrapped) {
		return
	}
	var cfg save.Config
	err := cfg.SelectAgain(p)
	var all []volumes.VolumeStatus
	if err == nil {
		all, err = volumes.Status(ctx, cfg.Roots, p, o)
	}
	if err != nil {
		a.out.Detail("how large journals should be can't be told: %v", err)
	}
	for i, v := range list {
		at := slices.IndexFunc(all, func(s volumes.VolumeStatus) bool { return s.Path == v.Path })
		if at < 0 || !wrapped(v) {
			continue
		}
		if l := newJournalLine(&all[at], nil, time.Now()); l.Wanted > 0 {
			list[i].Advice = l.Advice
		}
	}
}

const (
	enoughDays = 7  // a journal that holds fewer is told to be small
	amplyDays  = 14 // what is recommended then
	soon       = 6 * time.Hour
	leastRoom  = 64 << 20
	mostRoom   = 4 << 30 // beyond, looking at everything is faster than reading the journal
)

// roomFor is how large a journal should be that so many bytes are written to a day.
func roomFor(perDay int64) int64 {
	return min(max(leastRoom, int64(1)<<bits.Len64(uint64(perDay*amplyDays-1))), mostRoom)
}

// enlarge is the advice to do so.
func (l *journalLine) enlarge() string {
	how := fmt.Sprintf("waybill journal resize %s --size %dMiB", strings.TrimPrefix(l.Path, "/"), l.Wanted>>20)
	if l.Kind == "fanotify" {
		how = fmt.Sprintf("waybill agent --log-size %dMiB", l.Wanted>>20)
	}
	costs := "a scan"
	if l.Kind == "usn" && l.FileSystem != "ReFS" {
		costs = "a look at the whole file table"
	}
	return fmt.Sprintf("it is too small: at %s a day it holds %s, and a longer pause between backups means %s; enlarge it: `%s`", cli.Bytes(l.FillPerDay),
		days(l.DaysLeft), costs, how)
}

func days(n float64) string {
	if n < 1 {
		return cli.Duration(time.Duration(n * float64(day)))
	}
	return fmt.Sprintf("%.1f days", n)
}

func (l *journalLine) write(w io.Writer) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-11s  %s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%s  %s\n", l.Path, cmp.Or(l.FileSystem, "unknown file system"))
	line("journal", "%s", l.kind())
	next := l.Mode + ": " + l.Reason
	if l.Mode == catalog.Optimised {
		next = l.Mode + ": " + cli.Counted(int64(l.Changed), "directory") + " to look at"
	}
	if l.Mode == catalog.Optimised && l.Reason != "" {
		next += "; " + l.Reason
	}
	line("next backup", "%s", next)
	if l.Advice != "" {
		line("", "%s", l.Advice)
	}
	if l.FillPerDay > 0 && l.Size > 0 {
		line("filled by", "%s a day: it holds %s", cli.Bytes(l.FillPerDay), days(l.DaysLeft))
	}
	if x := l.Last; x != nil {
		line("last backup", "%s, %s", x.Time.Local().Format(time.DateTime), strings.TrimSuffix(x.Mode+": "+x.Reason, ": "))
	}
	if x := l.Last; x != nil && x.Scanned != nil && x.Mode == catalog.Optimised {
		line("last scan", "%s", x.Scanned.Local().Format(time.DateTime))
	}
}

// kind tells which journal it is and what it holds.
func (l *journalLine) kind() string {
	if l.Kind == "" {
		return "none"
	}
	text := l.Kind
	if l.Size > 0 {
		text += ", up to " + cli.Bytes(l.Size)
	}
	if !l.Since.IsZero() {
		text += ", since " + l.Since.Local().Format(time.DateTime)
	}
	return text
}
