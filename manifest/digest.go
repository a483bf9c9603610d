package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// A Digest is a SHA-256. Its text is 64 lower-case hex digits; as JSON, the zero digest,
// which stands for none, is the empty string.
type Digest [32]byte

// Sum is the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads what String writes, and nothing else; it fails with ErrFormat.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if !parseHex(d[:], s) {
		return Digest{}, fmt.Errorf("digest %.80q: %w", s, ErrFormat)
	}
	return d, nil
}

// String returns 64 lower-case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether d is the zero value, which stands for no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText writes hex; the zero digest is empty.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return []byte{}, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d = Digest{}
	if len(b) > 0 {
		*d, err = ParseDigest(string(b))
	}
	return err
}

// parseHex fills dst from exactly as many lower-case digits as it needs.
func parseHex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	for i := range dst {
		hi, ok1 := lowerHex(s[2*i])
		lo, ok2 := lowerHex(s[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func lowerHex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// An ID is a UUID in its canonical form: lower case, with hyphens. The empty ID stands for none.
type ID string

// ParseID accepts a UUID in its canonical form, and nothing else; it fails with ErrFormat.
func ParseID(s string) (ID, error) {
	if !ID(s).valid() {
		return "", fmt.Errorf("id %.80q: %w", s, ErrFormat)
	}
	return ID(s), nil
}

func (id ID) valid() bool {
	ok := len(id) == 36
	for i := 0; ok && i < len(id); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			ok = id[i] == '-'
		} else {
			_, ok = lowerHex(id[i])
		}
	}
	return ok
}

// UnmarshalText reads a canonical UUID.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}
