package ingestcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/ingest"
	"waybill/ingest/carrier"
	"waybill/internal/cli"
	"waybill/manifest"
)

// Reconcile returns the command that compares a carrier's logs with what was sent.
func Reconcile(out *cli.Output, secrets *place.Secrets, parent string) *cobra.Command {
	var address string
	var disks []string
	cmd := &cobra.Command{
		Use:   "reconcile LOG...",
		Short: "compare a carrier's logs with what was sent",
		Long: `Reads the logs that a carrier wrote about the files it took, and compares them with the signed manifests: of the vault, or of
the disks themselves while they are still at hand. It tells which packs arrived as they were sent, by size, CRC-64 and MD5
as far as a log has them, which arrived under another name, which failed and why, and which no log mentions. "Loaded" packs were on the
carrier's device, by its bill of materials; that they arrived, only a copy log or verbose log can tell.

It knows Azure's logs in XML: the bill of materials (BOM) and error.xml of a Data Box; the copy log and verbose log of Data Box, Data Box Disk
and Import/Export, in the container databoxcopylog; the older _error.xml and _verbose.xml; and the error log of Data Box
Disk's validation tool. Give all that there are: a copy log lists only what went wrong, a bill of materials or a verbose log all the
rest. Where logs differ, the worst counts.

The logs prove nothing: whether a pack is whole, only ingest tells. The exit code is 20 when something failed or differs,
and 21 when something was renamed or is not mentioned.`,
		Example: fmt.Sprintf(`  %[1]s reconcile --vault /srv/vault order_CopyLog.xml order_VerboseLog.xml
  %[1]s reconcile --from /mnt/disk1 --from /mnt/disk2 BOM.xml
  %[1]s reconcile --json --vault /srv/vault logs/*.xml`, parent),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, logs []string) error {
			if address == "" && len(disks) == 0 {
				address = os.Getenv("WAYBILL_VAULT")
			}
			if (address == "") == (len(disks) == 0) {
				return cli.Errorf(cli.Usage, "compare with what?").Hinted("with the manifests of a vault, --vault VAULT, or of the disks, --from DISK for each")
			}
			if address != "" {
				disks = []string{address}
			}
			return reconcile(cmd.Context(), out, *secrets, disks, logs)
		},
	}
	cmd.Flags().StringVar(&address, "vault", "", "the manifests of this `VAULT` (default: $WAYBILL_VAULT)")
	cmd.Flags().StringArrayVar(&disks, "from", nil, "the manifests of this `DISK`; may be given again")
	return cmd
}

// ReconcileLine is what a carrier's logs say, as JSON.
type ReconcileLine struct {
	Packs    int           `json:"packs"` // that were sent
	Arrived  int           `json:"arrived"`
	Loaded   int           `json:"loaded"`  // that the carrier's device had, and of which no log says more
	Renamed  int           `json:"renamed"` // of other files, too, as failed
	Failed   int           `json:"failed"`
	Unlisted int           `json:"unlisted"` // that no log mentions
	Problems []ProblemLine `json:"problems"`
	More     int64         `json:"more,omitempty"` // problems with files that are no packs, beyond those
}

// ProblemLine is something of a ReconcileLine that did not arrive as it was sent.
type ProblemLine struct {
	Pack   manifest.Digest `json:"sha256"` // empty for what is no pack
	Disk   int             `json:"disk,omitempty"`
	Fate   carrier.Fate    `json:"fate"`
	Path   string          `json:"path,omitempty"` // in the log
	NewTo  string          `json:"new_path,omitempty"`
	Reason string          `json:"reason,omitempty"`
}

