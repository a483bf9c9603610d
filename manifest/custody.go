package manifest

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// A Custody is an entry of a disk's custody log: what was done with the disk, when, where and by whom. Entries are signed by the
// key of who acts, each names the one before it, and none is ever changed or taken away. A disk carries its log, and the vault
// has a copy that goes on.
type Custody struct {
	Vault    ID        `json:"vault"`
	Machine  ID        `json:"machine"`
	Set      ID        `json:"set"`
	Disk     int       `json:"disk"`
	Number   int       `json:"number"`   // from 1; AppendCustody sets it
	Previous Digest    `json:"previous"` // of the entry before; AppendCustody sets it
	Event    Event     `json:"event"`
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	Tool     string    `json:"tool"`
	Key      PublicKey `json:"key"`              // of who acts; AppendCustody sets it
	Serial   string    `json:"serial,omitempty"` // of the device, if known
	Note     string    `json:"note,omitempty"`   // such as a tracking number; one line of at most 200 characters
	Packs    int       `json:"packs"`            // that the event is about
	Bytes    int64     `json:"bytes"`            // of them
	Digest   Digest    `json:"-"`                // of the entry's own bytes; set by who reads or appends it
}

// An Event is what was done with a disk, in one word of lower-case letters. Later versions may have others than these.
type Event string

// The events of a disk.
const (
	EventWritten  Event = "written"  // packs and commits were written
	EventSealed   Event = "sealed"   // read back from the medium, and ready to travel
	EventReceived Event = "received" // first seen at the vault
	EventVerified Event = "verified" // packs were read and found good
	EventRepaired Event = "repaired" // packs were rebuilt from parity
	EventImported Event = "imported" // the vault has so many of the disk's packs
	EventErased   Event = "erased"
)

const (
	custodyFormat = "waybill custody 1"
	maxCustody    = 9999 // entries of a disk
	maxNote       = 200  // characters of a note or a serial number
)

// Encode returns the entry's bytes. Time is cut to whole seconds. It fails with ErrFormat where ParseCustody would.
func (c Custody) Encode() ([]byte, error) {
	c.Time = c.Time.UTC().Truncate(time.Second)
	if err := c.check(); err != nil {
		return nil, err
	}
	return EncodeDocument(struct {
		Format string `json:"format"`
		Custody
	}{custodyFormat, c})
}

// ParseCustody reads an entry; it fails with ErrFormat. Its signature and its place in the log are another matter: see ReadCustody.
func ParseCustody(b []byte) (Custody, error) {
	var c Custody
	if err := ParseDocument(b, maxDocument, custodyFormat, &c); err != nil {
		return Custody{}, err
	}
	c.Digest = Sum(b)
	return c, c.check()
}

func (c *Custody) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("custody: %w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
	_, err := c.Key.parse()
	switch {
	case !c.Vault.valid() || !c.Machine.valid() || !c.Set.valid() || err != nil:
		return bad("an id or a key is not in its form")
	case c.Disk < 1 || c.Disk > maxDisks:
		return bad("disk %d", c.Disk)
	case c.Number < 1 || c.Number > maxCustody || (c.Number == 1) != c.Previous.IsZero():
		return bad("entry %d; the first and no other follows on none", c.Number)
	case !c.Event.valid():
		return bad("the event %.40q", c.Event)
	case !oneLine(c.Host) || !oneLine(c.Tool) || !c.Time.Equal(c.Time.Truncate(time.Second)):
		return bad("the host, the tool or the time")
	case !oneLine(c.Serial) || !oneLine(c.Note) || utf8.RuneCountInString(c.Serial) > maxNote || utf8.RuneCountInString(c.Note) > maxNote:
		return bad("a note and a serial number are one line of at most %d characters", maxNote)
	case c.Packs < 0 || c.Bytes < 0:
		return bad("%d packs of %d bytes", c.Packs, c.Bytes)
	}
	return nil
}

func (e Event) valid() bool {
	for i := range len(e) {
		if e[i] < 'a' || e[i] > 'z' {
			return false
		}
	}
	return len(e) >= 1 && len(e) <= 20
}
