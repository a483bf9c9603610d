package manifest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"aead.dev/minisign"
)

// ErrSignature says that a signature is missing, malformed, or not by the key it should be by.
var ErrSignature = errors.New("bad signature")

// A PublicKey is a minisign public key in its one-line base64 form, "RW...".
type PublicKey string

// ParsePublicKey accepts a public key in its one-line form; it fails with ErrFormat.
func ParsePublicKey(s string) (PublicKey, error) {
	_, err := PublicKey(s).parse()
	return PublicKey(s), err
}

func (k PublicKey) parse() (key minisign.PublicKey, err error) {
	if err = key.UnmarshalText([]byte(k)); err != nil || key.String() != string(k) {
		return key, fmt.Errorf("public key %.80q: %w", k, ErrFormat)
	}
	return key, nil
}

// A Signer is a minisign key pair. It is safe for concurrent use.
type Signer struct{ key minisign.PrivateKey }

// NewSigner makes a key pair from the system's randomness.
func NewSigner() (*Signer, error) {
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	return &Signer{key}, nil
}

// ParseSigner reads an unencrypted minisign secret key file; it fails with ErrFormat.
func ParseSigner(text []byte) (*Signer, error) {
	s := &Signer{}
	if err := s.key.UnmarshalText(text); err != nil {
		return nil, fmt.Errorf("signing key: %w: %w", ErrFormat, err)
	}
	return s, nil
}

// MarshalText writes the unencrypted minisign secret key file that ParseSigner reads.
func (s *Signer) MarshalText() ([]byte, error) { return s.key.MarshalText() }

// Public is the key that verifies what the signer signs.
func (s *Signer) Public() PublicKey {
	return PublicKey(s.key.Public().(minisign.PublicKey).String())
}

// Sign returns a detached minisign signature file of b, in the prehashed form. The same bytes
// have the same signature, so writing one twice is harmless.
func (s *Signer) Sign(b []byte) ([]byte, error) {
	r := minisign.NewReader(bytes.NewReader(b))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return r.SignWithComments(s.key, "signed by waybill", "signature from waybill"), nil
}

// Verify checks a detached signature file; it fails with ErrSignature when the signature is not b's by that key
// in the prehashed form, and with ErrFormat when the key is none.
func Verify(key PublicKey, b, sig []byte) error {
	k, err := key.parse()
	if err != nil {
		return err
	}
	var s minisign.Signature
	if err := s.UnmarshalText(sig); err != nil {
		return fmt.Errorf("%w: not a signature file: %w", ErrSignature, err)
	}
	if s.Algorithm != minisign.HashEdDSA || !minisign.Verify(k, b, sig) {
		return fmt.Errorf("%w: not by the key %s, or not of these bytes", ErrSignature, key)
	}
	return nil
}
