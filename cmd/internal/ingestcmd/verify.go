package ingestcmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"waybill/ingest"
	"waybill/internal/cli"
	"waybill/internal/durable"
	"waybill/manifest"
)

// Verify returns the command that checks disks and vaults without keys.
func Verify(out *cli.Output) *cobra.Command {
	return &cobra.Command{
		Use:   "verify DISK|VAULT",
		Short: "check a disk or a vault, without keys",
		Long: `Checks a disk or a vault: every signature, every link of each machine's chain, every pack against its name. All of it is
read. It takes no key.`,
		Example: `  waybill-ingest verify /mnt/disk1
  waybill-ingest verify --json /srv/vault`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return VerifyTree(cmd.Context(), out, args[0]) },
	}
}

// VerifyLine is what was found in a disk or a vault, as JSON.
type VerifyLine struct {
	Vault     manifest.ID         `json:"vault"`
	Disk      int                 `json:"disk,omitempty"` // its number; none for a vault
	Disks     int                 `json:"disks,omitempty"`
	State     string              `json:"state,omitempty"` // of a disk
	Machines  []MachineLine       `json:"machines"`
	Packs     int                 `json:"packs"` // found good
	Bytes     int64               `json:"bytes"`
	Elsewhere int                 `json:"elsewhere"` // packs that other disks of the set carry
	Damaged   []string            `json:"damaged"`
	Missing   []manifest.WantPack `json:"missing"`
	Extra     []string            `json:"extra"` // files that nothing refers to
}

// MachineLine is one machine of a VerifyLine.
type MachineLine struct {
	Machine manifest.ID     `json:"machine"`
	Name    string          `json:"name"`
	Commits int             `json:"commits"`
	Newest  manifest.Digest `json:"newest"`
	Gaps    []int           `json:"missing_commits"`
}

// VerifyTree checks a disk or a vault and tells what it found.
func VerifyTree(ctx context.Context, out *cli.Output, name string) error {
	d, err := durable.Open(name)
	if err != nil {
		return cli.Errorf(cli.NoVault, "opening %s: %w", name, err).Hinted("is it mounted?")
	}
	defer d.Close()
	p := &ingest.Progress{}
	stop := out.Progress(sample("verifying", p))
	r, err := ingest.Verify(ctx, ingest.Source{Name: name, Reader: d}, ingest.Options{Progress: p})
	stop()
	if r == nil {
		return err
	}
	l := newVerifyLine(r)
	out.Answer("verify", l, func(w io.Writer) { l.write(w, name) })
	return err
}

func newVerifyLine(r *ingest.VerifyReport) *VerifyLine {
	l := &VerifyLine{Vault: r.Vault, Packs: r.Packs, Bytes: r.Bytes, Elsewhere: r.Elsewhere, Machines: []MachineLine{},
		Damaged: damages(r.Damaged), Missing: append([]manifest.WantPack{}, r.Missing...), Extra: []string{}}
	for _, name := range r.Extra {
		l.Extra = append(l.Extra, manifest.EscapePath([]byte(name)))
	}
	if r.Label != nil {
		l.Disk, l.Disks, l.State = r.Label.Disk, r.Label.Disks, string(r.Label.State)
	}
	for _, m := range r.Machines {
		line := MachineLine{Machine: m.Machine, Name: m.Name, Commits: m.Commits, Gaps: append([]int{}, m.Gaps...)}
		if m.Newest != nil {
			line.Newest = m.Newest.Digest
		}
		l.Machines = append(l.Machines, line)
	}
	return l
}

func (l *VerifyLine) write(w io.Writer, name string) {
	what := "vault"
	if l.Disk != 0 {
		what = fmt.Sprintf("disk %d of %d, %s, for vault", l.Disk, l.Disks, l.State)
	}
	fmt.Fprintf(w, "%s: %s %s\n", name, what, l.Vault)
	for _, m := range l.Machines {
		fmt.Fprintf(w, "  machine %s  %s  %s, the newest %.12s\n", m.Machine, manifest.EscapePath([]byte(m.Name)), cli.Counted(int64(m.Commits), "commit"), m.Newest)
	}
	fmt.Fprintf(w, "  %s good, %s\n", cli.Counted(int64(l.Packs), "pack"), cli.Bytes(l.Bytes))
	if l.Elsewhere > 0 {
		fmt.Fprintf(w, "  %s on other disks of the set\n", cli.Counted(int64(l.Elsewhere), "pack"))
	}
	for _, d := range l.Damaged {
		fmt.Fprintf(w, "  damaged: %s\n", d)
	}
	for _, m := range l.Missing {
		fmt.Fprintf(w, "  missing: pack %s%s\n", m.Name, onDisk(m.Disk))
	}
	if len(l.Extra) > 0 {
		fmt.Fprintf(w, "  %s that nothing refers to, the first: %s\n", cli.Counted(int64(len(l.Extra)), "file"), l.Extra[0])
	}
}
