package keys

import (
	"fmt"

	"filippo.io/age"
	"github.com/zeebo/blake3"

	"waybill/manifest"
)

const secretsFormat = "waybill machine secrets 1"

// maxSecrets is the most bytes of a machine's secrets, sealed or not.
const maxSecrets = 64 << 10

// Secrets are what a machine knows that nobody else does, but for who holds the recovery key.
type Secrets struct {
	Vault     manifest.ID
	Machine   manifest.ID
	Catalogue *age.X25519Identity // opens the machine's catalogue packs
	Signer    *manifest.Signer    // signs machine.json and manifests

	domain [32]byte
}

// secretsFile is the secrets as JSON.
type secretsFile struct {
	Format       string      `json:"format"`
	Vault        manifest.ID `json:"vault"`
	Machine      manifest.ID `json:"machine"`
	DomainSecret []byte      `json:"domain_secret"`
	Catalogue    string      `json:"catalogue_identity"`
	SigningKey   string      `json:"signing_key"`
}

// NewSecrets makes the secrets of a new machine.
func NewSecrets(vault, machine manifest.ID) (*Secrets, error) {
	s := &Secrets{Vault: vault, Machine: machine, domain: [32]byte(random(32))}
	var err error
	if s.Catalogue, err = age.GenerateX25519Identity(); err != nil {
		return nil, fmt.Errorf("making the catalogue key: %w", err)
	}
	if s.Signer, err = manifest.NewSigner(); err != nil {
		return nil, fmt.Errorf("making the signing key: %w", err)
	}
	return s, nil
}

// DedupeKey is the key of chunk ids.
func (s *Secrets) DedupeKey() [32]byte { return s.derive("waybill 1 dedupe key") }

// CutterKey is the key that decides where content is cut.
func (s *Secrets) CutterKey() [32]byte { return s.derive("waybill 1 cutter key") }

func (s *Secrets) derive(context string) (key [32]byte) {
	blake3.DeriveKey(context, s.domain[:], key[:])
	return key
}

// Encode returns the secrets in the clear, for the machine's own state.
func (s *Secrets) Encode() ([]byte, error) {
	signing, err := s.Signer.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("writing the signing key: %w", err)
	}
	return encode(secretsFile{secretsFormat, s.Vault, s.Machine, s.domain[:], s.Catalogue.String(), string(signing)})
}

// ParseSecrets reads what Encode wrote; anything else fails with manifest.ErrFormat.
func ParseSecrets(b []byte) (*Secrets, error) {
	const what = "machine secrets"
	var f secretsFile
	if err := parse(what, b, maxSecrets, &f); err != nil {
		return nil, err
	}
	bad := func(which string) error { return fmt.Errorf("%s: %w: %s", what, manifest.ErrFormat, which) }
	if f.Format != secretsFormat {
		return nil, bad(fmt.Sprintf("of the unknown form %q", f.Format))
	}
	if len(f.DomainSecret) != 32 {
		return nil, bad("a domain secret of the wrong length")
	}
	s := &Secrets{domain: [32]byte(f.DomainSecret)}
	var err error
	if s.Vault, err = manifest.ParseID(string(f.Vault)); err != nil {
		return nil, bad("the vault's id")
	}
	if s.Machine, err = manifest.ParseID(string(f.Machine)); err != nil {
		return nil, bad("the machine's id")
	}
	if s.Catalogue, err = age.ParseX25519Identity(f.Catalogue); err != nil {
		return nil, bad("the catalogue key")
	}
	if s.Signer, err = manifest.ParseSigner([]byte(f.SigningKey)); err != nil || !signs(s.Signer) {
		return nil, bad("the signing key")
	}
	return s, nil
}

// signs tells whether both halves of a key pair belong together: a damaged one would make commits that nobody accepts.
func signs(s *manifest.Signer) bool {
	sig, err := s.Sign(nil)
	return err == nil && manifest.Verify(s.Public(), nil, sig) == nil
}

// Seal returns keys/<uuid>.age: the secrets, encrypted to the vault's recovery key.
func (s *Secrets) Seal(recovery age.Recipient) ([]byte, error) {
	plain, err := s.Encode()
	if err != nil {
		return nil, err
	}
	sealed, err := seal(plain, recovery)
	if err != nil {
		return nil, fmt.Errorf("sealing the machine's secrets: %w", err)
	}
	return sealed, nil
}

// OpenSecrets opens keys/<uuid>.age of a machine. It fails with ErrWrongKey when the identity is not
// the vault's recovery key, and with manifest.ErrFormat when the file is damaged or holds the
// secrets of another machine or vault.
func OpenSecrets(b []byte, recovery age.Identity, vault, machine manifest.ID) (*Secrets, error) {
	what := fmt.Sprintf("opening the secrets of machine %s", machine)
	plain, err := unseal(b, recovery)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	s, err := ParseSecrets(plain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if s.Vault != vault || s.Machine != machine {
		return nil, fmt.Errorf("%s: %w: they are those of machine %s in vault %s", what, manifest.ErrFormat, s.Machine, s.Vault)
	}
	return s, nil
}
