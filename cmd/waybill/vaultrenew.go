package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/internal/status"
	"waybill/manifest"
)

type renewFlags struct {
	machines []string
	valid    period
	all      bool
}

func newVaultRenew(a *app) *cobra.Command {
	f := renewFlags{valid: period(30 * day)}
	cmd := &cobra.Command{
		Use:   "renew [VAULT]",
		Short: "let the registered machines go on coming into a vault",
		Long: `Gives every machine that is registered in a vault in Azure Blob Storage a new shared access signature, like that of "vault credentials", good for 30 days
(--valid). It is put into the vault, sealed so that only that machine can open it; the machine takes it at its next backup, while its last one is
still good. Machines whose access lasts for more than half that time are passed over, unless --all is given, so that this can run every day.

It takes the account's key or a login, as "vault credentials" does. A login signs for 7 days at most: run it daily then.

A machine that was away for too long gets a file instead: "vault credentials --machine UUID".

Whoever has a machine's access can register others: look for machines in the answer that you don't know. After a break-in name yours with --machine: any other that
is registered may be the intruder's.`,
		Example: `  waybill vault renew azblob://acmebackup/vault
  waybill vault renew --all --valid 90d azblob://acmebackup/vault       all of them for longer than usual
  waybill vault renew --machine 0f8c2d3e-4b5a-4697-8877-665544332211 azblob://acmebackup/vault`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.renew(cmd.Context(), args, cmd.Flags().Changed("valid"), &f)
		},
	}
	cmd.Flags().StringArrayVar(&f.machines, "machine", nil, "only the machine with this `UUID`; may be given again")
	cmd.Flags().Var(&f.valid, "valid", "for how long: a `TIME` as in 30d or 12h")
	cmd.Flags().BoolVar(&f.all, "all", false, "also those whose access lasts")
	return cmd
}

// renewedLine is what vault renew did for a machine.
type renewedLine struct {
	Machine manifest.ID `json:"machine"`
	Name    string      `json:"name"`
	Renewed bool        `json:"renewed"`
	Expires time.Time   `json:"expires"`
	Object  string      `json:"object"` // its name in the vault
}

func (a *app) renew(ctx context.Context, args []string, asked bool, f *renewFlags) error {
	o, err := a.openVaultOf(ctx, args)
	if err != nil {
		return err
	}
	defer o.Close()
	if !place.Remote(o.address) {
		return cli.Errorf(cli.Usage, "%s asks nobody for leave: there is nothing to renew", o.address)
	}
	ids, err := f.ids(ctx, o)
	if err != nil {
		return err
	}
	now := time.Now()
	access, err := a.machineAccess(ctx, o.address, now, &f.valid, asked)
	if err != nil {
		return err
	}
	bad := 0
	for _, id := range ids {
		l, err := o.renew(ctx, id, access, now.Add(time.Duration(f.valid)/2), f.all)
		if errors.Is(err, manifest.ErrFormat) || errors.Is(err, manifest.ErrSignature) {
			a.out.Warn("machine %s: %v", id, err)
			bad++
			continue
		}
		if err != nil {
			return err
		}
		a.out.Answer("renewed", l, func(w io.Writer) {
			what := "renewed, until"
			if !l.Renewed {
				what = "lasts until"
			}
			fmt.Fprintf(w, "%s  %s  %s  %s\n", l.Machine, what, l.Expires.Local().Format("2006-01-02 15:04"), manifest.EscapePath([]byte(l.Name)))
		})
	}
	if bad > 0 {
		return cli.Errorf(cli.Damaged, "%s not renewed", cli.Counted(int64(bad), "machine")).Hinted("`waybill verify` tells more about their documents")
	}
	return nil
}

// ids are the machines that are meant.
func (f *renewFlags) ids(ctx context.Context, o *openVault) (ids []manifest.ID, err error) {
	if len(f.machines) == 0 {
		return manifest.Machines(ctx, o)
	}
	for _, text := range f.machines {
		id, err := manifest.ParseID(text)
		if err != nil {
			return nil, cli.Errorf(cli.Usage, "--machine %s: %w", text, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// renew puts the access into the vault for a machine, unless one lasts until then.
func (o *openVault) renew(ctx context.Context, id manifest.ID, access *keys.Access, until time.Time, all bool) (*renewedLine, error) {
	m, err := manifest.OpenMachine(ctx, o, id)
	if err != nil {
		return nil, err
	}
	ends, err := status.Access(ctx, o, id, access.Expires.Add(time.Second)) // what claims to last longer is not ours
	if err != nil {
		return nil, err
	}
	l := &renewedLine{Machine: id, Name: m.Name, Expires: ends}
	if all || ends.Before(until) {
		sealed, err := access.Seal(o.doc.Vault, id, m.CatalogueRecipient)
		if err != nil {
			return nil, err
		}
		l.Renewed, l.Expires = true, access.Expires
		if err := o.Put(ctx, manifest.AccessName(id, l.Expires), bytes.NewReader(sealed)); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	l.Object = manifest.AccessName(id, l.Expires)
	return l, nil
}
