package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/cli"
)

// volumeLine is how the changes of a volume were found, as JSON. Path and Missed are escaped paths.
type volumeLine struct {
	Path    string     `json:"path"`
	Mode    string     `json:"mode"`              // "optimised" or "unoptimised"
	Journal string     `json:"journal,omitempty"` // its kind
	Reason  string     `json:"reason,omitempty"`  // why it was scanned, or how else than by the journal's records changes were found
	Advice  string     `json:"advice,omitempty"`  // what can be done about it
	Cursor  bool       `json:"cursor"`            // the next backup has a moment of the journal to start from
	Scanned *time.Time `json:"scanned,omitempty"` // when all of it was looked at last
	Missed  []string   `json:"missed,omitempty"`  // that changed and the journal had not named, the first of them
	Misses  int        `json:"misses"`
}

func newVolumeLines(p *catalog.Point) []volumeLine {
	lines := []volumeLine{}
	for _, v := range p.Volumes {
		if v.Mode == "" {
			continue // such as /proc: nobody's data
		}
		lines = append(lines, volumeLine{Path: v.Path, Mode: v.Mode, Journal: v.Journal, Reason: v.Reason, Advice: causeOf(v.Reason).advice,
			Cursor: v.Cursor != nil, Scanned: v.Scanned, Missed: v.Missed, Misses: v.Misses})
	}
	return lines
}

// found tells in few words how a point's changes were found.
func found(mode, reason string, volumes []volumeLine) string {
	if mode == "first" {
		return reason
	}
	if mode == catalog.Healed {
		return mode + ", " + reason
	}
	if len(volumes) == 0 { // made without asking for journals
		return catalog.Unoptimised + ", " + reason
	}
	optimised := 0
	for _, v := range volumes {
		if v.Mode == catalog.Optimised {
			optimised++
		}
	}
	if optimised > 0 && optimised < len(volumes) {
		return fmt.Sprintf("optimised on %d of %s", optimised, cli.Counted(int64(len(volumes)), "volume")) + judged(volumes)
	}
	how := volumes[0].Mode
	if r := volumes[0].Reason; r != "" && !slices.ContainsFunc(volumes, func(v volumeLine) bool { return v.Reason != r }) {
		how += ", " + r
	}
	return how + judged(volumes)
}

// judged tells what a sweep found out about the journals.
func judged(volumes []volumeLine) string {
	n, swept := 0, false
	for _, v := range volumes {
		n += v.Misses
		swept = swept || strings.HasPrefix(v.Reason, "swept")
	}
	switch {
	case n > 0:
		return ", " + cli.Counted(int64(n), "change") + " missed"
	case swept:
		return "; nothing was missed"
	}
	return ""
}

// writeVolumes writes a line for each volume, when there are several: of one, all is said.
func writeVolumes(w io.Writer, volumes []volumeLine) {
	if len(volumes) < 2 {
		return
	}
	wide := 0
	for _, v := range volumes {
		wide = max(wide, len(v.Path))
	}
	for _, v := range volumes {
		fmt.Fprintf(w, "  %-*s  %s\n", wide, v.Path, v.how())
	}
}

// how tells how the volume's changes were found.
func (v *volumeLine) how() string {
	if v.Mode == catalog.Optimised {
		return strings.TrimSuffix(fmt.Sprintf("%-11s  %s journal, %s", v.Mode, v.Journal, v.Reason), ", ")
	}
	return fmt.Sprintf("%-11s  %s", v.Mode, v.Reason)
}

// required adds to the error of a journal that had to vouch, and can't, what can be done.
func required(err error) error {
	e, ok := errors.AsType[*volumes.RequiredError](err)
	if !ok {
		return err
	}
	hint := "to look at everything instead: --journal auto"
	if advice := cmp.Or(e.Hint, causeOf(e.Reason).advice); advice != "" {
		hint = advice + "\n" + hint
	}
	return cli.Errorf(cli.NoJournal, "%w", err).Hinted("%s", hint)
}

// advise tells what can be done about volumes that were scanned, or nearly. It warns of all that need not have been when journals were asked for.
func (a *app) advise(mode volumes.Mode, list []volumeLine) {
	for _, v := range list {
		switch {
		case v.Mode == catalog.Optimised && v.Advice != "":
			a.out.Say("%s: %s; %s", v.Path, v.Reason, v.Advice)
		case v.Mode == catalog.Optimised || causeOf(v.Reason).normal:
		case mode == volumes.On && v.Advice == "":
			a.out.Warn("all of %s was looked at: %s", v.Path, v.Reason)
		case mode == volumes.On:
			a.out.Warn("all of %s was looked at: %s; %s", v.Path, v.Reason, v.Advice)
		case v.Advice != "":
			a.out.Say("all of %s was looked at: %s; %s", v.Path, v.Reason, v.Advice)
		}
	}
}

// missed lists what changed though a journal had not named it; that is the command's error.
func (a *app) missed(p *catalog.Point) error {
	n := 0
	for _, v := range p.Volumes {
		for _, path := range v.Missed {
			a.out.Warn("%s had changed, and the %s journal of %s had not named it", path, v.Journal, v.Path)
		}
		n += v.Misses
	}
	if n == 0 {
		return nil
	}
	return cli.Errorf(cli.Incident, "a look at everything found %s that a change journal had missed", cli.Counted(int64(n), "change")).
		Hinted("the recovery point has them. Was the volume written by another system, or past the file system? If not, report it, and use --journal off meanwhile")
}
