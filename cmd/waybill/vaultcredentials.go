package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/manifest"
)

type credentialsFlags struct {
	who     string
	machine string
	valid   period
	out     string
	like    string
}

func newVaultCredentials(a *app) *cobra.Command {
	f := credentialsFlags{valid: period(10 * day)}
	cmd := &cobra.Command{
		Use:   "credentials [VAULT]",
		Short: "let a machine, or who ingests, into a vault",
		Long: `Writes a file that lets somebody into a vault, for a time.

For a machine that is to be registered it is a credentials file as "vault create" writes one. Where the vault is in Azure Blob Storage, it has
a shared access signature, too, by which the machine may create objects, read and list them, and neither overwrite nor delete
anything. THE FILE IS A SECRET THEN: whoever has it can store in the vault, and read what is there, encrypted as it is. Registering within ten days
turns it into the machine's own; "vault renew" gives the machine a later one before it ends.

With --machine the file is for a machine that is registered already, for "register --renew", and sealed: nobody else can use it.

With --for ingest it is a secret for --secret-file of those who ingest. They may do in the vault what a machine may; beside it a container is made, called as the
vault's with "-work" at its end, in which several of them agree on who does what.

It takes the storage account's key, from a file or the environment, or a login, such as that of "az login" or a managed identity, that may read, write, and have user delegation keys
("Storage Blob Data Contributor" and "Storage Blob Delegator"). What a login signs is good for 7 days at most: Azure wants it so.

A signature reaches a whole container. Who keeps several vaults apart, gives each a container.

--like takes the vault's keys from an earlier credentials file, and refuses a vault that has others by now: somebody who can write where the vault is could
have new machines encrypt to a key of his own.`,
		Example: `  waybill vault credentials azblob://acmebackup/vault --secret-file key
  waybill vault credentials azblob://acmebackup/vault --like waybill-credentials.json --out db2.json
  waybill vault credentials azblob://acmebackup/vault --machine 0f8c2d3e-4b5a-4697-8877-665544332211 --out db1.age
  waybill vault credentials azblob://acmebackup/vault --for ingest --valid 30d --out ingest-secret`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.credentials(cmd.Context(), args, cmd.Flags().Changed("valid"), &f)
		},
	}
	cmd.Flags().StringVar(&f.who, "for", "machine", "`WHO` is let in: machine or ingest")
	cmd.Flags().StringVar(&f.machine, "machine", "", "the `UUID` of a machine that is registered already")
	cmd.Flags().Var(&f.valid, "valid", "for how long: a `TIME` as in 10d or 12h")
	cmd.Flags().StringVar(&f.out, "out", "waybill-credentials.json", "where to write the `FILE`; it must not exist")
	cmd.Flags().StringVar(&f.like, "like", "", "the vault must have the keys that this credentials `FILE` has")
	cmd.MarkFlagsMutuallyExclusive("for", "machine")
	return cmd
}

// credentialsLine is the answer of vault credentials.
type credentialsLine struct {
	Vault   manifest.ID `json:"vault"`
	Address string      `json:"address"`
	For     string      `json:"for"`
	Machine manifest.ID `json:"machine,omitempty"`
	File    string      `json:"file"`
	Expires *time.Time  `json:"expires,omitempty"` // when a secret in it, if there is one, ends
}

