package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
	"waybill/internal/treetest"
)

func newDemo(a *app) *cobra.Command {
	var keep string
	cmd := &cobra.Command{
		Use:   "demo [PATH]",
		Short: "see all of it happen, in a temporary place",
		Long: `Takes a tree of files through the whole way before your eyes: vault, seed, disk, ingest, incremental, verify and
restore, and compares what comes back with what was there. Everything happens in a temporary directory, which is
removed at the end. PATH is only read; without one, a tree is made, and changed between the backups.`,
		Example: `  waybill demo
  waybill demo /usr/share/doc
  waybill demo --keep /tmp/look`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.demo(cmd.Context(), append(args, "")[0], keep)
		},
	}
	cmd.Flags().StringVar(&keep, "keep", "", "do it in this `DIR`, new or empty, and leave everything there")
	return cmd
}

// A demo is a walk through the commands in one directory.
type demo struct {
	app    *app
	dir    string
	source string
	made   bool // the source is the demo's own, and may be changed
	step   int
}

func (a *app) demo(ctx context.Context, source, keep string) (err error) {
	d := &demo{app: a, dir: keep, source: source, made: source == ""}
	if keep == "" {
		if d.dir, err = os.MkdirTemp("", "waybill-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, treetest.RemoveAll(d.dir)) }()
	}
	if err := d.prepare(); err != nil {
		return err
	}
	a.out.Say("Everything happens in %s.", d.dir)
	return d.run(ctx)
}

// prepare makes the directory and finds or makes what is to be saved.
func (d *demo) prepare() (err error) {
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.dir, "disk"), 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	if len(entries) > 1 {
		return cli.Errorf(cli.Conflict, "%s is not empty", d.dir).Hinted("the demo needs a directory of its own")
	}
	if d.made {
		d.source = filepath.Join(d.dir, "files")
		if err := makeDemoTree(d.source); err != nil {
			return fmt.Errorf("making files for the demo: %w", err)
		}
	}
	if d.source, err = filepath.Abs(d.source); err != nil {
		return err
	}
	if d.source, err = filepath.EvalSymlinks(d.source); err != nil { // a recovery point has the path without links
		return err
	}
	return os.WriteFile(d.path("passphrase"), []byte("a passphrase for the demo only\n"), 0o600)
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) run(ctx context.Context) error {
	pass := []string{"--passphrase-file", d.path("passphrase")}
	create := append([]string{"vault", "create", "--credentials", d.path("credentials.json"), d.path("vault")}, pass...)
	restore := append([]string{"restore", "latest", "--to", d.path("restored")}, pass...)
	for _, s := range []struct {
		says string
		args []string
		do   func() error
	}{
		{says: "At the vault, once: a vault, locked by a passphrase.", args: create},
		{says: "On the machine, once: it gets keys of its own.", args: []string{"register", d.path("credentials.json")}},
		{says: "On the machine: the first full backup, compressed, encrypted and signed, on a disk.", args: []string{"seed", "--to", d.path("disk"), d.source}},
		{says: "The disk travels. At the vault, without any key: every signature and pack is checked, and imported.",
			args: []string{"ingest", "--vault", d.path("vault"), d.path("disk")}},
		{says: "Back on the machine, days later, files have changed.", do: d.change},
		{says: "The next backup goes over the network, and sends what is new.", args: []string{"backup"}},
		{says: "What can be restored now:", args: []string{"points"}},
		{says: "At the vault, still without keys: is everything as it was signed?", args: []string{"verify", d.path("vault")}},
		{says: "With the passphrase: does every chunk open, and is it what it was?", args: append([]string{"verify", "latest"}, pass...)},
		{says: "The day comes: everything is restored, with the passphrase.", args: restore},
		{says: "And is it the same?", do: d.compare},
	} {
		if err := d.do(ctx, s.says, s.args, s.do); err != nil {
			return err
		}
	}
	return nil
}

// stepLine is one step of the demo as JSON; the lines of its command follow.
type stepLine struct {
	Step int      `json:"step"`
	Text string   `json:"text"`
	Args []string `json:"args,omitempty"`
}

// do tells what a step is, and does it.
func (d *demo) do(ctx context.Context, says string, args []string, do func() error) error {
	d.step++
	l := stepLine{d.step, says, args}
	out := d.app.out
	out.Answer("step", l, func(w io.Writer) {
		fmt.Fprintf(w, "\n%d. %s\n", l.Step, l.Text)
		if len(args) > 0 {
			fmt.Fprintf(w, "$ waybill %s\n", strings.ReplaceAll(strings.Join(args, " "), d.dir+string(filepath.Separator), ""))
		}
	})
	if err := out.Flush(); err != nil {
		return err
	}
	if do != nil {
		return do()
	}
	own := &app{cost: d.app.cost, out: &cli.Output{Stdout: out.Stdout, Stderr: out.Stderr, Terminal: out.Terminal}}
	args = append([]string{"--state", d.path("state"), "--quiet"}, args...)
	if out.JSON {
		args = append(args, "--json")
	}
	code := cli.Run(ctx, newRoot(own), own.out, rules, args)
	if code == int(cli.Unreadable) {
		return nil // the source is not ours; what could not be read was listed
	}
	if code != int(cli.OK) {
		return cli.Errorf(cli.Code(code), "the demo stopped at step %d", d.step)
	}
	return nil
}

// change edits the demo's own files; others are left alone.
func (d *demo) change() error {
	if !d.made {
		d.app.out.Say("(These are yours: nothing is changed.)")
		return nil
	}
	return changeDemoTree(d.source)
}

// comparedLine is the demo's last answer.
type comparedLine struct {
	Source      string   `json:"source"`
	Restored    string   `json:"restored"`
	Differences []string `json:"differences"`
}

// compare looks at everything: contents, names, kinds, modes, owners, times, links, attributes and holes.
func (d *demo) compare() error {
	restored := filepath.Join(d.path("restored"), d.source)
	ignore := []treetest.Aspect{}
	if os.Geteuid() != 0 {
		ignore = append(ignore, treetest.Owners) // only root may give files away
	}
	l := comparedLine{d.source, restored, append([]string{}, treetest.Compare(d.source, restored, ignore...)...)}
	d.app.out.Answer("compared", l, func(w io.Writer) {
		if len(l.Differences) == 0 {
			fmt.Fprintln(w, "Yes: contents, names, kinds, modes, times, links, attributes and holes are the same.")
		}
		for _, difference := range l.Differences {
			fmt.Fprintln(w, difference)
		}
	})
	if len(l.Differences) > 0 {
		return cli.Errorf(cli.Damaged, "%s between what was there and what came back", cli.Counted(int64(len(l.Differences)), "difference")).
			Hinted("if somebody changed or could not read %s meanwhile, that is why", d.source)
	}
	return nil
}
