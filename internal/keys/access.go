package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"waybill/manifest"
)

const accessFormat = "waybill access 1"

// An Access lets a machine into a vault that asks for it, until it ends. Printed, it tells only when.
type Access struct {
	SAS     string    `json:"sas"`
	Expires time.Time `json:"expires"`
}

type accessFile struct {
	Format  string      `json:"format"`
	Vault   manifest.ID `json:"vault"`
	Machine manifest.ID `json:"machine"`
	Access
}

// String tells no secret.
func (a Access) String() string { return "access until " + a.Expires.UTC().Format(time.RFC3339) }

// GoString is String.
func (a Access) GoString() string { return a.String() }

func (a Access) whole() bool { return a.SAS != "" && len(a.SAS) <= maxSAS && !a.Expires.IsZero() }

// maxSAS is the most bytes of a signature; those of the service have some hundreds.
const maxSAS = 4 << 10

// Seal returns the access sealed for one machine, which it names: nobody else can open it.
func (a Access) Seal(vault, machine manifest.ID, recipient string) ([]byte, error) {
	r, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("sealing a machine's access: its catalogue recipient: %w", err)
	}
	a.Expires = a.Expires.UTC().Truncate(time.Second)
	plain, err := encode(accessFile{accessFormat, vault, machine, a})
	if err != nil {
		return nil, err
	}
	return seal(plain, r)
}

// OpenAccess opens what Seal returned. Anything else fails with manifest.ErrFormat, or with ErrWrongKey when it is another machine's.
func OpenAccess(b []byte, s *Secrets) (*Access, error) {
	const what = "a machine's access"
	plain, err := unseal(b, s.Catalogue)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", what, err)
	}
	var f accessFile
	if err := parse(what, plain, maxSecrets, &f); err != nil {
		return nil, err
	}
	if f.Format != accessFormat || f.Vault != s.Vault || f.Machine != s.Machine || !f.whole() {
		return nil, fmt.Errorf("%s: %w: it is not for machine %s", what, manifest.ErrFormat, s.Machine)
	}
	return &f.Access, nil
}

// IsSealed tells an age file.
func IsSealed(b []byte) bool { return bytes.HasPrefix(b, []byte("age-encryption.org/")) }

func seal(plain []byte, r age.Recipient) ([]byte, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, r)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// unseal fails with ErrWrongKey or manifest.ErrFormat.
func unseal(b []byte, id age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(b), id)
	var wrong *age.NoIdentityMatchError
	if errors.As(err, &wrong) {
		return nil, ErrWrongKey
	}
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(io.LimitReader(r, maxSecrets+1))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", manifest.ErrFormat, err)
	}
	return plain, nil
}
