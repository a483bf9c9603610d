package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
	"waybill/internal/line"
	"waybill/internal/pack"
	"waybill/internal/source"
	"waybill/seed/disk/databox"
	"waybill/seed/disk/parity"
	"waybill/seed/plan"
)

type planFlags struct {
	save                      saveFlags
	sample, measure           bool
	bandwidth, hours, busy    string
	diskSize, diskSpeed       string
	ingestSpeed, rate, parity string
	disks, parityDisks        int
	courierDays               float64
}

func newPlan(a *app) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan PATH...",
		Short: "ship or send? How long the first backup takes on disks and over the network",
		Long: `Looks at what is to be saved and tells how much of it a seed would store, how many days that takes over the network and
how many on disks, how many disks it needs, and at which bandwidth both ways take as long.

Everything is walked, but only samples are read, at most some hundred MiB. They are cut, compressed and compared as a seed does
it, and copies of files are looked for by their sizes. What is told with ± is so certain that it is wrong one time of twenty. What large files have in
common with each other, as images of like machines do, is seen by chance only: then the seed may be smaller. With --sample only a random part of the
directories is walked, and the error is larger; it is meant for trees of many millions of files. Where a few huge files make up
most of a tree, a sample that misses them tells too little, and its error doesn't know.

Bandwidths are those of the line, a second: bits with a small b, as in 100Mbit, or bytes, as in 12MB. With --hours the line
may be used at these hours only, or outside of them at --busy. --measure writes a file of up to 64 MiB into the vault of this
machine, where that is a directory, and takes it away again: it is told how fast that went. Days by disk are those of filling the
disks and reading them back, of the courier, and of ingesting them. The speed of this machine's processors is measured on the
samples; say it with --rate when the machine is busy now, or isn't the one that will do it.

Nothing is saved. The machine need not be registered, but for --measure.`,
		Example: `  waybill plan /home /srv                                       how much, how many disks, at which bandwidth
  waybill plan -x --bandwidth 100Mbit / /srv                    ship or send?
  waybill plan --measure --hours 20:00-06:00 --busy 10Mbit /srv
  waybill plan --bandwidth 1Gbit --disk-size 8TB --disk-speed 430MB --disks 2 --parity-disks 1 /srv
  waybill plan --sample --json /srv`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.plan(cmd.Context(), args, &f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.bandwidth, "bandwidth", "", "`RATE` of the line to the vault, as in 100Mbit or 12MB")
	fs.BoolVar(&f.measure, "measure", false, "measure the bandwidth by writing to the vault")
	fs.StringVar(&f.hours, "hours", "", "`HOURS` in which the line may be used, as in 20:00-06:00 (default: all day)")
	fs.StringVar(&f.busy, "busy", "", "`RATE` at which it may be used outside of them (default: not at all)")
	fs.StringVar(&f.diskSize, "disk-size", "4TB", "`SIZE` of a disk")
	fs.StringVar(&f.diskSpeed, "disk-speed", "150MB", "`RATE` at which a disk writes and reads")
	fs.IntVar(&f.disks, "disks", 0, "`N` disks can be connected at once (default: all)")
	fs.IntVar(&f.parityDisks, "parity-disks", 0, "`N` disks more, so that any N may be lost")
	fs.StringVar(&f.parity, "parity", "20+1", "`SCHEME` of parity within each disk, or off")
	fs.Float64Var(&f.courierDays, "courier-days", 2, "`DAYS` on the way to the vault")
	fs.StringVar(&f.ingestSpeed, "ingest-speed", "", "`RATE` at which the vault takes packs in (default: as the disks give them)")
	fs.StringVar(&f.rate, "rate", "", "`RATE` of the source that this machine compresses (default: measured)")
	fs.BoolVar(&f.sample, "sample", false, "walk a random part of the directories only")
	f.save.flags(fs)
	cmd.MarkFlagsMutuallyExclusive("bandwidth", "measure")
	return cmd
}

