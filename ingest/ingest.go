// Package ingest is the vault's side: it checks what arrives, and imports it. It holds no keys that
// open anything, and links no code that could.
//
// [Import] takes disks, or any tree in the layout of a vault, verifies signatures, chain and
// every pack, copies what the vault lacks, and writes a signed receipt that says what the vault
// still misses. It keeps no state but the vault's: run it again after an interruption, run it on several
// hosts at once, give it the disks of a set in any order. [Verify] checks a disk or a vault
// without copying.
//
// The package knows of contents only their SHA-256. Whether packs can be opened, the
// owner of the keys has to try.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"waybill/ingest/claims"
	"waybill/manifest"
)

// A Store is the vault that is imported into. Put creates an object once, durable on return; it fails
// with fs.ErrExist, and changes nothing, when the name is taken.
type Store interface {
	manifest.Reader
	Put(ctx context.Context, name string, body io.ReadSeeker) error
}

// A Source is a tree that arrived: a disk, or a directory or container that a carrier filled.
type Source struct {
	Name string // where it is, for messages
	manifest.Reader
}

// Options say who works, and how. The zero value will do for Verify; Import needs Now.
type Options struct {
	Host     string // this one's name, for the receipt
	Tool     string // program and version
	Now      func() time.Time
	Read     Level     // how much is read of packs that need not be copied by this host
	Workers  int       // packs read at once from each source; default one a processor, but one from a disk that turns
	Note     string    // for the custody logs of the disks, such as a tracking number: one line, at most 200 characters
	ListOnly bool      // Verify reads no pack
	Progress *Progress // may be nil

	Claims *claims.Board // where the work is shared out among many; nil to do it alone
	Slice  int64         // bytes of packs that are claimed at once, the same for all; 0 is DefaultSlice
}

func (o *Options) defaults() {
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
}

// workers is how many packs are read at once from a source.
func (o *Options) workers(t *tree) int {
	medium, ok := t.Reader.(interface{ Rotating() bool })
	switch {
	case o.Workers > 0:
		return o.Workers
	case t.remote():
		return asking / 2
	case ok && medium.Rotating():
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// Progress counts what a run has done; read it at any time. The totals are known once the manifests are read, which Verify does machine by machine. Where
// work is shared, what others did counts.
type Progress struct {
	Bytes, TotalBytes atomic.Int64 // of packs
	Packs, TotalPacks atomic.Int64
	Waiting           atomic.Bool // nothing is left to do but what other workers have claimed
}

var (
	// ErrForeign says that a disk is another vault's.
	ErrForeign = errors.New("it belongs to another vault")
	// ErrUnregistered says that the vault doesn't know a disk's machine, or knows it with another signing key.
	ErrUnregistered = errors.New("the vault does not know this machine by this key")
	// ErrEmpty says that nothing was found to work on.
	ErrEmpty = errors.New("no machine's backups are there")
)

// A GoneError says that a source stopped giving anything while it was read: it was pulled out, or its file system is no longer
// mounted. What could be had elsewhere was.
type GoneError struct {
	Source string // its name
	Err    error
}

func (e *GoneError) Error() string { return fmt.Sprintf("%s went away: %v", e.Source, e.Err) }
func (e *GoneError) Unwrap() error { return e.Err }

// Damage is an object that is not what it should be.
type Damage struct {
	Where  string // the source's name, or "the vault"
	Name   string
	Err    error
	Mended bool // it was, or can be, had all the same: from another source, or rebuilt from parity
}

func (d Damage) String() string {
	if d.Mended {
		return fmt.Sprintf("%s in %s: %v; parity or another copy makes it good", d.Name, d.Where, d.Err)
	}
	return fmt.Sprintf("%s in %s: %v", d.Name, d.Where, d.Err)
}

// A DamagedError lists what was found damaged. Everything else was done.
type DamagedError struct{ Damaged []Damage }

// Mendable tells whether all of it can be made good with what is there.
func (e *DamagedError) Mendable() bool {
	return !slices.ContainsFunc(e.Damaged, func(d Damage) bool { return !d.Mended })
}

func (e *DamagedError) Error() string {
	if len(e.Damaged) == 1 {
		return "damaged: " + e.Damaged[0].String()
	}
	return fmt.Sprintf("%d objects are damaged, the first: %s", len(e.Damaged), e.Damaged[0])
}

// An IncompleteError lists what is missing. Everything that is there was dealt with.
type IncompleteError struct {
	Missing   []manifest.WantPack // packs
	Manifests []int               // the sequence numbers of commits
	NotHere   []int               // the numbers of the set's disks that were not among the sources; their parity might have helped
}

func (e *IncompleteError) Error() string {
	var parts []string
	if n := len(e.Missing); n > 0 {
		var bytes int64
		byDisk := map[int]int{}
		for _, w := range e.Missing {
			bytes += w.Size
			byDisk[w.Disk]++
		}
		text := fmt.Sprintf("%d packs of %d bytes are missing", n, bytes)
		if n == 1 {
			text = fmt.Sprintf("1 pack of %d bytes is missing", bytes)
		}
		for _, d := range slices.Sorted(maps.Keys(byDisk)) {
			if d > 0 {
				text += fmt.Sprintf(", %d of them from disk %d", byDisk[d], d)
			}
		}
		if len(e.NotHere) > 0 {
			text += "; not here: " + disks(e.NotHere) + " of the set"
		}
		parts = append(parts, text)
	}
	switch n := len(e.Manifests); {
	case n == 1:
		parts = append(parts, fmt.Sprintf("commit %d is missing", e.Manifests[0]))
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d commits are missing, the first is number %d", n, e.Manifests[0]))
	}
	return strings.Join(parts, "; ")
}

// disks writes numbers of disks for people: "disk 3", "disks 1, 2 and 7", and not more than eight of them.
func disks(numbers []int) string {
	const most = 8
	text := ""
	for i, n := range numbers {
		switch {
		case i == most:
			return fmt.Sprintf("disks %s and %d more", text, len(numbers)-most)
		case i == 0:
		case i == len(numbers)-1:
			text += " and "
		default:
			text += ", "
		}
		text += fmt.Sprint(n)
	}
	if len(numbers) == 1 {
		return "disk " + text
	}
	return "disks " + text
}
