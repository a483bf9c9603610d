package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"waybill/internal/cli"
	"waybill/internal/status"
	"waybill/manifest"
)

func newVaultStatus(a *app) *cobra.Command {
	stale := period(7 * day)
	cmd := &cobra.Command{
		Use:   "status [VAULT]",
		Short: "tell how the machines of a vault are doing",
		Long: `Tells of every machine of a vault how many recovery points it has, and of how many of them all is there, when it was backed up last, what it
takes up, which seeds are on their way, and warns of what somebody should look after: no backup for a week (--stale), disks that travel, packs and commits
that are lost or missing, access to the vault that ends within three days, or has.

It needs no key and no passphrase. It goes by signed manifests and receipts, and by what is there; what is in packs only "verify" reads.
Warnings don't change the exit code.`,
		Example: `  waybill vault status /srv/vault
  waybill vault status --json --stale 2d azblob://acmebackup/vault
  WAYBILL_VAULT=/srv/vault waybill vault status`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.vaultStatus(cmd.Context(), args, time.Duration(stale))
		},
	}
	cmd.Flags().Var(&stale, "stale", "after how long without a backup to warn: a `TIME` as in 7d or 36h")
	return cmd
}

// machineStatus is how a machine is doing, as JSON.
type machineStatus struct {
	Machine    manifest.ID  `json:"machine"`
	Name       string       `json:"name"`
	Registered time.Time    `json:"registered"`
	Points     int          `json:"points"`
	Restorable int          `json:"restorable"` // of those: points of which all is in the vault
	Last       *time.Time   `json:"last,omitempty"`
	Packs      int          `json:"packs"`
	Bytes      int64        `json:"bytes"`
	Seeds      []seedStatus `json:"seeds"` // on their way
	Lost       int          `json:"lost_packs"`
	Missing    int          `json:"missing_packs"`
	Gaps       int          `json:"missing_commits"`
	Access     *time.Time   `json:"access_expires,omitempty"`
	Warnings   []string     `json:"warnings"`
}

// seedStatus is a seed of which disks have not arrived.
type seedStatus struct {
	Set      manifest.ID `json:"set"`
	Time     time.Time   `json:"time"`
	Disks    int         `json:"disks"`
	Imported int         `json:"disks_imported"`
	Packs    int         `json:"missing_packs"`
}

// vaultStatus is all of it.
type vaultStatus struct {
	Vault    manifest.ID `json:"vault"`
	Address  string      `json:"address"`
	Machines int         `json:"machines"`
	Points   int         `json:"points"`
	Packs    int         `json:"packs"`
	Bytes    int64       `json:"bytes"`
	Seeds    int         `json:"seeds"` // on their way
	Last     *time.Time  `json:"last,omitempty"`
	Warned   int         `json:"warned"` // machines with warnings
}

func (a *app) vaultStatus(ctx context.Context, args []string, stale time.Duration) error {
	o, err := a.openVaultOf(ctx, args)
	if err != nil {
		return err
	}
	defer o.Close()
	now, all, flawed := time.Now(), vaultStatus{Vault: o.doc.Vault, Address: o.address}, 0
	err = status.Machines(ctx, o.Store, o.doc, func(m *status.Machine) error {
		l := newMachineStatus(m, m.Warnings(now, stale))
		all.add(&l)
		if m.Err != nil {
			flawed++
		}
		a.out.Answer("machine-status", l, func(w io.Writer) {
			if all.Machines == 1 {
				fmt.Fprintf(w, "%-36s  %-16s  %6s  %10s  %s\n", "MACHINE", "LAST BACKUP", "POINTS", "STORED", "NAME")
			}
			l.write(w)
		})
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("vault %s: %w", o.address, err)
	}
	a.out.Answer("vault-status", all, func(w io.Writer) {
		fmt.Fprintf(w, "vault %s: %s, %s, %s in %s; %s in transit; %s\n", all.Vault, cli.Counted(int64(all.Machines), "machine"), cli.Counted(int64(all.Points), "point"),
			cli.Bytes(all.Bytes), cli.Counted(int64(all.Packs), "pack"), cli.Counted(int64(all.Seeds), "seed"), all.warned())
	})
	if flawed > 0 {
		return cli.Errorf(cli.Damaged, "the documents of %s are not as they should be", cli.Counted(int64(flawed), "machine")).Hinted("`waybill verify` tells more")
	}
	return nil
}

func newMachineStatus(m *status.Machine, warnings []string) machineStatus {
	l := machineStatus{Machine: m.ID, Name: m.Name, Registered: m.Registered, Points: m.Points, Restorable: m.Restorable, Last: set(m.Last), Packs: m.Packs, Bytes: m.Bytes,
		Seeds: []seedStatus{}, Lost: m.Lost, Missing: m.Missing, Gaps: len(m.Gaps), Access: set(m.Access), Warnings: append([]string{}, warnings...)}
	for _, s := range m.Seeds {
		l.Seeds = append(l.Seeds, seedStatus(s))
	}
	return l
}

// set is nil for no time.
func set(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (l *machineStatus) write(w io.Writer) {
	last := "never"
	if l.Last != nil {
		last = l.Last.Local().Format("2006-01-02 15:04")
	}
	fmt.Fprintf(w, "%-36s  %-16s  %6s  %10s  %s\n", l.Machine, last, cli.Count(int64(l.Points)), cli.Bytes(l.Bytes), manifest.EscapePath([]byte(l.Name)))
	for _, text := range l.Warnings {
		fmt.Fprintf(w, "  ! %s\n", text)
	}
}

func (v *vaultStatus) add(l *machineStatus) {
	v.Machines++
	v.Points += l.Points
	v.Packs += l.Packs
	v.Bytes += l.Bytes
	v.Seeds += len(l.Seeds)
	if l.Last != nil && (v.Last == nil || l.Last.After(*v.Last)) {
		v.Last = l.Last
	}
	if len(l.Warnings) > 0 {
		v.Warned++
	}
}

func (v *vaultStatus) warned() string {
	if v.Warned == 0 {
		return "nothing to look after"
	}
	return "look after " + cli.Counted(int64(v.Warned), "machine")
}
