package manifest

import (
	"bytes"
	"fmt"
	"time"
)

// A Receipt is what the vault's side signs after an ingest: which commits of a machine it
// covers, what was done, and which of their packs the vault still lacks.
type Receipt struct {
	Vault     ID         `json:"vault"`
	Machine   ID         `json:"machine"`
	Set       ID         `json:"set,omitempty"` // the disks that were read; empty for a tree that is no disk
	Time      time.Time  `json:"time"`
	Host      string     `json:"host"`
	Tool      string     `json:"tool"`
	Manifests []Covered  `json:"manifests"` // ascending
	Verified  int        `json:"verified"`  // packs that were read in this run and found good
	Imported  int        `json:"imported"`  // of those: packs that the vault did not have yet
	Present   int        `json:"present"`   // packs that the vault had already
	Bytes     int64      `json:"bytes"`     // of the packs imported
	Missing   []WantPack `json:"missing"`   // the want list, ascending by name

	Repaired int           `json:"repaired,omitempty"` // of the packs imported: those rebuilt from parity
	Arrived  []int         `json:"arrived,omitempty"`  // the numbers of the set's disks that were read, ascending
	Custody  []CustodyHead `json:"custody,omitempty"`  // ascending by disk
}

// A CustodyHead is how far the custody log of a disk of the receipt's set had come.
type CustodyHead struct {
	Disk   int    `json:"disk"`
	Number int    `json:"number"` // of the newest entry
	Digest Digest `json:"sha256"` // of its bytes
}

// A Covered manifest is one whose packs a receipt accounts for.
type Covered struct {
	Sequence int    `json:"sequence"`
	Digest   Digest `json:"sha256"`
}

// A WantPack is a pack that the vault lacks.
type WantPack struct {
	Name   Digest `json:"sha256"`
	Size   int64  `json:"size"`
	Disk   int    `json:"disk,omitempty"` // that should carry it
	Reason string `json:"reason"`         // Absent, DamagedPack or Spoiled
}

// Why a pack is missing.
const (
	Absent      = "absent"  // it was nowhere
	DamagedPack = "damaged" // what was there under its name was something else
	Spoiled     = "spoiled" // and that is in the vault itself, and can't be taken away
)

const (
	receiptFormat = "waybill receipt 1"
	// MaxReceipt is the largest receipt in bytes.
	MaxReceipt = 64 << 20
)

// Encode returns the receipt's bytes. Time is cut to whole seconds. It fails with ErrFormat where ParseReceipt would.
func (r Receipt) Encode() ([]byte, error) {
	r.Time = r.Time.UTC().Truncate(time.Second)
	if r.Manifests == nil {
		r.Manifests = []Covered{}
	}
	if r.Missing == nil {
		r.Missing = []WantPack{}
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return EncodeDocument(struct {
		Format string `json:"format"`
		Receipt
	}{receiptFormat, r})
}

// ParseReceipt reads a receipt; it fails with ErrFormat. Its signature, by the vault's receipt key, is another matter: see Verify.
func ParseReceipt(b []byte) (*Receipt, error) {
	r := &Receipt{}
	if err := ParseDocument(b, MaxReceipt, receiptFormat, r); err != nil {
		return nil, err
	}
	return r, r.check()
}

func (r *Receipt) check() error {
	bad := func(what string) error { return fmt.Errorf("receipt: %w: %s", ErrFormat, what) }
	switch {
	case !r.Vault.valid() || !r.Machine.valid() || r.Set != "" && !r.Set.valid():
		return bad("the ids")
	case !oneLine(r.Host) || !oneLine(r.Tool):
		return bad("the host or the tool")
	case r.Imported < 0 || r.Verified < r.Imported || r.Present < 0 || r.Bytes < 0 || r.Repaired < 0 || r.Repaired > r.Imported:
		return bad("the counts")
	case r.Set == "" && len(r.Arrived)+len(r.Custody) > 0:
		return bad("disks of no set")
	}
	for i, n := range r.Arrived {
		if n < 1 || n > maxDisks || i > 0 && n <= r.Arrived[i-1] {
			return bad(fmt.Sprintf("arrived disk %d", n))
		}
	}
	for i, c := range r.Custody {
		if c.Disk < 1 || c.Disk > maxDisks || i > 0 && c.Disk <= r.Custody[i-1].Disk || c.Number < 1 || c.Number > maxCustody || c.Digest.IsZero() {
			return bad(fmt.Sprintf("custody of disk %d", c.Disk))
		}
	}
	for i, m := range r.Manifests {
		if m.Sequence < 1 || m.Sequence > MaxSequence || i > 0 && m.Sequence <= r.Manifests[i-1].Sequence || m.Digest.IsZero() {
			return bad(fmt.Sprintf("manifest %d", m.Sequence))
		}
	}
	for i, w := range r.Missing {
		switch {
		case i > 0 && bytes.Compare(r.Missing[i-1].Name[:], w.Name[:]) >= 0,
			w.Size < 1 || w.Size > maxPack || w.Disk < 0 || w.Disk > maxDisks,
			w.Reason != Absent && w.Reason != DamagedPack && w.Reason != Spoiled:
			return bad("missing pack " + w.Name.String())
		}
	}
	return nil
}
