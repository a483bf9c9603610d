// Package pack is the engine: it turns chunks into frames and frames into
// sealed packs, and back.
//
// A [Writer] takes chunks from any number of producers, each with a [Stream]
// of its own. A stream hashes a chunk, drops it when it is known, and groups
// the rest into frames of about 2 MiB; the writer's workers compress the
// frames, prove that they decompress to the same bytes, and append them to an
// open pack, encrypted under a key that is fresh for every pack. A pack is
// named by the SHA-256 of its sealed bytes. A [Reader] goes the other way.
//
// The byte layout is in manifest/FORMAT.md, sections 5 and 6. The package
// knows nothing of files, directories or where packs are kept; it gives finished
// packs to a [Target].
package pack

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"

	"waybill/internal/pack/index"
)

// An ID names a chunk: its keyed BLAKE3-256 hash under the domain's dedupe key.
type ID [32]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero tells whether the id is the zero value, which names no chunk.
func (id ID) IsZero() bool { return id == ID{} }

// Prefix is what tables and indexes hold of an id.
func (id ID) Prefix() index.Key { return index.Key(id[:16]) }

// ErrDamaged marks bytes that are not what was written: a failed tag, a hash
// that differs, a length beyond the format's limits.
var ErrDamaged = errors.New("damaged")

// ErrKey says that none of the keys at hand opens a pack, or its data.
var ErrKey = errors.New("no key at hand opens this pack")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// A Hasher computes chunk ids. It is reusable, but not safe for concurrent use.
type Hasher struct{ h *blake3.Hasher }

// NewHasher returns a hasher for a domain's dedupe key.
func NewHasher(dedupe [32]byte) *Hasher {
	h, err := blake3.NewKeyed(dedupe[:])
	if err != nil {
		panic(err) // the key has the one length that is right
	}
	return &Hasher{h}
}

// Sum returns the id of the chunk b.
func (h *Hasher) Sum(b []byte) (id ID) {
	h.h.Reset()
	h.h.Write(b)
	h.h.Sum(id[:0])
	return id
}
