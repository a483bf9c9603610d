package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"waybill/incremental/volumes"
	"waybill/internal/cli"
)

// journalFlags say how the changes of volumes are found.
type journalFlags struct {
	mode, sweep, snapshot string
	images                imageFlags
}

func (j *journalFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&j.mode, "journal", "auto", "`HOW` change journals are used: auto, on (warn when one can't be), required (fail then) or off; see \"waybill help journals\"")
	f.StringVar(&j.sweep, "sweep", "auto", "`WHEN` to look at everything all the same, and tell what the journal had missed: auto (every 30 days), now, off, or days, as in 7d")
	f.StringVar(&j.snapshot, "snapshot", "auto", "save from a snapshot, where a volume can be held still: `HOW` is auto (where its journal is used), on or off")
	j.images.flags(f)
}

var modes = map[string]volumes.Mode{"off": volumes.Off, "auto": volumes.Auto, "on": volumes.On, "required": volumes.Required}

// options are what the flags say.
func (j *journalFlags) options(stateDir string) (o volumes.Options, err error) {
	o = volumes.Options{StateDir: stateDir, Now: time.Now}
	var ok bool
	if o.Mode, ok = modes[j.mode]; !ok {
		return o, cli.Errorf(cli.Usage, "--journal %s: it is auto, on, required or off", j.mode)
	}
	if o.Sweep, ok = parseSweep(j.sweep); !ok {
		return o, cli.Errorf(cli.Usage, "--sweep %s: it is auto, now, off, or days, as in 7d", j.sweep)
	}
	if !slices.Contains([]string{"auto", "on", "off"}, j.snapshot) {
		return o, cli.Errorf(cli.Usage, "--snapshot %s: it is auto, on or off", j.snapshot)
	}
	// A snapshot of btrfs is new to the system's memory: a scan of it takes three times as long.
	o.Snapshot = j.snapshot == "on" || j.snapshot == "auto" && o.Mode != volumes.Off
	o.Images, err = j.images.volumes()
	return o, err
}

const day = 24 * time.Hour

// parseSweep reads after how long a volume is swept: never for 0, at once below.
func parseSweep(s string) (time.Duration, bool) {
	switch s {
	case "auto":
		return 30 * day, true
	case "now":
		return -1, true
	case "off":
		return 0, true
	}
	days, found := strings.CutSuffix(s, "d")
	n, err := strconv.ParseUint(days, 10, 16)
	return time.Duration(n) * day, found && err == nil && n > 0
}

// absolute are the paths of what is to be saved on this machine.
func absolute(paths []string) (roots []string, err error) {
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("looking at what is to be saved: %w", err)
		}
		roots = append(roots, abs)
	}
	return roots, nil
}

// volumeOptions are what the flags say, for this machine.
func (a *app) volumeOptions(j *journalFlags) (volumes.Options, error) {
	dir, err := a.stateDir()
	if err != nil {
		return volumes.Options{}, err
	}
	o, err := j.options(dir)
	o.Tell = func(note string) { a.out.Warn("%s", note) }
	return o, err
}
