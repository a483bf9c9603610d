// Package ingestcmd is the commands of the vault's side, ingest and verify, which waybill
// and waybill-ingest share, with the exit codes of their errors.
//
// It imports nothing that could open a pack: a test in internal/deps proves it.
package ingestcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/ingest"
	"waybill/internal/cli"
	"waybill/internal/durable"
	"waybill/manifest"
	"waybill/seed/disk/databox"
)

// Ingest returns the command that imports disks, under the given name.
func Ingest(out *cli.Output, secrets *place.Secrets, use string) *cobra.Command {
	var address, note, read string
	var from []string
	var sharing sharing
	cmd := &cobra.Command{
		Use:   use + " DISK...",
		Short: "check disks that arrived, and import them into the vault",
		Long: `Checks disks that arrived, and imports them into the vault: every signature, every link of the chain, every pack against
its name. It takes no key to do so, and can't read what is in the packs. A DISK is a mounted disk, or any
directory that a carrier filled with a disk's tree, or the container that a Data Box was uploaded to, azblob://ACCOUNT/CONTAINER[/PREFIX]. --from
says the same.

Where that container is the vault's own, nothing is copied: what the carrier put there is verified, and from then on the vault's. From another
container the service copies by itself, and what it won't copy comes by this host. Run it when the carrier says that the upload is complete:
what is not there yet counts as missing.

--read says how much is read of packs in containers. With auto, a pack with the size and the Content-MD5 that its signed manifest gives it is good, and all
others are read; with full all are; with properties none is, and where a blob has no Content-MD5 its size has to do. A checksum tells of what happens on
the way, not of somebody who can write to the container and says what he likes: full does. Packs that come by this host are always checked in full.

Disks may come in any order, one by one or several at once, again, or after an interruption. Best give all that there are
at once: a pack that is damaged, or on a disk that was lost, is rebuilt from the parity of all of them together, and of what the vault has. What
can't be rebuilt goes on the want list of a signed receipt, which the machine reads; everything else is imported.
The exit code is 21 as long as packs are missing, because another disk of the set has not arrived.

What was done is noted in each disk's custody log, in the vault and on the disk if it can be written; see "custody".

With --share, any number of these programs work together, on as many hosts: give all of them the same places in the cloud, and each the disks it
has. Each takes on what no other does, goes on with what one that died left, and ends when all is done and the vault has the receipt. They tell each other in a container of its
own, where they need to write; in the vault they still only create.`,
		Example: fmt.Sprintf(`  %[1]s --vault /srv/vault /mnt/disk1
  %[1]s --vault /srv/vault --note "UPS 1Z999AA10123456784" /mnt/disk2 /mnt/disk3
  WAYBILL_VAULT=/srv/vault %[1]s --json /mnt/disk1
  %[1]s --vault azblob://acct/vault --from azblob://acct/vault          a Data Box was uploaded right there
  %[1]s --vault azblob://acct/vault --from azblob://acct/box --read full
  %[1]s --vault azblob://acct/vault --share --from azblob://acct/box /mnt/disk*`, path(use)),
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, disks []string) error {
			disks = append(disks, from...)
			if len(disks) == 0 {
				return cli.Errorf(cli.Usage, "which disk?").Hinted("give its directory, or with --from the container that it was uploaded to")
			}
			level, err := parseLevel(read)
			if err != nil {
				return err
			}
			if address == "" {
				address = os.Getenv("WAYBILL_VAULT")
			}
			if address == "" {
				return cli.Errorf(cli.Usage, "which vault?").Hinted("say it with --vault VAULT or WAYBILL_VAULT")
			}
			return run(cmd.Context(), out, *secrets, address, disks, ingest.Options{Note: note, Read: level}, &sharing)
		},
	}
	cmd.Flags().StringVar(&address, "vault", "", "the `VAULT`: a directory, or azblob://ACCOUNT/CONTAINER[/PREFIX] (default: $WAYBILL_VAULT)")
	cmd.AddCommand(Reconcile(out, secrets, path(use)))
	secrets.Line.TierFlag(cmd.Flags())
	cmd.Flags().StringArrayVar(&from, "from", nil, "import this `DISK`, as an argument would; may be given again")
	cmd.Flags().StringVar(&read, "read", "auto", "how much is `READ` of what lies in a container: auto, full or properties")
	cmd.Flags().StringVar(&note, "note", "", "a line of `TEXT` for the disks' custody logs, such as a tracking number")
	sharing.flags(cmd.Flags())
	return cmd
}

// path is how the command of that name is called.
func path(use string) string {
	if use == "ingest" {
		return "waybill ingest"
	}
	return use
}

// IngestLine is what was done for one machine, as JSON.
type IngestLine struct {
	Machine     manifest.ID         `json:"machine"`
	Name        string              `json:"name"`
	Set         manifest.ID         `json:"set,omitempty"`
	Commits     int                 `json:"commits"`
	Verified    int                 `json:"verified"`
	Imported    int                 `json:"imported"`
	Present     int                 `json:"present"`
	Bytes       int64               `json:"bytes"`
	Repaired    int                 `json:"repaired"` // of those imported: rebuilt from parity
	Arrived     []int               `json:"disks"`    // of the set, that were read
	Missing     []manifest.WantPack `json:"missing"`
	MissingRuns []int               `json:"missing_commits"`
	Damaged     []string            `json:"damaged"`
	Receipt     string              `json:"receipt"` // its name in the vault
}

func parseLevel(text string) (ingest.Level, error) {
	switch text {
	case "auto":
		return ingest.Auto, nil
	case "full":
		return ingest.Full, nil
	case "properties":
		return ingest.Properties, nil
	}
	return 0, cli.Errorf(cli.Usage, "--read is auto, full or properties, not %q", text)
}

