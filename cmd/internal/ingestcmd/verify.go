package ingestcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/ingest"
	"waybill/internal/cli"
	"waybill/manifest"
	"waybill/seed/disk"
)

// Verify returns the command that checks disks and vaults without keys.
func Verify(out *cli.Output, secrets *place.Secrets) *cobra.Command {
	var listOnly bool
	cmd := &cobra.Command{
		Use:   "verify DISK...|VAULT",
		Short: "check disks or a vault, without keys",
		Long: VerifyHelp + `

It takes no key.`,
		Example: `  waybill-ingest verify /mnt/disk1
  waybill-ingest verify /mnt/disk1 /mnt/disk2 /mnt/disk3
  waybill-ingest verify --list-only /srv/vault
  waybill-ingest verify --json /srv/vault`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return VerifyTrees(cmd.Context(), out, *secrets, args, listOnly)
		},
	}
	cmd.Flags().BoolVar(&listOnly, "list-only", false, ListOnlyHelp)
	return cmd
}

// ListOnlyHelp is what --list-only does, for the help of both programs.
const ListOnlyHelp = "don't read the packs: only see that each is there, in its size"

// VerifyHelp is what verify does, for the help of both programs.
const VerifyHelp = `Checks disks or a vault, without keys: every signature, every link of each machine's chain, every pack against its name, and on a
sealed disk every other file against SHA256SUMS. All of it is read; with --list-only all but the packs and their parity, which takes minutes
where reading takes days, and finds what is missing or cut short, but not what was changed in place.

Of a disk it says whether it is whole, repairable, because its own parity makes good what is damaged, or what it needs: which packs, of which
disks. Several disks are read together: one makes up for another where their parity goes across the set, and even for one that is not
there. Nothing is written: ingest does the repair, into the vault. The exit code is 20 when something is damaged, repairable or not,
and 21 when something is missing.`

// VerifyLine is what was found in a disk or a vault, as JSON.
type VerifyLine struct {
	Vault     manifest.ID         `json:"vault"`
	Disk      int                 `json:"disk,omitempty"` // its number; none for a vault
	Disks     int                 `json:"disks,omitempty"`
	State     string              `json:"state,omitempty"` // of a disk
	Machines  []MachineLine       `json:"machines"`
	Packs     int                 `json:"packs"` // found good; there in their sizes, if list_only
	Bytes     int64               `json:"bytes"`
	Elsewhere int                 `json:"elsewhere"` // packs that other disks of the set carry
	Verdict   string              `json:"verdict"`   // whole, repairable, damaged, incomplete, or unfinished: it ended before all was looked at
	Damaged   []string            `json:"damaged"`
	Missing   []manifest.WantPack `json:"missing"`
	Extra     []string            `json:"extra"` // files that nothing refers to
	ListOnly  bool                `json:"list_only,omitempty"`
}

// MachineLine is one machine of a VerifyLine.
type MachineLine struct {
	Machine manifest.ID     `json:"machine"`
	Name    string          `json:"name"`
	Commits int             `json:"commits"`
	Newest  manifest.Digest `json:"newest"`
	Gaps    []int           `json:"missing_commits"`
}

// SetLine is what was found of several disks together, as JSON.
type SetLine struct {
	NotHere []int               `json:"not_here"` // disks of the set
	Rebuilt int                 `json:"rebuilt"`  // packs of theirs that the others' parity rebuilds
	Missing []manifest.WantPack `json:"missing"`  // packs of theirs that it doesn't
}

// VerifyTrees checks disks or a vault and tells what it found.
func VerifyTrees(ctx context.Context, out *cli.Output, secrets place.Secrets, names []string, listOnly bool) error {
	sources, done, err := openSources(ctx, secrets, names)
	if err != nil {
		return err
	}
	defer done()
	warnUnlabelled(ctx, out, sources)
	p := &ingest.Progress{}
	stop := out.Progress(sample("verifying", p))
	r, err := ingest.VerifySet(ctx, sources, ingest.Options{ListOnly: listOnly, Progress: p})
	stop()
	if r == nil {
		return err
	}
	for _, t := range r.Trees {
		l := newVerifyLine(t)
		l.ListOnly = listOnly
		out.Answer("verify", l, func(w io.Writer) { l.write(w, t.Source) })
	}
	for _, flaw := range r.Flaws {
		out.Warn("parity: %v", flaw)
	}
	if len(r.Trees) > 1 {
		l := SetLine{append([]int{}, r.NotHere...), r.Rebuilt, append([]manifest.WantPack{}, r.Missing...)}
		out.Answer("set", l, l.write)
	}
	return err
}

// warnUnlabelled tells of disks that have lost their label: they are taken for vaults.
func warnUnlabelled(ctx context.Context, out *cli.Output, sources []ingest.Source) {
	for _, s := range sources {
		_, err := manifest.ReadObject(ctx, s, disk.LabelName, 64<<10)
		_, serr := manifest.ReadObject(ctx, s, disk.SumsName, disk.MaxSums)
		if errors.Is(err, fs.ErrNotExist) && serr == nil {
			out.Warn("%s is a disk that has lost its label.json: what it should have can't be told. `waybill-ingest label DISK` makes the label anew", s.Name)
		}
	}
}

