package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"waybill/cmd/internal/place"
	"waybill/internal/keys"
	"waybill/manifest"
)

func newVault(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "vault", Short: "make a vault, the place where backups live, let machines in, and see how they are doing"}
	cmd.AddCommand(newVaultCreate(a), newVaultCredentials(a), newVaultRenew(a), newVaultStatus(a))
	return cmd
}

func newVaultCreate(a *app) *cobra.Command {
	var secret secret
	var credentials string
	cmd := &cobra.Command{
		Use:   "create VAULT",
		Short: "make a new vault in an empty directory, or in a container of Azure Blob Storage",
		Long: `Makes a new vault in a directory that is empty or doesn't exist yet, or in a container of Azure Blob Storage. The container
is made unless it is there; nothing may be in it, or below its prefix. How a vault in a container is
addressed, and where its secret comes from, "waybill help environment" tells.

Everything in a vault is encrypted to its recovery key. The passphrase unlocks that key; the key itself is
printed once, to be written down and kept apart from the vault. Who has lost both can't restore anything,
and nobody can help.

The credentials file tells a machine which vault is meant, and with which key to encrypt. It holds no
secret, but hand it over in a way that nobody can change it.`,
		Example: `  waybill vault create /srv/vault
  waybill vault create --passphrase-file pass --credentials db.json /srv/vault
  waybill vault create --secret-file key azblob://acmebackup/vault`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.createVault(cmd.Context(), args[0], credentials, &secret)
		},
	}
	secret.passphraseFlag(cmd.Flags())
	cmd.Flags().StringVar(&credentials, "credentials", "waybill-credentials.json", "where to write the vault's credentials `FILE`; it must not exist")
	return cmd
}

// created is the answer of vault create.
type created struct {
	Vault       manifest.ID `json:"vault"`
	Address     string      `json:"address"`
	Credentials string      `json:"credentials"`
	RecoveryKey string      `json:"recovery_key"`
}

func (a *app) createVault(ctx context.Context, where, credentials string, s *secret) error {
	address, err := place.Clean(where)
	if err != nil {
		return err
	}
	if err := absent(credentials, "--credentials"); err != nil {
		return err
	}
	passphrase, err := s.newPassphrase(ctx)
	if err != nil {
		return err
	}
	recovery, err := keys.NewRecovery()
	if err != nil {
		return err
	}
	v, err := a.fillVault(ctx, address, passphrase, recovery, time.Now())
	if err != nil {
		return err
	}
	c := keys.Credentials{Vault: v.Vault, Address: address, RecoveryRecipient: v.RecoveryRecipient, ReceiptKey: v.ReceiptKey, Created: v.Created}
	b, err := c.Encode()
	if err == nil {
		err = writeNew(credentials, b, 0o666)
	}
	if err != nil {
		return err
	}
	a.out.Answer("vault", created{v.Vault, address, credentials, recovery.String()}, func(w io.Writer) {
		fmt.Fprintf(w, "vault        %s\naddress      %s\ncredentials  %s\n\n", v.Vault, address, credentials)
		fmt.Fprintf(w, "Recovery key, shown this once. Write it down and keep it apart from the vault:\n\n  %s\n", recovery)
	})
	return nil
}

// fillVault makes the vault's directory or container, and its documents. waybill.json comes last: without it
// there is no vault.
func (a *app) fillVault(ctx context.Context, address string, passphrase []byte, recovery *age.X25519Identity, now time.Time) (*manifest.Vault, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("making the vault's id: %w", err)
	}
	receipts, err := manifest.NewSigner()
	if err != nil {
		return nil, err
	}
	v := &manifest.Vault{Vault: manifest.ID(id.String()), Created: now.UTC().Truncate(time.Second),
		RecoveryRecipient: recovery.Recipient().String(), ReceiptKey: receipts.Public()}
	wrapped, err := keys.Wrap(recovery, passphrase, v.Vault, a.cost)
	if err != nil {
		return nil, err
	}
	receiptKey, err := receipts.MarshalText()
	if err != nil {
		return nil, err
	}
	doc, err := v.Encode()
	if err != nil {
		return nil, err
	}
	store, err := place.CreateVault(ctx, address, a.secrets)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	for _, f := range []struct {
		name string
		body []byte
	}{{manifest.RecoveryName, wrapped}, {manifest.ReceiptKeyName, receiptKey}, {manifest.VaultName, doc}} {
		if err := store.Put(ctx, f.name, bytes.NewReader(f.body)); err != nil {
			return nil, fmt.Errorf("making a vault in %s: %w", address, err)
		}
	}
	return v, nil
}