func reconcile(ctx context.Context, out *cli.Output, secrets place.Secrets, trees, logs []string) error {
	sources, done, err := openSources(ctx, secrets, trees)
	if err != nil {
		return err
	}
	defer done()
	r := carrier.New()
	for _, s := range sources {
		if err := expect(ctx, r, s); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	for _, name := range logs {
		if err := readLog(ctx, out, r, name); err != nil {
			return err
		}
	}
	l := newReconcileLine(r.Result())
	out.Answer("reconcile", l, l.write)
	switch {
	case l.Packs == 0:
		return cli.Errorf(cli.Incomplete, "no pack of a disk is listed there").Hinted("give the vault or the disks that the logs are about")
	case l.Failed > 0:
		return cli.Errorf(cli.Damaged, "%s did not arrive as sent", cli.Counted(int64(l.Failed), "item")).
			Hinted("ingest puts the packs on the want list, and the machine sends them again")
	case l.Renamed+l.Unlisted > 0:
		return cli.Errorf(cli.Incomplete, "%d renamed, %d not mentioned", l.Renamed, l.Unlisted).
			Hinted("what was renamed can be named back where it is; for what is not mentioned, give the carrier's other logs, too")
	}
	return nil
}

// expect adds the packs that a tree's manifests place on disks.
func expect(ctx context.Context, r *carrier.Reconciliation, s ingest.Source) error {
	ids, err := manifest.Machines(ctx, s)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return ingest.ErrEmpty
	}
	for _, id := range ids {
		m, err := manifest.OpenMachine(ctx, s, id)
		if err != nil {
			return err
		}
		chain, err := manifest.ReadChain(ctx, s, m)
		if err != nil {
			return err
		}
		for _, l := range chain.Links {
			for _, p := range l.Manifest.Packs {
				if p.Disk != 0 {
					r.Expect(id, l.Manifest.Set, p)
				}
			}
		}
	}
	return nil
}

func readLog(ctx context.Context, out *cli.Output, r *carrier.Reconciliation, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() // only read from
	s, err := carrier.Read(f, func(e carrier.Entry) error { return errors.Join(ctx.Err(), r.Add(e)) })
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	r.Close(s)
	status := s.Status
	if status != "" {
		status = ", " + manifest.EscapePath([]byte(status))
	}
	out.Say("%s: %s, %s%s", name, s.Kind, cli.Counted(s.Entries, "entry"), status)
	return nil
}

func newReconcileLine(r carrier.Result) *ReconcileLine {
	l := &ReconcileLine{Packs: len(r.Packs), Problems: []ProblemLine{}, More: r.More}
	counts := map[carrier.Fate]int{}
	for _, p := range r.Packs {
		counts[p.Fate]++
		if p.Fate != carrier.Arrived && p.Fate != carrier.Loaded {
			l.Problems = append(l.Problems, problem(p.Name, p.Disk, carrier.Entry{Fate: p.Fate, Path: p.Path, NewTo: p.NewTo, Reason: p.Reason}))
		}
	}
	for _, e := range r.Others {
		counts[e.Fate]++
		l.Problems = append(l.Problems, problem(manifest.Digest{}, 0, e))
	}
	l.Arrived, l.Loaded, l.Renamed = counts[carrier.Arrived], counts[carrier.Loaded], counts[carrier.Renamed]
	l.Failed, l.Unlisted = counts[carrier.Failed]+int(r.More), counts[carrier.Unlisted]
	return l
}

// problem is a line that is safe to show, whatever the log said.
func problem(pack manifest.Digest, disk int, e carrier.Entry) ProblemLine {
	safe := func(s string) string { return manifest.EscapePath([]byte(s)) }
	return ProblemLine{pack, disk, e.Fate, safe(e.Path), safe(e.NewTo), safe(e.Reason)}
}

// others counts the problems with files that are no packs.
func (l *ReconcileLine) others() (failed, renamed int) {
	failed = int(l.More)
	for _, p := range l.Problems {
		switch {
		case !p.Pack.IsZero():
		case p.Fate == carrier.Renamed:
			renamed++
		case p.Fate == carrier.Failed:
			failed++
		}
	}
	return failed, renamed
}

func (l *ReconcileLine) write(w io.Writer) {
	failed, renamed := l.others()
	fmt.Fprintf(w, "%s sent: %d arrived, %d loaded, %d renamed, %d failed, %d not mentioned\n", cli.Counted(int64(l.Packs), "pack"),
		l.Arrived, l.Loaded, l.Renamed-renamed, l.Failed-failed, l.Unlisted)
	if failed+renamed > 0 {
		fmt.Fprintf(w, "of other files: %d renamed, %d failed\n", renamed, failed)
	}
	for _, p := range l.Problems {
		what := p.Path
		if !p.Pack.IsZero() {
			what = "pack " + p.Pack.String() + onDisk(p.Disk)
		}
		fmt.Fprintf(w, "  %s: %s", p.Fate, what)
		if p.NewTo != "" {
			fmt.Fprintf(w, ", now %s", p.NewTo)
		}
		if p.Reason != "" {
			fmt.Fprintf(w, ": %s", p.Reason)
		}
		fmt.Fprintln(w)
	}
	if l.More > 0 {
		fmt.Fprintf(w, "  and %s more\n", cli.Count(l.More))
	}
}
