// Package manifest is the language that all of Waybill speaks: ids, the names of
// things in a vault, and the signed, clear-text documents that anyone can check without a key.
//
// The centre is the [Manifest], the list of packs that one commit adds, chained to the
// commit before it. [ReadChain] reads and checks a machine's whole chain from a vault or a disk.
// [Parse] accepts exactly what [Manifest.Encode] writes, so equal manifests have equal bytes.
//
// FORMAT.md beside this file specifies every byte. The package holds no secret but
// a [Signer]'s, opens nothing that is sealed, and knows nothing of the files that were saved.
package manifest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// ErrFormat says that bytes are not what FORMAT.md says they must be: damaged, or of another format.
var ErrFormat = errors.New("damaged, or not of a known format")

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

// Body is r, which holds the pack's bytes, as the body of a store's Put: stores that can use it learn from it what it is. See vault.Describe.
func (p Pack) Body(r io.ReadSeeker) io.ReadSeeker { return packBody{r, p} }

type packBody struct {
	io.ReadSeeker
	pack Pack
}

// DescribeObject is for the store.
func (b packBody) DescribeObject() (md5 [16]byte, data bool) { return b.pack.DescribeObject() }

// DescribeObject is for bodies that are packs of themselves: it tells a store the MD5, and whether it is data.
func (p Pack) DescribeObject() (md5 [16]byte, data bool) { return p.MD5, p.Class == Data }

// A Manifest lists the packs that one commit adds to a machine's domain. It says nothing
// of what was saved: the recovery point's record is sealed.
type Manifest struct {
	Vault, Machine ID
	Set            ID        // of the disks the commit was written to; empty for a vault
	Sequence       int       // from 1
	Previous       Digest    // of the manifest before; zero for the first
	Time           time.Time // UTC, in whole seconds
	Tool           string    // that wrote it, with its version: printable ASCII without quotes and backslashes
	Disks          int       // how many disks the set had then
	Packs          []Pack    // ascending by name
	Lost           []Digest  // packs of earlier commits that this one settles, ascending; see Chain.Lost
	Record         []byte    // an age file: the sealed reference to the point's record
}

// The limits of a manifest.
const (
	MaxManifest = 256 << 20  // bytes
	MaxSequence = 99_999_999 // eight digits
	maxPack     = 1<<32 - 1  // bytes
	maxRecord   = 4 << 10    // bytes
	maxTool     = 200        // bytes
	maxDisks    = 9999       // of a set
	timeLayout  = "2006-01-02T15:04:05Z"
	prologue    = `{"format":"waybill manifest 1"`
)

// Encode returns the manifest's bytes, which are the same for equal manifests. It sorts and
// repairs nothing: what Parse would refuse fails with ErrFormat.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 512+len(m.Packs)*256+len(m.Lost)*67+2*len(m.Record))
	b = fmt.Appendf(b, prologue+`,"vault":"%s","machine":"%s"`, m.Vault, m.Machine)
	if m.Set != "" {
		b = fmt.Appendf(b, `,"set":"%s"`, m.Set)
	}
	previous, _ := m.Previous.MarshalText() // never fails
	b = fmt.Appendf(b, `,"sequence":%d,"previous":"%s","time":"%s","tool":"%s"`,
		m.Sequence, previous, m.Time.Format(timeLayout), m.Tool)
	if m.Disks != 0 {
		b = fmt.Appendf(b, `,"disks":%d`, m.Disks)
	}
	b = append(b, `,"packs":[`...)
	for i, p := range m.Packs {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.append(b)
	}
	b = append(b, ']')
	b = appendLost(b, m.Lost)
	b = append(b, `,"record":"`...)
	b = base64.StdEncoding.AppendEncode(b, m.Record)
	b = append(b, `"}`+"\n"...)
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("manifest %d: %w: %d bytes, a manifest may have %d", m.Sequence, ErrFormat, len(b), MaxManifest)
	}
	return b, nil
}

