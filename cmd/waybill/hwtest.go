package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"waybill/cmd/internal/place"
	"waybill/hwtest"
	"waybill/internal/cli"
	"waybill/seed"
	"waybill/seed/disk"
)

type hwtestFlags struct {
	quick    bool
	packSize string
	device   string
	serial   string
}

func newHwtest(a *app) *cobra.Command {
	var f hwtestFlags
	cmd := &cobra.Command{
		Use:   "hwtest DISK",
		Short: "test whether a disk is fit to carry a backup",
		Long: `Tests whether a medium is fit to carry a backup. A DISK is the directory where it is mounted. What is on it stays.

The full test fills the free space with a pattern in which every block knows its place, and reads it back from the medium, past
all caches: counterfeit flash that is smaller than it says, and every sector that doesn't keep its data, is found. It
takes as long as writing and reading the whole disk, hours for a large one. --quick takes seconds and tries a short run and some dozens
of places; what it doesn't find may be there. A seed begins with it unless told not to.

The answer also tells what the device says of itself (with smartctl installed, and as root, its health), how fast it is over its
whole length as a line of bars, which shows where a drive's cache is full and where it stalls, how long single
requests and fsync take, and what the file system can't do. A disk is fit, fit with remarks, or unfit with reasons; then the exit code is 27.

What the test writes is gone at its end, also when it is interrupted. If the machine stops meanwhile, the next test of
the disk removes it.

--device tests a medium without a file system, all of it, and DESTROYS WHAT IS ON IT. It needs the device's serial number, so that
nobody hits the wrong one; Linux only.`,
		Example: `  waybill hwtest --quick /mnt/disk1
  waybill hwtest /mnt/disk1                            all of its free space
  waybill hwtest --quick --pack-size 1GiB /mnt/disk1   would packs of that size do?
  waybill hwtest --json /mnt/disk1 >disk1.json
  waybill hwtest --device /dev/sdb --serial NAAB1234   destroys what is on /dev/sdb`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.hwtest(cmd.Context(), args, &f) },
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.quick, "quick", false, "take seconds, and only try some places")
	fl.StringVar(&f.packSize, "pack-size", "", "`SIZE` of the packs that the disk shall take")
	fl.StringVar(&f.device, "device", "", "test the whole device `DEV`, such as /dev/sdb, and destroy what is on it")
	fl.StringVar(&f.serial, "serial", "", "serial number `S` of that device, to confirm")
	cmd.MarkFlagsRequiredTogether("device", "serial")
	return cmd
}

func (a *app) hwtest(ctx context.Context, args []string, f *hwtestFlags) error {
	if (len(args) == 1) == (f.device != "") {
		return cli.Errorf(cli.Usage, "which disk?").Hinted("name the directory where it is mounted, or a device with --device DEV --serial S")
	}
	if f.device == "" {
		if _, err := os.Stat(args[0]); err != nil {
			return cli.Errorf(cli.Failed, "%w", err).Hinted("is it mounted? A DISK is the directory where it is")
		}
	}
	p := &hwtest.Progress{}
	o := hwtest.Options{Quick: f.quick, Serial: f.serial, Progress: p}
	if f.packSize != "" {
		var err error
		if o.Pack, err = cli.ParseBytes(f.packSize); err != nil {
			return cli.Errorf(cli.Usage, "--pack-size: %w", err)
		}
	}
	stop := a.out.Progress(func() cli.Sample {
		phase := "writing"
		if p.Reading.Load() {
			phase = "reading back"
		}
		return cli.Sample{Phase: phase, Bytes: p.Bytes.Load(), TotalBytes: p.Total.Load()}
	})
	var r *hwtest.Report
	var err error
	if f.device != "" {
		r, err = hwtest.RunDevice(ctx, f.device, o)
	} else {
		r, err = hwtest.Run(ctx, args[0], o)
	}
	stop()
	if errors.Is(err, context.Canceled) {
		return cli.Errorf(cli.Interrupted, "%w", err).Hinted("what the test wrote is removed; the next one begins anew")
	}
	if err != nil {
		return err
	}
	a.out.Answer("hwtest", r, func(w io.Writer) { writeReport(w, r) })
	return r.Err()
}

