package manifest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// ErrSignature says that a signature is missing, malformed, or not by the key it should be.
var ErrSignature = errors.New("bad signature")

// A PublicKey is a minisign public key in its one-line base64 form, "RW...".
type PublicKey string

// A Signer is a minisign key pair.
type Signer struct{ key minisign.PrivateKey }

// NewSigner makes a key pair from the system's randomness.
func NewSigner() (*Signer, error) {
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	return &Signer{key}, nil
}

// ParseSigner reads an unencrypted minisign secret key file.
func ParseSigner(text []byte) (*Signer, error) {
	s := &Signer{}
	if err := s.key.UnmarshalText(text); err != nil {
		return nil, fmt.Errorf("signing key: %w: %v", ErrFormat, err)
	}
	return s, nil
}

// MarshalText writes the secret key as ParseSigner reads it.
func (s *Signer) MarshalText() ([]byte, error) { return s.key.MarshalText() }

// Public is the key that verifies what the signer signs.
func (s *Signer) Public() PublicKey {
	return PublicKey(s.key.Public().(minisign.PublicKey).String())
}

// Sign returns a detached minisign signature file of b, in the prehashed form.
func (s *Signer) Sign(b []byte) ([]byte, error) {
	return minisign.SignWithComments(s.key, b, "signed by waybill", "signature from waybill"), nil
}

// Verify checks a detached signature; ErrSignature when it is not b's by that key.
func Verify(key PublicKey, b, sig []byte) error {
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(strings.TrimSpace(string(key)))); err != nil {
		return fmt.Errorf("public key %.80q: %w: %v", key, ErrFormat, err)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(sig); err != nil || s.Algorithm != minisign.HashEdDSA || !minisign.Verify(k, b, sig) {
		return ErrSignature
	}
	return nil
}