func (p Pack) append(b []byte) []byte {
	b = append(b, `{"sha256":"`...)
	b = hex.AppendEncode(b, p.Name[:])
	b = append(b, `","class":"`...)
	b = append(b, p.Class...)
	b = append(b, `","size":`...)
	b = strconv.AppendInt(b, p.Size, 10)
	b = fmt.Appendf(b, `,"crc64nvme":"%016x","md5":"`, p.CRC64)
	b = hex.AppendEncode(b, p.MD5[:])
	b = append(b, '"')
	if p.Disk != 0 {
		b = append(b, `,"disk":`...)
		b = strconv.AppendInt(b, int64(p.Disk), 10)
	}
	return append(b, '}')
}

// appendLost writes the member, which is left out when it is empty.
func appendLost(b []byte, lost []Digest) []byte {
	for i, d := range lost {
		if i == 0 {
			b = append(b, `,"lost":[`...)
		} else {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = hex.AppendEncode(b, d[:])
		b = append(b, '"')
	}
	if len(lost) > 0 {
		b = append(b, ']')
	}
	return b
}

// MarshalJSON writes the pack's line as it stands in a manifest.
func (p Pack) MarshalJSON() ([]byte, error) { return p.append(nil), nil }

// check is everything a manifest must be beyond its notation.
func (m *Manifest) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("manifest %d: %w: %s", m.Sequence, ErrFormat, fmt.Sprintf(format, args...))
	}
	switch {
	case !m.Vault.valid() || !m.Machine.valid() || m.Set != "" && !m.Set.valid():
		return bad("the ids %.80q, %.80q, %.80q", m.Vault, m.Machine, m.Set)
	case m.Sequence < 1 || m.Sequence > MaxSequence:
		return bad("the sequence number")
	case (m.Sequence == 1) != m.Previous.IsZero():
		return bad("the first manifest and no other follows on none")
	case !wholeSecond(m.Time):
		return bad("the time %v is not in whole seconds of UTC", m.Time)
	case !plain(m.Tool, maxTool):
		return bad("the tool %.80q", m.Tool)
	case m.Disks < 0 || m.Disks > maxDisks || m.Disks > 0 && m.Set == "":
		return bad("%d disks of the set %q", m.Disks, m.Set)
	case len(m.Record) == 0 || len(m.Record) > maxRecord:
		return bad("a record of %d bytes", len(m.Record))
	}
	for i, p := range m.Packs {
		switch {
		case i > 0 && bytes.Compare(m.Packs[i-1].Name[:], p.Name[:]) >= 0:
			return bad("pack %s is out of order", p.Name)
		case p.Class != Data && p.Class != Catalogue:
			return bad("pack %s: the class %.20q", p.Name, p.Class)
		case p.Size < 1 || p.Size > maxPack:
			return bad("pack %s: a size of %d bytes", p.Name, p.Size)
		case p.Disk < 0 || p.Disk > m.Disks:
			return bad("pack %s: disk %d of %d", p.Name, p.Disk, m.Disks)
		}
	}
	return m.checkLost(bad)
}

// checkLost makes sure that a commit settles packs of those before it, each once.
func (m *Manifest) checkLost(bad func(string, ...any) error) error {
	if m.Sequence == 1 && len(m.Lost) > 0 {
		return bad("the first has lost packs of none before it")
	}
	for i, d := range m.Lost {
		if i > 0 && bytes.Compare(m.Lost[i-1][:], d[:]) >= 0 {
			return bad("the lost pack %s is out of order", d)
		}
		_, own := slices.BinarySearchFunc(m.Packs, d, func(p Pack, d Digest) int { return bytes.Compare(p.Name[:], d[:]) })
		if own {
			return bad("pack %s is added and lost", d)
		}
	}
	return nil
}

// wholeSecond tells whether timeLayout loses nothing of t.
func wholeSecond(t time.Time) bool {
	_, offset := t.Zone()
	return offset == 0 && t.Nanosecond() == 0 && t.Year() >= 1 && t.Year() <= 9999
}

// plain tells whether s is text that JSON writes as it is: printable ASCII without quote and backslash.
func plain(s string, limit int) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return len(s) <= limit
}
