// Package parity makes seed disks survive bad sectors, lost packs and lost disks, without any key.
//
// Files are protected in groups: an [Encoder] takes the members of a group window by window and makes shards, of which as many
// members may be lost, and a table with a checksum for every block of 64 KiB. A group is within a disk, or a row across the
// disks of a set; a [Scheme] says how many members share how many shards. [Open] finds the tables on whatever disks are there,
// and the [Set] reads their members and mends bad blocks: within the disk, across the set, and one by help of the other.
//
// Checksums and tables only say where damage is. They are not signed, and who can write to a disk can write them, so whoever reads through a Set must
// check what comes: a pack by the SHA-256 that is its name. A wrong table can make a pack lost that is not, so read plainly first.
// A hostile one can cost time, but no more memory than an honest one; and it never makes wrong data right.
//
// The package writes no disks and decides nothing about packs. The layout is in manifest/FORMAT.md, section 10.
package parity

import (
	"errors"
	"fmt"
)

// A Scheme says how many files share how many shards of parity: 20+1 means that of any twenty files and their one shard, one
// may be lost. The zero value means none.
type Scheme struct{ Data, Shards int }

// The limits of a scheme.
const (
	MaxData   = 128
	MaxShards = 16
)

// ErrScheme says that a text is no scheme.
var ErrScheme = errors.New("not a parity scheme: say off, or as in 20+1 how many files share how many shards, at most 128+16")

// ParseScheme reads a scheme as String writes it.
func ParseScheme(text string) (Scheme, error) {
	if text == "off" {
		return Scheme{}, nil
	}
	var s Scheme
	var rest string
	if n, _ := fmt.Sscanf(text, "%d+%d%s", &s.Data, &s.Shards, &rest); n != 2 || s.Data < 1 || s.Data > MaxData || s.Shards < 1 || s.Shards > MaxShards {
		return Scheme{}, fmt.Errorf("%.20q: %w", text, ErrScheme)
	}
	return s, nil
}

func (s Scheme) String() string {
	if s.Shards == 0 {
		return "off"
	}
	return fmt.Sprintf("%d+%d", s.Data, s.Shards)
}

// Bytes is the room that the parity of files takes at most, when they have stored bytes together and the largest has largest bytes.
func (s Scheme) Bytes(stored, largest int64) int64 {
	if s.Shards == 0 {
		return 0
	}
	n := int64(s.Shards)
	full := stored / int64(s.Data) * n
	return full + full/64 + n*(largest+largest/64+1<<20) // tables; and a last group of fewer files
}
