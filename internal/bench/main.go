// Bench measures waybill beside other backup programs, on the same data in one run.
//
//	go run ./internal/bench                        every corpus, every program there is, three runs
//	go run ./internal/bench --corpus small --tools waybill,restic --runs 1 --scale 0.1
//	go run ./internal/bench --dir /mnt/disk --json > figures.json
//	go run ./internal/bench ship                   what shipping costs: slow disks, parity, ingest, resuming
//	go run ./internal/bench azure                  backup and upload to Azure Blob Storage, as far as Azurite is that
//	go run ./internal/bench incremental            what little change among many files costs, by journal and by scan
//
// `just bench` installs restic and borg and starts it. It builds its corpora below --dir (a tmpfs by
// default, so that a disk's noise doesn't decide), runs the programs in turn with a fresh repository
// each, compares what they restore with what they saved, and prints seconds, stored bytes, peak
// memory, and the goals of the design with what became of them. Medians of several runs.
//
// Programs run one at a time, with the corpus in the page cache. It doesn't measure cold caches, networks
// or energy, and doesn't fail when a goal is missed: figures are for people, tests assert no times.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// options are what the command line says.
type options struct {
	corpora, tools, rows []string
	runs                 int
	scale                float64
	dir, waybill         string
	json                 bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	run, args := bench, os.Args[1:]
	if len(args) > 0 {
		switch args[0] {
		case "ship":
			run, args = benchShip, args[1:]
		case "azure":
			run, args = benchAzure, args[1:]
		case "incremental":
			run, args = benchIncremental, args[1:]
		}
	}
	err := run(ctx, args, os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench measures what args ask for and prints the report. Everything it writes is in a directory of its own, gone
// when it returns.
func bench(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	corpora, err := pickCorpora(o.corpora, o.scale)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.dir, "bench-")
	if err != nil {
		return fmt.Errorf("making a working directory: %w", err)
	}
	defer discard(&err, work)

	tools, err := pickTools(ctx, o, work, stderr)
	if err != nil {
		return err
	}
	rep := newReport(ctx, o, tools)
	for _, c := range corpora {
		b := &rounds{options: o, corpus: c, tools: tools, work: work, report: rep, log: stderr}
		if err := b.run(ctx); err != nil {
			return fmt.Errorf("corpus %s: %w", c.name, err)
		}
	}
	return show(rep, o.json, stdout)
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	list := func(to *[]string, name, value, usage string) {
		*to = split(value)
		f.Func(name, fmt.Sprintf("%s (default %s)", usage, value), func(s string) error { *to = split(s); return nil })
	}
	list(&o.corpora, "corpus", "mixed,small,db", "corpora, comma-separated")
	list(&o.tools, "tools", strings.Join(toolNames(), ","), "programs; those that are not installed are left out")
	list(&o.rows, "rows", strings.Join(rowNames, ","), "what to measure; the first backup always is")
	f.IntVar(&o.runs, "runs", 3, "runs of each program; the report shows medians")
	f.Float64Var(&o.scale, "scale", 1, "size of the corpora; below 1 for a quick look")
	f.StringVar(&o.dir, "dir", defaultDir(), "where corpora, repositories and restores go")
	f.StringVar(&o.waybill, "waybill", "", "the program to measure (default: built from this module)")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of tables")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || o.runs < 1 || o.scale <= 0 || o.scale > 1 {
		return nil, fmt.Errorf("no use for %q: --runs is 1 or more, --scale above 0 and at most 1, and there are no arguments", args)
	}
	return o, known("row", o.rows, rowNames)
}

// defaultDir is a tmpfs where there is one.
func defaultDir() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return filepath.Clean(os.TempDir())
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// known refuses words that are not in the list of those there are.
func known(what string, words, all []string) error {
	for _, w := range words {
		if !slices.Contains(all, w) {
			return fmt.Errorf("no %s %q: there are %s", what, w, strings.Join(all, ", "))
		}
	}
	return nil
}