func (a *app) credentials(ctx context.Context, args []string, asked bool, f *credentialsFlags) error {
	if f.who != "machine" && f.who != "ingest" {
		return cli.Errorf(cli.Usage, "--for %s: it is machine or ingest", f.who)
	}
	if err := absent(f.out, "--out"); err != nil {
		return err
	}
	o, err := a.openVaultOf(ctx, args)
	if err != nil {
		return err
	}
	defer o.Close()
	if err := o.alike(f.like); err != nil {
		return err
	}
	l := credentialsLine{Vault: o.doc.Vault, Address: o.address, For: f.who, File: f.out}
	body, ends, err := a.letIn(ctx, o, &l, asked, f)
	if err != nil {
		return err
	}
	mode := os.FileMode(0o666)
	if !ends.IsZero() {
		l.Expires, mode = &ends, 0o600
	}
	if err := writeNew(f.out, body, mode); err != nil {
		return err
	}
	a.out.Answer("credentials", l, func(w io.Writer) {
		fmt.Fprintf(w, "vault    %s  %s\nfile     %s\n", l.Vault, l.Address, l.File)
		if l.Expires != nil {
			fmt.Fprintf(w, "until    %s\n", ends.Local().Format("2006-01-02 15:04"))
		}
	})
	switch {
	case l.Machine != "":
		a.out.Say("On that machine: `waybill register --renew %s`. Nobody else can use it.", f.out)
	case !ends.IsZero():
		a.out.Say("%s is a secret: hand it over in a way that nobody else can read, and remove it here.", f.out)
	}
	return nil
}

// letIn makes what the file has in it, and tells when it ends; zero for what has no secret.
func (a *app) letIn(ctx context.Context, o *openVault, l *credentialsLine, asked bool, f *credentialsFlags) (body []byte, ends time.Time, err error) {
	now := time.Now()
	if f.who == "ingest" {
		var text string
		err = a.within(&f.valid, asked, func(valid time.Duration) (err error) {
			text, ends, err = a.secrets.ForIngest(ctx, o.address, now, valid)
			return err
		})
		return []byte(text), ends, err
	}
	var access *keys.Access
	if place.Remote(o.address) {
		if access, err = a.machineAccess(ctx, o.address, now, &f.valid, asked); err != nil {
			return nil, ends, err
		}
		ends = access.Expires
	}
	if f.machine == "" {
		c := o.credentials()
		c.Access = access
		body, err = c.Encode()
		return body, ends, err
	}
	if access == nil {
		return nil, ends, cli.Errorf(cli.Usage, "%s asks nobody for leave: there is nothing to renew", o.address)
	}
	if l.Machine, err = manifest.ParseID(f.machine); err != nil {
		return nil, ends, cli.Errorf(cli.Usage, "--machine %s: %w", f.machine, err)
	}
	m, err := manifest.OpenMachine(ctx, o, l.Machine)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ends, cli.Errorf(cli.Usage, "no machine %s is registered in %s", l.Machine, o.address).Hinted("`waybill vault status` lists those that are")
	}
	if err == nil {
		body, err = access.Seal(o.doc.Vault, l.Machine, m.CatalogueRecipient)
	}
	return body, ends, err
}

// machineAccess makes a machine's access to a vault.
func (a *app) machineAccess(ctx context.Context, address string, now time.Time, valid *period, asked bool) (*keys.Access, error) {
	var x place.Access
	err := a.within(valid, asked, func(valid time.Duration) (err error) {
		x, err = a.secrets.ForMachine(ctx, address, now, valid)
		return err
	})
	return &keys.Access{SAS: x.SAS, Expires: x.Expires}, err
}

// within makes something that is valid for as long as it may be: a login signs for less than is usual, which is told unless
// the time was asked for.
func (a *app) within(valid *period, asked bool, make func(time.Duration) error) error {
	err := make(time.Duration(*valid))
	if errors.Is(err, place.ErrTooLong) && !asked {
		*valid = period(place.MaxLogin)
		a.out.Say("good for %s only: a login signs for no longer, only the account's key does", valid)
		err = make(time.Duration(*valid))
	}
	if errors.Is(err, place.ErrTooLong) {
		return cli.Errorf(cli.Usage, "--valid %s: %w", valid, err).Hinted("give the account's key, by --secret-file or AZURE_STORAGE_KEY; or at most --valid 7d")
	}
	return err
}

// absent makes sure that a file that is to be written isn't there.
func absent(name, flag string) error {
	if _, err := os.Lstat(name); err == nil {
		return cli.Errorf(cli.Failed, "%s exists already", name).Hinted("say where else to write the credentials: %s FILE", flag)
	}
	return nil
}

// writeNew writes a file that must not exist.
func writeNew(name string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("writing the vault's credentials: %w", err)
	}
	return nil
}