func (a *app) plan(ctx context.Context, paths []string, f *planFlags) error {
	q, err := f.question()
	if err != nil {
		return err
	}
	o, err := a.survey(paths, f)
	if err != nil {
		return err
	}
	if f.measure {
		if q.Line.Rate, err = a.measureLine(ctx); err != nil {
			return err
		}
	}
	stop := a.out.Progress(func() cli.Sample {
		if n := o.Sampled.Load(); n > 0 {
			return cli.Sample{Phase: "sampling", Bytes: n}
		}
		return cli.Sample{Phase: "looking", Files: o.Files.Load(), Bytes: o.Bytes.Load()}
	})
	s, err := plan.Run(ctx, o)
	stop()
	if err != nil {
		return err
	}
	if s.Unreadable > 0 {
		a.out.Warn("%s could not be looked at: %s", cli.Counted(s.Unreadable, "item"), s.FirstError)
	}
	l, err := newPlanLine(s, q)
	if err != nil {
		return cli.Errorf(cli.Usage, "%w", err).Hinted("see --disk-size and --disk-speed")
	}
	l.hours = f.hours
	a.out.Answer("plan", l, l.write)
	return nil
}

// survey is what is to be looked at. A machine that is registered leaves out what a seed would.
func (a *app) survey(paths []string, f *planFlags) (*plan.Options, error) {
	o := &plan.Options{OneFileSystem: f.save.oneFileSystem, Sample: f.sample, Random: rand.Uint64()}
	var err error
	if o.Level, err = pack.ParseLevel(f.save.compression); err != nil {
		return nil, cli.Errorf(cli.Usage, "--compression: %w", err)
	}
	if o.Excludes, err = f.save.patterns(); err != nil {
		return nil, err
	}
	if _, err := source.NewExcludes(o.Excludes); err != nil {
		return nil, cli.Errorf(cli.Usage, "--exclude: %w", err).Hinted("`waybill help excludes` tells what a pattern may be")
	}
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		o.Roots = append(o.Roots, abs)
	}
	if s, err := a.openState(); err == nil {
		o.Skip = ownPlaces(s)
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// question is what the flags say.
func (f *planFlags) question() (q plan.Question, err error) {
	bytes := func(flag, s string) (v float64) {
		if s != "" && err == nil {
			if v, err = bytesPerSecond(s); err != nil {
				err = cli.Errorf(cli.Usage, "--%s: %w", flag, err)
			}
		}
		return v
	}
	q.DiskSpeed, q.Ingest, q.Rate = bytes("disk-speed", f.diskSpeed), bytes("ingest-speed", f.ingestSpeed), bytes("rate", f.rate)
	q.Line.Rate, q.Line.Busy = 8*bytes("bandwidth", f.bandwidth), 8*bytes("busy", f.busy)
	if err != nil {
		return q, err
	}
	if q.Line.Hours, err = line.ParseHours(f.hours); err != nil {
		return q, cli.Errorf(cli.Usage, "--hours: %w", err)
	}
	if q.DiskSize, err = cli.ParseBytes(f.diskSize); err != nil {
		return q, cli.Errorf(cli.Usage, "--disk-size: %w", err)
	}
	if q.Parity, err = parity.ParseScheme(f.parity); err != nil {
		return q, cli.Errorf(cli.Usage, "--parity: %w", err)
	}
	const most = 10_000
	if f.disks < 0 || f.parityDisks < 0 || f.parityDisks > parity.MaxShards || f.courierDays < 0 || f.courierDays > most {
		return q, cli.Errorf(cli.Usage, "--disks, --parity-disks (at most %d) and --courier-days are not below 0", parity.MaxShards)
	}
	q.Disks, q.ParityDisks = f.disks, f.parityDisks
	q.Largest = databox.PackSize(q.DiskSize, 1)
	q.Courier = time.Duration(f.courierDays * 24 * float64(time.Hour))
	return q, nil
}

// bytesPerSecond reads a rate in bits or bytes.
func bytesPerSecond(s string) (float64, error) {
	bits, err := line.ParseRate(s)
	if err != nil {
		return 0, err
	}
	return bits / 8, nil
}
