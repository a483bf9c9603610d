// Package journal is what all change journals have in common: what they are asked, and what they answer.
//
// A [Journal] belongs to one volume: a file system, or a subvolume of one. For two moments, each a [Cursor], it tells which places
// changed in between: a [Dirty] set. It never tells what the tree looks like. Whoever is told looks at those places in the live tree,
// or in the snapshot, so a journal may name too much, twice or in any order; that costs time and nothing else. It may not name too
// little: a journal that can't vouch for the whole interval answers with a [Gap], and the volume is scanned.
//
// The kinds are packages below this one: usn (NTFS and ReFS, live or from a raw volume), btrfs (generations), fanotify (the log of an agent).
package journal

import (
	"context"
	"time"

	"waybill/internal/catalog"
)

// A Cursor is a moment in a journal. It travels in the recovery point.
type Cursor = catalog.JournalCursor

// A Journal is a volume's change journal, opened. It is not safe for concurrent use.
//
// Where it is also a [Holder], Hold comes before Now, which then is of the held state.
type Journal interface {
	// Now returns the cursor of this moment: what changes from now on comes after it. For a journal that isn't
	// there (any more) the error is a *Gap.
	Now(ctx context.Context) (*Cursor, error)

	// Changes adds to d what changed between from, a cursor out of a recovery point, and to, which Now returned. It may add to the
	// files that to keeps as Open, and does so when from is nil, for a first backup, which is a *Gap otherwise. When the journal can't vouch for all of the interval, the error is a *Gap, and what was added to d means nothing.
	Changes(ctx context.Context, from, to *Cursor, d *Dirty) error

	// Status tells how the journal does; what it doesn't know is zero.
	Status(ctx context.Context) (Status, error)

	Close() error
}

// A Holder is a journal whose volume can be held still.
type Holder interface {
	// Hold takes a read-only snapshot and returns the directory in which the volume's root is found until release is called.
	Hold(ctx context.Context) (dir string, release func() error, err error)
}

// A Gap says why a journal can't tell what changed.
type Gap struct {
	Reason string // in words for people, as in "the journal was created anew"
	Hint   string // what may be done about it; may be empty
}

func (g *Gap) Error() string { return g.Reason }

// Status is what is known about a journal.
type Status struct {
	Kind    string    `json:"kind"`    // "usn", "btrfs", "fanotify"
	Volume  string    `json:"volume"`  // the volume's own id, as in a Cursor
	Journal string    `json:"journal"` // the journal's id
	First   uint64    `json:"first"`   // the oldest position it holds
	Next    uint64    `json:"next"`    // where it will write next
	Size    int64     `json:"size"`    // bytes it may hold; 0 when it doesn't wrap
	Since   time.Time `json:"since"`   // the moment First is of, as far as known
}
