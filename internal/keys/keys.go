// Package keys holds the key hierarchy of a vault: the recovery key, the
// passphrase that unlocks it, the secrets of each machine, and the credentials file
// that tells a machine which vault is meant.
//
//	passphrase --Argon2id--> keys/recovery.json --> recovery key (also on paper)
//	recovery key --age--> keys/<uuid>.age --> a machine's secrets
//
// A machine may also need leave to come into its vault: an [Access], which the vault's side gives it with the [Credentials], and later
// sealed for this machine alone.
//
// `vault create` calls [NewRecovery] and [Wrap]; registering a machine calls
// [NewSecrets] and [Secrets.Seal]; restoring calls [Unwrap] or [ParseRecoveryKey], then
// [OpenSecrets]. The machine keeps [Secrets.Encode] in its state.
//
// The formats are in manifest/FORMAT.md, section 3. The package does no input or
// output: where a passphrase comes from and where files lie is its callers' business.
package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"filippo.io/age"

	"waybill/manifest"
)

// ErrWrongKey says that a passphrase or a recovery key is not the one that opens this.
var ErrWrongKey = errors.New("wrong passphrase or recovery key")

// MinPassphrase is how many characters a new passphrase has at least.
const MinPassphrase = 16

// CheckPassphrase refuses a new passphrase that is too short, or that could not be typed again.
func CheckPassphrase(p []byte) error {
	switch n := utf8.RuneCount(p); {
	case !utf8.Valid(p):
		return errors.New("the passphrase is not valid UTF-8")
	case bytes.ContainsAny(p, "\x00\r\n"):
		return errors.New("the passphrase has more than one line")
	case n < MinPassphrase:
		return fmt.Errorf("the passphrase has %d characters, it needs at least %d", n, MinPassphrase)
	}
	return nil
}

// NewRecovery makes a vault's recovery key.
func NewRecovery() (*age.X25519Identity, error) { return age.GenerateX25519Identity() }

// ParseRecoveryKey reads a recovery key as it was printed or stored: white space and lines
// that start with # don't matter, nor does the case when typed from paper.
func ParseRecoveryKey(text string) (*age.X25519Identity, error) {
	var key strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			key.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	id, err := age.ParseX25519Identity(strings.ToUpper(key.String()))
	if err != nil {
		// age's errors may quote what they were given
		return nil, errors.New("this is no recovery key: it starts with AGE-SECRET-KEY-1 and has 74 characters, and a typing error shows")
	}
	return id, nil
}

// parse reads the whole of b as one JSON object with v's members and no others.
func parse(what string, b []byte, limit int, v any) error {
	if len(b) > limit {
		return fmt.Errorf("%s: %w: longer than %d bytes", what, manifest.ErrFormat, limit)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%s: %w: %v", what, manifest.ErrFormat, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%s: %w: something follows its end", what, manifest.ErrFormat)
	}
	return nil
}

// encode writes v as every document of the format is written: one line.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}
