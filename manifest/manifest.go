// Package manifest is the language that all of Waybill speaks: ids, the names of
// things in a vault, and the signed, clear-text documents that anyone can check without a key.
//
// The centre is the [Manifest], the list of packs that one commit adds, chained to the
// commit before it. [ReadChain] reads and checks a machine's whole chain from a store.
// [Parse] accepts exactly what [Manifest.Encode] writes, so equal manifests have equal bytes.
//
// FORMAT.md beside this file specifies every byte. The package holds no secrets but
// a [Signer], opens nothing that is sealed, and knows nothing of files and directories.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrFormat says that bytes are not what FORMAT.md says they must be: damaged, or of another format.
var ErrFormat = errors.New("damaged, or not of a known format")

// A Digest is a SHA-256.
type Digest [32]byte

// Sum is the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads 64 lower-case hex digits.
func ParseDigest(s string) (d Digest, err error) {
	n, err := hex.Decode(d[:], []byte(s[:min(len(s), 64)]))
	if err != nil || n != len(d) || d.String() != s {
		return Digest{}, fmt.Errorf("digest %.80q: %w", s, ErrFormat)
	}
	return d, nil
}

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

// An ID is a UUID in its canonical lower-case form.
type ID string

// ParseID checks the form of a UUID.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return "", fmt.Errorf("id %.80q: %w", s, ErrFormat)
	}
	for i := range len(s) {
		c := s[i]
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", fmt.Errorf("id %.80q: %w", s, ErrFormat)
		}
	}
	return ID(s), nil
}

// UnmarshalText accepts canonical UUIDs only.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// A Class is what a pack holds.
type Class string

// The classes of packs.
const (
	Data      Class = "data"
	Catalogue Class = "catalogue"
)

// A Pack is a manifest's line about one pack.
type Pack struct {
	Name  Digest // the SHA-256 of its bytes
	Class Class
	Size  int64    // in bytes
	CRC64 uint64   // CRC-64/NVME, which carriers log
	MD5   [16]byte // which blob stores log
	Disk  int      // the number of the disk that carries it, from 1; 0 for none
}

// packJSON is a pack's line as it is written.
type packJSON struct {
	Name  Digest `json:"sha256"`
	Class Class  `json:"class"`
	Size  int64  `json:"size"`
	CRC64 string `json:"crc64nvme"`
	MD5   string `json:"md5"`
	Disk  int    `json:"disk,omitempty"`
}

// MarshalJSON writes the line.
func (p Pack) MarshalJSON() ([]byte, error) {
	return json.Marshal(packJSON{p.Name, p.Class, p.Size, fmt.Sprintf("%016x", p.CRC64), hex.EncodeToString(p.MD5[:]), p.Disk})
}

// UnmarshalJSON reads the line.
func (p *Pack) UnmarshalJSON(b []byte) error {
	var j packJSON
	if err := strict(b, &j); err != nil {
		return err
	}
	*p = Pack{Name: j.Name, Class: j.Class, Size: j.Size, Disk: j.Disk}
	crc, err := hex.DecodeString(j.CRC64)
	md5, err2 := hex.DecodeString(j.MD5)
	if err != nil || err2 != nil || len(crc) != 8 || len(md5) != len(p.MD5) {
		return fmt.Errorf("checksums of pack %.12s: %w", p.Name, ErrFormat)
	}
	for _, b := range crc {
		p.CRC64 = p.CRC64<<8 | uint64(b)
	}
	p.MD5 = [16]byte(md5)
	return nil
}

// A Manifest lists the packs that one commit adds to a machine's domain. It says nothing
// of what was saved: the recovery point's record is sealed.
type Manifest struct {
	Vault, Machine ID
	Set            ID        // of the disks the commit was written to; empty for a vault
	Sequence       int       // from 1
	Previous       Digest    // of the manifest before; zero for the first
	Time           time.Time // UTC, whole seconds
	Tool           string
	Disks          int    // how many disks the set had then
	Packs          []Pack // ascending by name
	Record         []byte // sealed
}

type manifestJSON struct {
	Format   string    `json:"format"`
	Vault    ID        `json:"vault"`
	Machine  ID        `json:"machine"`
	Set      ID        `json:"set,omitempty"`
	Sequence int       `json:"sequence"`
	Previous Digest    `json:"previous"`
	Time     time.Time `json:"time"`
	Tool     string    `json:"tool"`
	Disks    int       `json:"disks,omitempty"`
	Packs    []Pack    `json:"packs"`
	Record   string    `json:"record"`
}

const (
	manifestFormat = "waybill manifest 1"
	// MaxManifest is the largest manifest in bytes.
	MaxManifest = 256 << 20
	maxSequence = 99_999_999 // eight digits
)

// Encode returns the manifest's bytes. It refuses what Parse would refuse.
func (m *Manifest) Encode() ([]byte, error) {
	packs := m.Packs
	if packs == nil {
		packs = []Pack{}
	}
	b, err := encode(manifestJSON{manifestFormat, m.Vault, m.Machine, m.Set, m.Sequence, m.Previous, m.Time, m.Tool, m.Disks,
		packs, base64.StdEncoding.EncodeToString(m.Record)})
	if err == nil {
		err = m.check()
	}
	return b, err
}

// Parse reads a manifest; every deviation from the form that Encode writes fails with ErrFormat.
func Parse(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("manifest of %d bytes: %w", len(b), ErrFormat)
	}
	var j manifestJSON
	if err := strict(b, &j); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	record, err := base64.StdEncoding.DecodeString(j.Record)
	if err != nil || j.Format != manifestFormat {
		return nil, fmt.Errorf("manifest of form %.40q: %w", j.Format, ErrFormat)
	}
	m := &Manifest{j.Vault, j.Machine, j.Set, j.Sequence, j.Previous, j.Time, j.Tool, j.Disks, j.Packs, record}
	again, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("manifest that is not in its one form: %w", ErrFormat)
	}
	return m, nil
}

func (m *Manifest) check() error {
	_, errV := ParseID(string(m.Vault))
	_, errM := ParseID(string(m.Machine))
	switch {
	case errV != nil, errM != nil,
		m.Sequence < 1 || m.Sequence > maxSequence,
		(m.Sequence == 1) != m.Previous.IsZero(),
		m.Time.Location() != time.UTC || m.Time.Nanosecond() != 0,
		len(m.Record) == 0 || len(m.Record) > 4096,
		len(m.Tool) > 200 || m.Disks < 0:
		return fmt.Errorf("manifest %d: %w", m.Sequence, ErrFormat)
	}
	if m.Set != "" {
		if _, err := ParseID(string(m.Set)); err != nil {
			return err
		}
	}
	for i, p := range m.Packs {
		if i > 0 && slices.Compare(m.Packs[i-1].Name[:], p.Name[:]) >= 0 {
			return fmt.Errorf("manifest %d: packs out of order: %w", m.Sequence, ErrFormat)
		}
		if p.Class != Data && p.Class != Catalogue || p.Size <= 0 || p.Size > 1<<32-1 || p.Disk < 0 {
			return fmt.Errorf("manifest %d: pack %.12s: %w", m.Sequence, p.Name, ErrFormat)
		}
	}
	return nil
}

// encode writes JSON as FORMAT.md wants it: one line, nothing escaped that need not be.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return b.Bytes(), nil
}

// strict decodes one JSON value without unknown members and nothing behind it.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if d.More() {
		return fmt.Errorf("%w: more follows", ErrFormat)
	}
	return nil
}
