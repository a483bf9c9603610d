package keys

import (
	"fmt"
	"time"

	"filippo.io/age"

	"waybill/manifest"
)

const credentialsFormat = "waybill credentials 1"

// Credentials tell a machine which vault it is to be registered in, and which keys that
// vault has. Whoever can change them on their way can have the machine encrypt
// to somebody else's key. With Access they are a secret, without it they hold none.
type Credentials struct {
	Vault             manifest.ID        `json:"vault"`
	Address           string             `json:"address"` // where the vault is: an absolute path, or azblob://...
	RecoveryRecipient string             `json:"recovery_recipient"`
	ReceiptKey        manifest.PublicKey `json:"receipt_key"`
	Created           time.Time          `json:"created"`
	Access            *Access            `json:"access,omitempty"` // nil where none is needed, or the machine has other means
}

type credentialsFile struct {
	Format string `json:"format"`
	Credentials
}

// Encode returns the credentials file.
func (c *Credentials) Encode() ([]byte, error) { return encode(credentialsFile{credentialsFormat, *c}) }

// ParseCredentials reads a credentials file; anything else fails with manifest.ErrFormat.
func ParseCredentials(b []byte) (*Credentials, error) {
	const what = "vault credentials"
	var f credentialsFile
	if err := parse(what, b, 64<<10, &f); err != nil {
		return nil, err
	}
	bad := func(which string) error { return fmt.Errorf("%s: %w: %s", what, manifest.ErrFormat, which) }
	if f.Format != credentialsFormat {
		return nil, bad(fmt.Sprintf("of the unknown form %q", f.Format))
	}
	if _, err := manifest.ParseID(string(f.Vault)); err != nil {
		return nil, bad("the vault's id")
	}
	if _, err := f.Recipient(); err != nil {
		return nil, bad("the recovery recipient")
	}
	if f.Address == "" {
		return nil, bad("no address")
	}
	if f.Access != nil && !f.Access.whole() {
		return nil, bad("the access")
	}
	return &f.Credentials, nil
}

// Recipient is the public half of the vault's recovery key.
func (c *Credentials) Recipient() (*age.X25519Recipient, error) {
	return age.ParseX25519Recipient(c.RecoveryRecipient)
}
