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
)

// Groups of what bench incremental measures, in this order.
const (
	groupMillion = "million" // 100 of a million files on btrfs changed: ours and the peers; nothing changed, scanned; half of it renamed
	groupAgent   = "agent"   // the same on ext4, for the agent; and what the agent costs
	groupBig     = "big"     // 100 pages of a large file changed
	groupRates   = "rates"   // of the parsers of NTFS
)

var incrementGroups = []string{groupMillion, groupAgent, groupBig, groupRates}

var incrementPeers = []string{"restic", "restic-fastest", "borg", "kopia"}

// incrementOptions are what the command line of bench incremental says.
type incrementOptions struct {
	groups, tools    []string
	runs, files, big int // big in MiB
	ten, json        bool
	dir, waybill     string
}

// increments measures second backups. Corpora are on file systems of their own, in image files; vaults, repositories and states are beside them.
type increments struct {
	*incrementOptions
	bin, work string
	peers     []*tool
	can       abilities
	report    *incrementReport
	log       io.Writer
}

// abilities are what the program at hand knows: an older one is measured all the same, and scans.
type abilities struct{ journal, agent bool }

// benchIncremental measures what a backup costs when little has changed, and prints the report. Everything it mounts and writes is in a directory
// of its own, gone when it returns.
func benchIncremental(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseIncremental(args, stderr)
	if err != nil {
		return err
	}
	if err := mountable(); err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.dir, "bench-")
	if err != nil {
		return fmt.Errorf("making a working directory: %w", err)
	}
	defer discard(&err, work)
	b := &increments{incrementOptions: o, work: work, bin: o.waybill, log: stderr, report: newIncrementReport(o)}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, g := range []struct {
		name   string
		wanted bool
		run    func(context.Context) error
	}{
		{groupMillion, b.wants(groupMillion), b.million},
		{groupAgent, b.wants(groupAgent), b.agent},
		{groupBig, b.wants(groupBig), b.bigFile},
		{groupRates, b.wants(groupRates), b.rates},
		{"ten", b.ten, b.tenTimes},
	} {
		if !g.wanted {
			continue
		}
		if err := g.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return show(b.report, o.json, stdout)
}

func parseIncremental(args []string, stderr io.Writer) (*incrementOptions, error) {
	o := &incrementOptions{groups: incrementGroups, tools: []string{"restic", "borg", "kopia"}}
	f := flag.NewFlagSet("bench incremental", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Func("rows", fmt.Sprintf("what to measure (default %s)", strings.Join(o.groups, ",")), func(s string) error { o.groups = split(s); return nil })
	f.Func("tools", fmt.Sprintf("peers; those that are not installed are left out (default %s)", strings.Join(o.tools, ",")),
		func(s string) error { o.tools = split(s); return nil })
	f.IntVar(&o.runs, "runs", 3, "runs of each; the report shows medians")
	f.IntVar(&o.files, "files", 1_000_000, "files of the corpus, 50 a directory")
	f.IntVar(&o.big, "big", 10<<10, "MiB of the large file")
	f.BoolVar(&o.ten, "ten", false, "measure ten times the files, too")
	f.StringVar(&o.dir, "dir", defaultDir(), "where file systems' images, vaults and repositories go")
	f.StringVar(&o.waybill, "waybill", "", "the program to measure (default: built from this module)")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of tables")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || o.runs < 1 || o.files < 20*treePerDir || o.big < 64 {
		return nil, fmt.Errorf("no use for %q: --runs is 1 or more, --files %d or more, --big 64 or more, and there are no arguments", args, 20*treePerDir)
	}
	return o, errors.Join(known("row", o.groups, incrementGroups), known("peer", o.tools, incrementPeers))
}

func (b *increments) wants(group string) bool { return slices.Contains(b.groups, group) }

// prepare builds the program, asks it what it can do, and finds the peers.
func (b *increments) prepare(ctx context.Context) (err error) {
	if b.bin == "" {
		if b.bin, err = buildWaybill(ctx, b.work); err != nil {
			return err
		}
	}
	help := func(command string) string {
		out, _ := exec.CommandContext(ctx, b.bin, command, "--help").CombinedOutput()
		return string(out)
	}
	b.can = abilities{journal: strings.Contains(help("backup"), "--journal"), agent: strings.Contains(help("agent"), "waybill agent")}
	if !b.can.journal {
		fmt.Fprintln(b.log, "this waybill knows no journals: it scans")
	}
	ours := waybillOnline(b.bin)
	b.report.name(ctx, ours)
	for _, t := range tools(b.bin) {
		if t.name == ours.name || !slices.Contains(b.tools, t.name) {
			continue
		}
		if err := t.available(ctx); err != nil {
			fmt.Fprintf(b.log, "left out: %s: %v\n", t.name, err)
			continue
		}
		b.peers = append(b.peers, t)
		b.report.name(ctx, t)
	}
	return nil
}

// room fails when directory or memory have not so many bytes to spare: a machine without memory measures nothing but that.
func (b *increments) room(need int64) error {
	free, memory, err := spare(b.dir)
	if err != nil {
		return err
	}
	if inMemory := b.dir == defaultDir(); free < need || inMemory && memory < need {
		return fmt.Errorf("it takes %d MiB; %s has %d, and %d MiB of memory are to spare: --files, --big, --rows and --dir make do with less", need>>20, b.dir, free>>20, memory>>20)
	}
	return nil
}

// A volume is a mounted file system with a corpus on it.
type volume struct {
	name   string // of the corpus
	source string // its top
	top    string // all that the volume needs is below
	ours   *place
}

// on makes a file system of the type and the size, has it filled, and goes on with it. It is mounted anew before that: what is measured comes from
// no cache of the writing.
func (b *increments) on(ctx context.Context, name, kind string, bytes int64, fill func(ctx context.Context, source string) error, then func(ctx context.Context, v *volume) error) (err error) {
	v := &volume{name: name, top: filepath.Join(b.work, name)}
	defer func() { err = errors.Join(err, os.RemoveAll(v.top)) }()
	image, mount := filepath.Join(v.top, "image"), filepath.Join(v.top, "mount")
	v.source = filepath.Join(mount, "tree")
	v.ours = v.place("waybill")
	if err := errors.Join(os.MkdirAll(mount, 0o777), makeFileSystem(ctx, image, kind, bytes)); err != nil {
		return err
	}
	write := func() (err error) {
		unmount, err := mountImage(ctx, image, mount)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unmount()) }()
		return errors.Join(os.Mkdir(v.source, 0o777), fill(ctx, v.source))
	}
	if err := write(); err != nil {
		return fmt.Errorf("filling a %s: %w", kind, err)
	}
	unmount, err := mountImage(ctx, image, mount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	return then(ctx, v)
}

// place is a program's place for a volume.
func (v *volume) place(name string) *place {
	top := filepath.Join(v.top, name)
	return &place{source: v.source, repo: filepath.Join(top, "repo"), out: filepath.Join(top, "out"), own: filepath.Join(top, "own")}
}
