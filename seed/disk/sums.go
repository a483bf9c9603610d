package disk

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"waybill/internal/durable"
	"waybill/manifest"
)

// A Sum is a line of SHA256SUMS.
type Sum struct {
	Digest manifest.Digest
	Name   string
	size   int64
}

// ErrSums says that a sealed disk's SHA256SUMS is damaged or lost.
var ErrSums = errors.New("the list of sums can't be used")

// MaxSums is the largest SHA256SUMS in bytes: more than a million lines.
const MaxSums = 256 << 20

func encodeSums(sums []Sum) []byte {
	var b bytes.Buffer
	for _, s := range sums {
		fmt.Fprintf(&b, "%s  %s\n", s.Digest, s.Name)
	}
	return b.Bytes()
}

// ParseSums reads SHA256SUMS: lines as sha256sum writes them, of names that a disk may have. It fails with manifest.ErrFormat.
func ParseSums(b []byte) ([]Sum, error) {
	var sums []Sum
	if len(b) > MaxSums {
		return nil, fmt.Errorf("%s: %w: %d bytes, it may have %d", SumsName, manifest.ErrFormat, len(b), MaxSums)
	}
	for number := 1; len(b) > 0; number++ {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		digest, name, _ := strings.Cut(string(line[:min(len(line), 300)]), "  ")
		d, err := manifest.ParseDigest(digest)
		if err == nil {
			err = durable.CheckName(name)
		}
		if err != nil || !ended {
			return nil, fmt.Errorf("%s: %w: line %d", SumsName, manifest.ErrFormat, number)
		}
		sums = append(sums, Sum{Digest: d, Name: name})
		b = rest
	}
	return sums, nil
}
