package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Groups of what bench ship measures, in this order. Ingest and verify are of the disk with parity 20+1 that parity seeds.
const (
	groupDisks  = "disks"  // a seed to one, two and four disks that are slow
	groupParity = "parity" // what parity costs
	groupIngest = "ingest" // beside cp and sha256sum of the same bytes
	groupVerify = "verify"
	groupLost   = "lost"   // ingest of a set of which one disk was lost
	groupResume = "resume" // after SIGINT and SIGKILL
)

var groupNames = []string{groupDisks, groupParity, groupIngest, groupVerify, groupLost, groupResume}

// shipOptions are what the command line of bench ship says.
type shipOptions struct {
	groups               []string
	runs, size, rate     int // size in MiB, rate in MB/s
	source, dir, waybill string
	json                 bool
}

// A voyage measures one seed's way in one run, after the other.
type voyage struct {
	*shipOptions
	bin, source, work string
	vault, own        string // of the run at hand; the same paths in all of them
	report            *shipReport
	log               io.Writer
}

// benchShip measures what shipping costs and prints the report. Everything it writes is in a directory of its own, gone when it
// returns.
func benchShip(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseShip(args, stderr)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.dir, "bench-")
	if err != nil {
		return fmt.Errorf("making a working directory: %w", err)
	}
	defer discard(&err, work)
	v := &voyage{shipOptions: o, work: work, bin: o.waybill, source: o.source, log: stderr,
		vault: filepath.Join(work, "vault"), own: filepath.Join(work, "own"), report: newShipReport(o)}
	if err := v.prepare(ctx); err != nil {
		return err
	}
	for run := range o.runs {
		if err := v.turn(ctx); err != nil {
			return fmt.Errorf("run %d: %w", run+1, err)
		}
	}
	return show(v.report, o.json, stdout)
}

func parseShip(args []string, stderr io.Writer) (*shipOptions, error) {
	o := &shipOptions{groups: groupNames}
	f := flag.NewFlagSet("bench ship", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Func("rows", fmt.Sprintf("what to measure (default %s)", strings.Join(groupNames, ",")), func(s string) error { o.groups = split(s); return nil })
	f.IntVar(&o.runs, "runs", 3, "runs of each; the report shows medians")
	f.IntVar(&o.size, "size", 1024, "MiB of the mixed corpus to seed")
	f.IntVar(&o.rate, "rate", 20, "MB/s that a slow disk writes")
	f.StringVar(&o.source, "source", "", "seed this directory, and no corpus")
	f.StringVar(&o.dir, "dir", defaultDir(), "where corpus, disks and vaults go")
	f.StringVar(&o.waybill, "waybill", "", "the program to measure (default: built from this module)")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of tables")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || o.runs < 1 || o.size < 1 || o.size > mixedBytes>>20 || o.rate < 1 {
		return nil, fmt.Errorf("no use for %q: --runs and --rate are 1 or more, --size is at most %d, and there are no arguments", args, mixedBytes>>20)
	}
	return o, known("row", o.groups, groupNames)
}

// prepare builds the program and the corpus, and registers a machine. Vault and state are kept aside: each seed begins from them.
func (v *voyage) prepare(ctx context.Context) (err error) {
	if v.bin == "" {
		if v.bin, err = buildWaybill(ctx, v.work); err != nil {
			return err
		}
	}
	if v.source == "" {
		v.source = filepath.Join(v.work, "mixed")
		c := &corpus{name: "mixed", scale: float64(v.size) * (1 << 20) / mixedBytes}
		if err := errors.Join(os.Mkdir(v.source, 0o777), buildMixed(ctx, c, v.source)); err != nil {
			return err
		}
	}
	entries, bytes, err := size(v.source)
	if err != nil {
		return err
	}
	v.report.addCorpus("shipped", entries, bytes)
	if err := errors.Join(os.Mkdir(v.vault, 0o777), os.Mkdir(v.own, 0o777)); err != nil {
		return err
	}
	p := &place{repo: v.vault, own: v.own}
	for _, args := range waybillSetup(v.bin)(p) {
		if _, err := v.command(args).measure(ctx); err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
	}
	for _, dir := range []string{v.vault, v.own} {
		if err := os.Rename(dir, dir+".new"); err != nil {
			return err
		}
	}
	return nil
}

func (v *voyage) command(args []string) *command {
	return &command{args: args, dir: v.own, env: waybillEnv(&place{own: v.own})}
}

// anew is a vault and a machine that have just met, and as many empty disks. What was there before is gone.
func (v *voyage) anew(disks int) (paths []string, err error) {
	v.report.seeds++
	for _, dir := range []string{v.vault, v.own} {
		if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(dir+".new"))); err != nil {
			return nil, err
		}
	}
	for n := range disks {
		path := filepath.Join(v.work, fmt.Sprintf("disk%d-%d", v.report.seeds, n+1))
		if err := os.Mkdir(path, 0o777); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// seed is the command that seeds to the disks. Its packs are small, that even a small corpus has groups of them.
func (v *voyage) seed(disks []string, flags ...string) []string {
	args := append([]string{v.bin, "seed", "--quiet", "--no-hwtest", "--pack-size", "4MiB"}, flags...)
	for _, d := range disks {
		args = append(args, "--to", d)
	}
	return append(args, v.source)
}

// row measures a command, and by how much the directories grew.
func (v *voyage) row(ctx context.Context, row string, args []string, grows ...string) error {
	before, err := sizes(grows)
	if err != nil {
		return err
	}
	got, err := v.command(args).measure(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", row, err)
	}
	after, err := sizes(grows)
	if err != nil {
		return err
	}
	got.Stored = after - before
	v.add(row, got)
	return nil
}

func (v *voyage) add(row string, s sample) {
	v.report.add("shipped", "waybill", row, s)
	fmt.Fprintf(v.log, "%s %.2f s\n", row, s.Seconds)
}

func sizes(dirs []string) (sum int64, err error) {
	for _, dir := range dirs {
		_, n, err := size(dir)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// halfway runs a command until the directory has so many bytes, and stops it with the signal.
func (v *voyage) halfway(ctx context.Context, row string, args []string, dir string, bytes int64, sig os.Signal) error {
	c := v.command(args)
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case err := <-ended:
			return fmt.Errorf("%s: it ended before it was halfway: %w", row, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
		if _, n, err := size(dir); err == nil && n >= bytes { // a file may vanish while it is counted
			break
		}
	}
	err := cmd.Process.Signal(sig)
	<-ended
	v.add(row, sample{Seconds: time.Since(start).Seconds(), User: cmd.ProcessState.UserTime().Seconds(),
		System: cmd.ProcessState.SystemTime().Seconds(), Peak: peak(cmd.ProcessState)})
	return err
}

// wanted tells whether a group is, or one that needs it.
func (v *voyage) wanted(groups ...string) bool {
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(v.groups, g) })
}