// writeReport writes a report for people.
func writeReport(w io.Writer, r *hwtest.Report) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", what, fmt.Sprintf(format, args...))
	}
	line("disk", "%s", r.Path)
	line("device", "%s", deviceText(&r.Device))
	if h := r.Health; h != nil {
		line("health", "passed: %t, %d °C, %s on, %d reallocated, %d pending", h.Passed, h.Temperature, cli.Counted(h.PowerOnHours, "hour"), h.Reallocated, h.Pending)
	}
	if s := r.FileSystem; s.Type != "" {
		line("file system", "%s, %s free of %s", s.Type, cli.Bytes(s.Free), cli.Bytes(s.Size))
	}
	if c := r.Capacity; c.Tested > 0 {
		line("capacity", "%s of %s good, over %s", cli.Bytes(c.Good), cli.Bytes(c.Tested), cli.Bytes(c.Covered))
	}
	writeSpeed(w, line, "write", r.Write, r.Form)
	writeSpeed(w, line, "read", r.Read, r.Form)
	for _, l := range []struct {
		what string
		*hwtest.Latency
	}{{"random read", r.Random}, {"fsync", r.Sync}} {
		if l.Latency != nil {
			line(l.what, "%s", latencyText(*l.Latency))
		}
	}
	line("took", "%s, %s test", cli.Duration(time.Duration(r.Seconds*float64(time.Second))), r.Form)
	line("verdict", "%s", r.Verdict)
	for _, text := range r.Reasons {
		fmt.Fprintf(w, "  unfit: %s\n", text)
	}
	for _, text := range r.Remarks {
		fmt.Fprintf(w, "  remark: %s\n", text)
	}
}

// writeSpeed writes figures, and the picture of a curve.
func writeSpeed(w io.Writer, line func(what, format string, args ...any), what string, s *hwtest.Speed, form hwtest.Form) {
	if s == nil || len(s.Curve) == 0 {
		return
	}
	text := fmt.Sprintf("%s/s", cli.Bytes(s.Rate))
	if form == hwtest.Full {
		text += fmt.Sprintf(" (at first %s/s, in the second half %s/s, slowest %s/s)", cli.Bytes(s.First), cli.Bytes(s.Sustained), cli.Bytes(s.Slowest))
	}
	line(what, "%s, requests of 1 MiB %s", text, latencyText(s.Latency))
	highest := slices.Max(s.Curve)
	fmt.Fprintf(w, "%-12s %s  0 to %s, up to %s/s\n", "", hwtest.Bars(s.Curve, highest), cli.Bytes(s.Bytes), cli.Bytes(highest))
}

func latencyText(l hwtest.Latency) string {
	return fmt.Sprintf("p50 %.3g ms, p99 %.3g ms, max %.3g ms", l.P50, l.P99, l.Max)
}

func deviceText(d *hwtest.Device) string {
	if d.Name == "" {
		return "unknown"
	}
	parts := []string{d.Name}
	add := func(format, s string) {
		if s != "" {
			parts = append(parts, fmt.Sprintf(format, s))
		}
	}
	add("%s", d.Model)
	add("serial %s", d.Serial)
	add("%s", strings.TrimSpace(d.Bus+" "+d.Link))
	if d.Size > 0 {
		add("%s", cli.Bytes(d.Size))
	}
	if d.Rotational {
		add("%s", "turns")
	}
	return strings.Join(parts, ", ")
}

// serialOf is the serial number of the device that a disk's directory is on, or empty.
func serialOf(path string) string {
	if place.Remote(path) {
		return ""
	}
	d, err := hwtest.Identity(path)
	if err != nil {
		return ""
	}
	return d.Serial
}

// testDisks tries the disks on which nothing was seeded yet, all at once: before anything is written, an unfit one is told.
func (a *app) testDisks(ctx context.Context, o *seed.Options, f *seedFlags) error {
	if f.noTest {
		return nil
	}
	reports := make([]*hwtest.Report, len(o.Disks))
	g, ctx := errgroup.WithContext(ctx)
	for i, path := range o.Disks {
		if place.Remote(path) || !isNewDisk(path) {
			continue
		}
		g.Go(func() (err error) {
			reports[i], err = hwtest.Glance(ctx, path, o.Save.DataPack)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("trying the disks: %w", err)
	}
	var errs []error
	for _, r := range reports {
		if r == nil {
			continue
		}
		for _, text := range r.Remarks {
			a.out.Say("%s: %s", r.Path, text)
		}
		errs = append(errs, r.Err())
	}
	if err := errors.Join(errs...); err != nil {
		return cli.Errorf(cli.Unfit, "%w", err).Hinted("take another disk, look closer with `waybill hwtest DISK`, or write to it all the same: --no-hwtest")
	}
	return nil
}

// isNewDisk tells whether a seed would begin a disk in a directory. Of others it will say itself what is wrong.
func isNewDisk(path string) bool {
	if st, err := os.Stat(path); err != nil || !st.IsDir() {
		return false
	}
	d, err := disk.Open(path)
	if err == nil {
		d.Close()
	}
	return errors.Is(err, disk.ErrNoDisk)
}