func run(ctx context.Context, out *cli.Output, secrets place.Secrets, address string, disks []string, o ingest.Options, sharing *sharing) error {
	if err := CheckNote(o.Note); err != nil {
		return err
	}
	v, err := place.OpenVault(ctx, address, secrets)
	if err != nil {
		return err
	}
	defer v.Close()
	sources, done, err := openSources(ctx, secrets, disks)
	if err != nil {
		return err
	}
	defer done()
	for i, s := range sources {
		if place.Same(s.Reader.(place.Store), v) {
			sources[i].Reader = v // it is the vault itself: ingest tells by that
			s.Reader.(place.Store).Close()
		}
	}
	warnUnlabelled(ctx, out, sources)
	warnUnsealed(ctx, out, sources)
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("looking for this host's name: %w", err)
	}
	o.Host, o.Tool, o.Now, o.Progress = host, "waybill "+cli.Version(), time.Now, &ingest.Progress{}
	if err := sharing.open(ctx, v, address, secrets, &o); err != nil {
		return err
	}
	stop := out.Progress(sample("importing", o.Progress))
	report, err := ingest.Import(ctx, v, sources, o)
	stop()
	if report != nil {
		for _, m := range report.Machines {
			tell(out, m)
		}
	}
	return err
}

// CheckNote refuses a note that a custody log doesn't take.
func CheckNote(note string) error {
	if !utf8.ValidString(note) || utf8.RuneCountInString(note) > 200 || strings.ContainsFunc(note, unicode.IsControl) {
		return cli.Errorf(cli.Usage, "--note is one line of at most 200 characters")
	}
	return nil
}

// openSources opens disks, or whatever has the same tree; of a Data Box, all containers that have one. The caller calls done in the end.
func openSources(ctx context.Context, secrets place.Secrets, names []string) (sources []ingest.Source, done func(), err error) {
	done = func() {
		for _, s := range sources {
			s.Reader.(place.Store).Close() // only read from
		}
	}
	for _, name := range names {
		some, err := treesAt(ctx, secrets, name)
		sources = append(sources, some...)
		if place.Remote(name) && err != nil {
			done()
			return nil, nil, err
		}
		if err != nil {
			done()
			return nil, nil, cli.Errorf(cli.NoVault, "opening %s: %w", name, err).Hinted("is it mounted?")
		}
	}
	return sources, done, nil
}

// treesAt opens the trees at a place.
func treesAt(ctx context.Context, secrets place.Secrets, name string) (sources []ingest.Source, err error) {
	if place.Remote(name) {
		s, err := place.Open(ctx, name, secrets)
		if err != nil {
			return nil, err
		}
		return []ingest.Source{{Name: s.Path(), Reader: s}}, nil
	}
	places, err := databox.Trees(name)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		d, err := durable.Open(p.Root)
		if err != nil {
			return sources, err
		}
		if _, err := d.Size(ctx, manifest.VaultName); err != nil && p.Kind != databox.Plain {
			d.Close()
			continue // somebody else's container
		}
		sources = append(sources, ingest.Source{Name: p.Root, Reader: d})
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("no container of this %s has a disk's tree", places[0].Kind)
	}
	return sources, nil
}

func sample(phase string, p *ingest.Progress) func() cli.Sample {
	return func() cli.Sample {
		phase := phase
		if p.Waiting.Load() {
			phase = "waiting for other workers"
		}
		return cli.Sample{Phase: phase, Bytes: p.Bytes.Load(), TotalBytes: p.TotalBytes.Load(), Files: p.Packs.Load(), TotalFiles: p.TotalPacks.Load(), Unit: "pack"}
	}
}

func tell(out *cli.Output, m *ingest.Imported) {
	for _, text := range m.Warnings {
		out.Warn("%s", text)
	}
	r := m.Receipt
	l := IngestLine{Machine: m.Machine, Name: m.Name, Set: r.Set, Commits: m.Commits, Verified: r.Verified, Imported: r.Imported, Repaired: r.Repaired,
		Present: r.Present, Arrived: append([]int{}, r.Arrived...),
		Bytes: r.Bytes, Missing: append([]manifest.WantPack{}, r.Missing...), MissingRuns: append([]int{}, m.Gaps...), Damaged: damages(m.Damaged), Receipt: m.ReceiptName}
	out.Answer("ingest", l, func(w io.Writer) {
		fmt.Fprintf(w, "machine  %s  %s\n", l.Machine, manifest.EscapePath([]byte(l.Name)))
		if l.Receipt == "" {
			fmt.Fprintln(w, "  stopped before the end, without a receipt; what was imported stays")
			return
		}
		fmt.Fprintf(w, "  %s verified, %d imported (%s), %d were there already; %s new\n", cli.Counted(int64(l.Verified), "pack"),
			l.Imported, cli.Bytes(l.Bytes), l.Present, cli.Counted(int64(l.Commits), "commit"))
		if l.Repaired > 0 {
			fmt.Fprintf(w, "  %s of them rebuilt from parity\n", cli.Count(int64(l.Repaired)))
		}
		for _, d := range l.Damaged {
			fmt.Fprintf(w, "  damaged: %s\n", d)
		}
		for _, m := range l.Missing {
			fmt.Fprintf(w, "  missing: pack %s, %s%s\n", m.Name, m.Reason, onDisk(m.Disk))
		}
		fmt.Fprintf(w, "  receipt  %s\n", l.Receipt)
	})
}

func onDisk(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", of disk %d", n)
}

func damages(list []ingest.Damage) []string {
	out := []string{}
	for _, d := range list {
		out = append(out, d.String())
	}
	return out
}
