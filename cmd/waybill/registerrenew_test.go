package main

import (
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/manifest"
)

// A credentials file without an access leaves the machine the one that it has; but what lets it into one place is shown to no other.
func TestRenewedKeepsAccess(t *testing.T) {
	recipient, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	own := keys.Credentials{Vault: "0a000000-0000-4000-8000-000000000001", Address: "azblob://ours/vault", RecoveryRecipient: recipient.Recipient().String(), ReceiptKey: signer.Public()}
	for address, keeps := range map[string]bool{own.Address: true, "azblob://theirs/vault": false} {
		file := filepath.Join(t.TempDir(), "credentials.json")
		given := own
		given.Address = address
		b, err := given.Encode()
		if err == nil {
			err = os.WriteFile(file, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		had := own
		had.Access = &keys.Access{SAS: "sig=x"}
		c, err := renewed(&machine.State{Credentials: &had}, file, "")
		if err != nil {
			t.Fatal(err)
		}
		if (c.Access != nil) != keeps || c.Address != address {
			t.Errorf("%s: %+v", address, c.Access)
		}
	}
}
