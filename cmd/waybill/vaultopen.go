package main

import (
	"context"
	"fmt"
	"os"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/manifest"
)

// An openVault is a vault, open for those who run it.
type openVault struct {
	place.Store
	address string
	doc     *manifest.Vault
}

// openVaultOf opens the vault that is given as an argument, else that of WAYBILL_VAULT, else this machine's. Only in the last case
// it comes in as this machine: who names a vault runs it, and has means of his own. The caller closes it.
func (a *app) openVaultOf(ctx context.Context, args []string) (*openVault, error) {
	address, err := a.vaultAddress(args)
	if err != nil {
		return nil, err
	}
	secrets := a.secrets
	if len(args) > 0 || os.Getenv("WAYBILL_VAULT") != "" {
		secrets.Own = nil
	}
	v, err := place.OpenVault(ctx, address, secrets)
	if err != nil {
		return nil, err
	}
	doc, err := vaultOf(ctx, tree{v})
	if err != nil {
		v.Close()
		return nil, err
	}
	return &openVault{v, address, doc}, nil
}

func (a *app) vaultAddress(args []string) (string, error) {
	if len(args) > 0 {
		return place.Clean(args[0])
	}
	if address := os.Getenv("WAYBILL_VAULT"); address != "" {
		return place.Clean(address)
	}
	s, err := a.openState()
	if err != nil {
		return "", cli.Errorf(cli.Usage, "which vault?").Hinted("name it, or set WAYBILL_VAULT; on a registered machine it is that machine's")
	}
	defer s.Close()
	return s.Credentials.Address, nil
}

// credentials are those of the vault, without access.
func (o *openVault) credentials() *keys.Credentials {
	return &keys.Credentials{Vault: o.doc.Vault, Address: o.address, RecoveryRecipient: o.doc.RecoveryRecipient, ReceiptKey: o.doc.ReceiptKey, Created: o.doc.Created}
}

// alike makes sure that the vault has the keys that an earlier credentials file has, if one is named.
func (o *openVault) alike(file string) error {
	if file == "" {
		return nil
	}
	c, err := readCredentials(file)
	if err != nil {
		return err
	}
	if c.Vault != o.doc.Vault || c.RecoveryRecipient != o.doc.RecoveryRecipient || c.ReceiptKey != o.doc.ReceiptKey {
		return fmt.Errorf("the vault at %s has not the id and keys that %s has: %w", o.address, file, machine.ErrOtherVault)
	}
	return nil
}
