// Package parity makes seed disks survive bad sectors, lost packs and lost disks, without any key.
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
