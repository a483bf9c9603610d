package disk

import (
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// A State is how far a disk is.
type State string

// The states of a disk.
const (
	Filling State = "filling" // packs are still being written; not to be shipped
	Sealed  State = "sealed"  // complete and read back
)

// A Label is label.json. It is for people and for finding disks; nothing that matters rests on it alone.
type Label struct {
	Vault   manifest.ID `json:"vault"`
	Machine manifest.ID `json:"machine"`
	Set     manifest.ID `json:"set"`
	Disk    int         `json:"disk"`  // its number in the set, from 1
	Disks   int         `json:"disks"` // how many the set has; 0 while that isn't known
	State   State       `json:"state"`
	Packs   int         `json:"packs"` // 0 until it is sealed, as is Bytes
	Bytes   int64       `json:"bytes"` // of its packs
	Time    time.Time   `json:"time"`  // of the last change
	Host    string      `json:"host"`
	Role    string      `json:"role,omitempty"`   // empty on a disk of packs; RoleParity
	Serial  string      `json:"serial,omitempty"` // of the device, where it is known
	Parity  string      `json:"parity,omitempty"` // the scheme it is sealed with, as parity.Scheme writes it; empty where that isn't known
}

// RoleParity is the role of a disk that carries no packs, but parity across the others of its set.
const RoleParity = "parity"

const (
	labelFormat = "waybill disk 1"
	maxLabel    = 64 << 10
	maxDisks    = 9999
	maxSerial   = 200
)

// ErrLabel says that a disk's label is damaged: Relabel makes it anew.
var ErrLabel = errors.New("its label.json can't be used")

// ParseLabel reads label.json; it fails with ErrLabel and manifest.ErrFormat.
func ParseLabel(b []byte) (Label, error) {
	var l Label
	err := manifest.ParseDocument(b, maxLabel, labelFormat, &l)
	if err == nil {
		err = l.check()
	}
	if err != nil {
		return Label{}, fmt.Errorf("%w: %w", ErrLabel, err)
	}
	return l, nil
}

// Encode returns label.json. Time is cut to whole seconds. It fails with manifest.ErrFormat where ParseLabel would.
func (l Label) Encode() ([]byte, error) {
	l.Time = l.Time.UTC().Truncate(time.Second)
	if err := l.check(); err != nil {
		return nil, err
	}
	return manifest.EncodeDocument(struct {
		Format string `json:"format"`
		Label
	}{labelFormat, l})
}

func (l Label) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("label: %w: %s", manifest.ErrFormat, fmt.Sprintf(format, args...))
	}
	for _, id := range []manifest.ID{l.Vault, l.Machine, l.Set} {
		if _, err := manifest.ParseID(string(id)); err != nil {
			return fmt.Errorf("label: %w", err)
		}
	}
	switch {
	case l.State != Filling && l.State != Sealed:
		return bad("the state %.40q", l.State)
	case l.Disk < 1 || l.Disk > maxDisks || l.Disks < 0 || l.Disks > maxDisks || l.State == Sealed && l.Disks < l.Disk:
		return bad("disk %d of %d", l.Disk, l.Disks)
	case l.Role != "" && l.Role != RoleParity:
		return bad("the role %.40q", l.Role)
	case !word(l.Serial):
		return bad("the serial number %.80q", l.Serial)
	case l.Packs < 0 || l.Bytes < 0:
		return bad("%d packs of %d bytes", l.Packs, l.Bytes)
	}
	if _, err := parity.ParseScheme(l.Parity); l.Parity != "" && err != nil {
		return bad("%v", err)
	}
	return nil
}

// word tells whether a text can be shown on a terminal, and is short.
func word(text string) bool {
	for _, r := range text {
		if r < ' ' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return len(text) <= maxSerial
}