// warnUnsealed tells of disks that came before their seed was done with them.
func warnUnsealed(ctx context.Context, out *cli.Output, sources []ingest.Source) {
	for _, s := range sources {
		b, err := manifest.ReadObject(ctx, s, disk.LabelName, 64<<10)
		if err != nil {
			continue // the import tells
		}
		if l, err := disk.ParseLabel(b); err == nil && l.State == disk.Filling {
			out.Warn("%s is disk %s, and not sealed: its seed was not done with it, and it may lack parity. What is whole is imported", s.Name, number(l.Disk, l.Disks))
		}
	}
}

func (l *SetLine) write(w io.Writer) {
	if len(l.NotHere) == 0 {
		fmt.Fprintln(w, "all disks of the set are here")
		return
	}
	fmt.Fprintf(w, "not here: disk%s of the set\n", numbers(l.NotHere))
	if l.Rebuilt > 0 {
		fmt.Fprintf(w, "  %s of theirs can be rebuilt from parity\n", cli.Counted(int64(l.Rebuilt), "pack"))
	}
	for _, m := range l.Missing {
		fmt.Fprintf(w, "  missing: pack %s%s\n", m.Name, onDisk(m.Disk))
	}
}

// number is which disk of how many; while a seed runs, nobody knows of how many.
func number(disk, disks int) string {
	if disks == 0 {
		return fmt.Sprint(disk)
	}
	return fmt.Sprintf("%d of %d", disk, disks)
}

func numbers(list []int) (text string) {
	for i, n := range list {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(" %d", n)
	}
	if len(list) > 1 {
		return "s" + text
	}
	return text
}

func newVerifyLine(r *ingest.VerifyReport) *VerifyLine {
	l := &VerifyLine{Vault: r.Vault, Verdict: string(r.Verdict()), Packs: r.Packs, Bytes: r.Bytes, Elsewhere: r.Elsewhere, Machines: []MachineLine{},
		Damaged: damages(r.Damaged), Missing: append([]manifest.WantPack{}, r.Missing...), Extra: []string{}}
	for _, name := range r.Extra {
		l.Extra = append(l.Extra, manifest.EscapePath([]byte(name)))
	}
	if r.Label != nil {
		l.Disk, l.Disks, l.State = r.Label.Disk, r.Label.Disks, string(r.Label.State)
	}
	for _, m := range r.Machines {
		line := MachineLine{Machine: m.Machine, Name: m.Name, Commits: m.Commits, Newest: m.Newest, Gaps: append([]int{}, m.Gaps...)}
		l.Machines = append(l.Machines, line)
	}
	return l
}

func (l *VerifyLine) write(w io.Writer, name string) {
	what := "vault"
	if l.Disk != 0 {
		what = fmt.Sprintf("disk %s, %s, for vault", number(l.Disk, l.Disks), l.State)
	}
	fmt.Fprintf(w, "%s: %s %s\n", name, what, l.Vault)
	for _, m := range l.Machines {
		newest := ""
		if m.Commits > 0 {
			newest = fmt.Sprintf(", the newest %.12s", m.Newest)
		}
		fmt.Fprintf(w, "  machine %s  %s  %s%s\n", m.Machine, manifest.EscapePath([]byte(m.Name)), cli.Counted(int64(m.Commits), "commit"), newest)
	}
	good := "good"
	if l.ListOnly {
		good = "there, not read"
	}
	fmt.Fprintf(w, "  %s %s, %s\n", cli.Counted(int64(l.Packs), "pack"), good, cli.Bytes(l.Bytes))
	if l.Elsewhere > 0 {
		fmt.Fprintf(w, "  %s on other disks of the set\n", cli.Counted(int64(l.Elsewhere), "pack"))
	}
	for _, d := range l.Damaged {
		fmt.Fprintf(w, "  damaged: %s\n", d)
	}
	for _, m := range l.Missing {
		fmt.Fprintf(w, "  missing: pack %s%s\n", m.Name, onDisk(m.Disk))
	}
	fmt.Fprintf(w, "  %s\n", l.sum())
	if len(l.Extra) > 0 {
		fmt.Fprintf(w, "  %s that nothing refers to, the first: %s\n", cli.Counted(int64(len(l.Extra)), "file"), l.Extra[0])
	}
}

// sum is the verdict in words.
func (l *VerifyLine) sum() string {
	switch ingest.Verdict(l.Verdict) {
	case ingest.Whole:
		if l.State == string(disk.Filling) {
			return "whole, but not sealed: its seed goes on, or `waybill seed seal DISK` has yet to check it; it is not to be shipped"
		}
		return "whole"
	case ingest.Unfinished:
		return "not all was looked at"
	case ingest.Repairable:
		return "repairable: parity or the other disks make good all that is damaged"
	case ingest.Incomplete:
		var bytes int64
		disks := map[int]bool{}
		for _, m := range l.Missing {
			bytes += m.Size
			disks[m.Disk] = true
		}
		text := fmt.Sprintf("incomplete: it needs %s, %s", cli.Counted(int64(len(l.Missing)), "pack"), cli.Bytes(bytes))
		if delete(disks, 0); len(disks) > 0 {
			text += ", of disk" + numbers(slices.Sorted(maps.Keys(disks)))
		}
		return text
	}
	return "damaged: something needs another copy"
}
