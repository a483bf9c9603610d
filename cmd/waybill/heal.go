package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"waybill/incremental"
	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/heal"
	"waybill/internal/save"
	"waybill/manifest"
)

// healLine is what was done about lost packs.
type healLine struct {
	Wanted    int                    `json:"wanted"` // packs
	Again     int                    `json:"again"`  // of those: put again as they were
	Settled   []manifest.Digest      `json:"settled"`
	Left      []manifest.Digest      `json:"left"` // that nothing could be done about yet
	Points    []manifest.Digest      `json:"points"`
	ReadBytes int64                  `json:"read_bytes"`
	NewBytes  int64                  `json:"new_bytes"`
	Stored    int64                  `json:"stored_bytes"`
	Seconds   float64                `json:"seconds"`
	Damaged   []catalog.DamagedPoint `json:"damaged"`
	Damage    []catalog.Damage       `json:"damage"`
}

// heal stores again what the vault misses of disks that arrived, after what changed has been saved: that comes first, and it
// knows what was moved. The error says what could not be had again, too.
func (a *app) heal(ctx context.Context, w *writing, cfg save.Config, o volumes.Options, wants []manifest.Pack) error {
	if err := w.reopen(ctx); err != nil {
		return err
	}
	a.out.Say("the vault misses %s of disks that arrived: storing again what was in them", cli.Counted(int64(len(wants)), "pack"))
	source := cfg
	release, err := inImages(ctx, &source, o)
	if err != nil {
		return err
	}
	began := time.Now()
	p := &save.Progress{}
	source.Progress = p
	stop := a.progress(func() cli.Sample {
		return cli.Sample{Phase: "healing", Bytes: p.NewBytes.Load(), Files: p.Files.Load()}
	})
	sending, end := a.line.sending(ctx)
	defer end()
	r, err := incremental.Heal(ctx, w.vault, w.Domain, source, incremental.Options{Sending: sending}, wants, func(c *save.Result) error { return w.record(c, nil) })
	stop()
	if err = errors.Join(err, release()); err != nil {
		return err
	}
	l := newHealLine(r, len(wants), time.Since(began))
	a.out.Answer("heal", l, l.write)
	if len(l.Left) > 0 {
		a.out.Warn("what was in %s can't be told: this machine's index was lost. It can when all other disks have arrived", cli.Counted(int64(len(l.Left)), "pack"))
	}
	if r.Lacking() { // files that look unchanged, and are not what was saved: a scan that knows reads them anew
		if _, err := a.save(ctx, w, cfg, o); err != nil {
			return err
		}
	}
	return a.lacking(l)
}

func newHealLine(r *heal.Report, wanted int, took time.Duration) *healLine {
	l := &healLine{Wanted: wanted, Again: len(r.Again), Settled: []manifest.Digest{}, Left: []manifest.Digest{}, Points: []manifest.Digest{},
		Seconds: took.Seconds(), Damaged: []catalog.DamagedPoint{}, Damage: []catalog.Damage{}}
	for _, p := range r.Settled {
		l.Settled = append(l.Settled, p.Name)
	}
	for _, p := range r.Left {
		l.Left = append(l.Left, p.Name)
	}
	for _, c := range r.Commits {
		l.Points = append(l.Points, c.ID)
		l.ReadBytes += c.Point.Stats.ReadBytes
		l.NewBytes += c.Point.Stats.NewBytes
		l.Stored += c.StoredBytes()
		l.Damaged, l.Damage = append(l.Damaged, c.Point.Damaged...), append(l.Damage, c.Point.Damage...)
	}
	return l
}

func (l *healLine) write(w io.Writer) {
	fmt.Fprintf(w, "healed %d of %s: %d put again as they were; %s read, %s stored again; %s\n", l.Again+len(l.Settled),
		cli.Counted(int64(l.Wanted), "lost pack"), l.Again, cli.Bytes(l.ReadBytes), cli.Bytes(l.Stored), cli.Duration(time.Duration(l.Seconds*float64(time.Second))))
}

// lacking lists what could not be had again; that is the error.
func (a *app) lacking(l *healLine) error {
	for _, d := range l.Damage {
		a.out.Warn("recovery point %.12s lacks %s of %s", d.Point, cli.Bytes(d.Bytes), d.Path)
	}
	n := int64(0)
	for _, d := range l.Damaged {
		n += d.Files
	}
	if n == 0 {
		return nil
	}
	return cli.Errorf(cli.Damaged, "%s of earlier recovery points can't be had again", cli.Counted(n, "item")).
		Hinted("all else of them is whole, and so is the newest; `waybill points` counts what each lacks")
}
