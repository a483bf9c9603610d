package ingestcmd

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/ingest"
	"waybill/internal/cli"
	"waybill/manifest"
)

// Custody returns the command that shows what was done with disks, and by whom.
func Custody(out *cli.Output, secrets *place.Secrets, program string) *cobra.Command {
	var machine string
	cmd := &cobra.Command{
		Use:   "custody DISK|VAULT",
		Short: "show what was done with a disk, when, where and by whom",
		Long: `Shows the custody log of a disk, or the logs of all disks that a vault has seen: written, sealed, received, verified,
repaired, imported, erased, each with its time, the host, the device's serial number and a note such as a tracking number.

Every entry is signed by who acted, the machine or the vault, and names the one before. An entry that was changed, that
somebody else signed, or that is gone is shown as such, and the exit code is 22. The log on a disk and the vault's are the same;
the vault's goes on where a disk could not be written.`,
		Example: fmt.Sprintf(`  %[1]s custody /mnt/disk1
  %[1]s custody --json /srv/vault
  %[1]s custody --machine 0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02 /srv/vault`, program),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := manifest.ID(machine)
			if machine != "" {
				var err error
				if id, err = manifest.ParseID(machine); err != nil {
					return cli.Errorf(cli.Usage, "--machine %s: %w", machine, err)
				}
			}
			return custody(cmd.Context(), out, *secrets, args[0], id)
		},
	}
	cmd.Flags().StringVar(&machine, "machine", "", "only the disks of the machine with this `UUID`")
	return cmd
}

// CustodyLine is one entry of a disk's custody log, as JSON.
type CustodyLine struct {
	Machine manifest.ID     `json:"machine"`
	Set     manifest.ID     `json:"set"`
	Disk    int             `json:"disk"`
	Number  int             `json:"number"`
	Problem string          `json:"problem,omitempty"` // why the entry is not to be believed; then the members below are empty
	Event   manifest.Event  `json:"event,omitempty"`
	Time    time.Time       `json:"time,omitzero"`
	Host    string          `json:"host,omitempty"`
	Tool    string          `json:"tool,omitempty"`
	Signer  string          `json:"signer,omitempty"` // machine or vault
	Serial  string          `json:"serial,omitempty"`
	Note    string          `json:"note,omitempty"`
	Packs   int             `json:"packs"`
	Bytes   int64           `json:"bytes"`
	Digest  manifest.Digest `json:"sha256"`
}

func custody(ctx context.Context, out *cli.Output, secrets place.Secrets, name string, machine manifest.ID) error {
	sources, done, err := openSources(ctx, secrets, []string{name})
	if err != nil {
		return err
	}
	defer done()
	logs, err := ingest.CustodyLogs(ctx, sources[0], machine)
	if err != nil {
		return err
	}
	bad := 0
	for _, l := range logs {
		bad += len(l.Bad)
		showLog(out, l)
	}
	switch {
	case bad > 0:
		return cli.Errorf(cli.BadSignature, "%s of the custody log can't be believed", cli.Counted(int64(bad), "entry")).
			Hinted("it was changed, taken away, or written by somebody else; compare with the vault's own log")
	case len(logs) == 0:
		out.Say("no custody log is there")
	}
	return nil
}

func showLog(out *cli.Output, l ingest.CustodyLog) {
	if !out.JSON {
		out.Answer("", nil, func(w io.Writer) {
			fmt.Fprintf(w, "disk %d of set %s, machine %s  %s\n", l.Disk, l.Set, l.Machine, manifest.EscapePath([]byte(l.Name)))
		})
	}
	entries, bad := l.Entries, l.Bad
	for len(entries)+len(bad) > 0 { // in the order of their numbers
		line := CustodyLine{Machine: l.Machine, Set: l.Set, Disk: l.Disk}
		if len(entries) == 0 || len(bad) > 0 && bad[0].Number < entries[0].Number {
			line.Number, line.Problem = bad[0].Number, bad[0].Err.Error()
			bad = bad[1:]
		} else {
			line.fill(entries[0], l.MachineKey)
			entries = entries[1:]
		}
		out.Answer("custody", line, line.write)
	}
}

func (l *CustodyLine) fill(e manifest.Custody, machine manifest.PublicKey) {
	l.Number, l.Event, l.Time, l.Host, l.Tool, l.Serial, l.Note = e.Number, e.Event, e.Time, e.Host, e.Tool, e.Serial, e.Note
	l.Packs, l.Bytes, l.Digest, l.Signer = e.Packs, e.Bytes, e.Digest, "vault"
	if e.Key == machine {
		l.Signer = "machine"
	}
}

func (l *CustodyLine) write(w io.Writer) {
	if l.Problem != "" {
		fmt.Fprintf(w, "  %4d  NOT TO BE BELIEVED: %s\n", l.Number, l.Problem)
		return
	}
	fmt.Fprintf(w, "  %4d  %s  %-8s  by the %-7s  on %s", l.Number, l.Time.UTC().Format("2006-01-02 15:04:05Z"), l.Event, l.Signer, manifest.EscapePath([]byte(l.Host)))
	if l.Packs > 0 {
		fmt.Fprintf(w, "  %s, %s", cli.Counted(int64(l.Packs), "pack"), cli.Bytes(l.Bytes))
	}
	if l.Serial != "" {
		fmt.Fprintf(w, "  serial %s", manifest.EscapePath([]byte(l.Serial)))
	}
	if l.Note != "" {
		fmt.Fprintf(w, "  %s", manifest.EscapePath([]byte(l.Note)))
	}
	fmt.Fprintln(w)
}
