package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Rows are what is measured. The last three are yardsticks of other rows, measured with them.
const (
	rowFirst      = "first"      // the first backup, or the seed
	rowUnchanged  = "unchanged"  // the second, nothing having changed
	rowChanged    = "changed"    // the second, of a source that changed
	rowVerify     = "verify"     // reading all of the repository, checking digests
	rowCheck      = "check"      // the same, and opening all of it
	rowRestore    = "restore"    // everything, to an empty place
	rowIngest     = "ingest"     // a seed's disk into the vault
	rowCopy       = "cp"         // cp -a of that disk
	rowDigest     = "sha256sum"  // sha256sum over that disk
	rowDigestRepo = "sha256 all" // sha256sum over the repository
)

var rowNames = []string{rowFirst, rowUnchanged, rowChanged, rowVerify, rowCheck, rowRestore, rowIngest}

// A tool is a backup program and how it is used.
type tool struct {
	name     string
	needs    []string // programs that must be on PATH
	probe    []string // and a command that must succeed, if any
	version  []string
	env      func(p *place) []string
	setup    func(p *place) [][]string // not measured
	steps    []step                    // in this order
	restored func(p *place) string     // where below the restore's target the source's top is
}

// A step is a measured command.
type step struct {
	row  string
	args func(p *place) []string
}

func (t *tool) command(p *place, args []string) *command {
	return &command{args: args, dir: p.own, env: t.env(p)}
}

func toolNames() []string {
	return each(tools("waybill"), func(t *tool) string { return t.name })
}

// tools are all that the bench can drive.
func tools(waybill string) []*tool {
	return []*tool{waybillOnline(waybill), waybillSeed(waybill), restic("restic", "auto"), restic("restic-fastest", "fastest"),
		borg(), kopia(), tar(), cp()}
}

// pickTools returns the tools asked for that are here, with waybill built below work unless a path was given.
func pickTools(ctx context.Context, o *options, work string, log io.Writer) ([]*tool, error) {
	if err := known("program", o.tools, toolNames()); err != nil {
		return nil, err
	}
	waybill := o.waybill
	ours := func(name string) bool { return strings.HasPrefix(name, "waybill") }
	if waybill == "" && slices.ContainsFunc(o.tools, ours) {
		var err error
		if waybill, err = buildWaybill(ctx, work); err != nil {
			return nil, err
		}
	}
	var picked []*tool
	for _, t := range tools(waybill) {
		if !slices.Contains(o.tools, t.name) {
			continue
		}
		if err := t.available(ctx); err != nil {
			fmt.Fprintf(log, "left out: %s: %v\n", t.name, err)
			continue
		}
		picked = append(picked, t)
	}
	if len(picked) == 0 {
		return nil, fmt.Errorf("none of %s is here", strings.Join(o.tools, ", "))
	}
	return picked, nil
}

// buildWaybill builds the program of this module below work.
func buildWaybill(ctx context.Context, work string) (string, error) {
	bin := filepath.Join(work, "waybill")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "waybill/cmd/waybill")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building waybill (--waybill names one that is built; --tools leaves it out): %w\n%s", err, said)
	}
	return bin, nil
}

func (t *tool) available(ctx context.Context) error {
	for _, name := range t.needs {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	if t.probe == nil {
		return nil
	}
	if err := exec.CommandContext(ctx, t.probe[0], t.probe[1:]...).Run(); err != nil {
		return fmt.Errorf("this version can't do it: %w", err)
	}
	return nil
}

// says is the first line of what the tool answers when asked for its version.
func (t *tool) says(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, t.version[0], t.version[1:]...)
	cmd.Env = os.Environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return t.name
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
