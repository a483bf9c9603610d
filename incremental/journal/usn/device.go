package usn

import (
	"context"
	"time"
)

// A Device is where a volume's journal and its files are found: Windows, or a raw volume. What it can't do for a reason that people should
// know is a *journal.Gap.
type Device interface {
	// Query tells which journal there is.
	Query() (Info, error)

	// Read fills buf as Windows does: with the position that follows, 8 bytes, little endian, then records, one behind the other, from start on.
	// It returns how much it filled. At the journal's end there are no records, and the position is start. If the journal is no longer the one
	// with this id, or no longer reaches back to start, the error is a *journal.Gap.
	Read(id, start uint64, buf []byte) (int, error)

	// Each calls f for each file and directory there is, in any order, with the USN of the last record that was written of it: 0 when none was. It
	// ends with f's error. Where that can't be told, it is a *journal.Gap.
	Each(ctx context.Context, f func(id ID, usn uint64) error) error

	// Lookup finds a file by its id. The error is fs.ErrNotExist only if it is gone for certain. f's memory is used again.
	Lookup(id ID, f *File) error

	Close() error
}

// Info is what a device says about its journal.
type Info struct {
	Volume      string // the volume's serial number
	ID          uint64
	First, Next uint64 // the oldest record's position, and that of the next to be written
	LowestValid uint64 // what is older says nothing of this journal
	Size, Delta int64  // it may grow to so many bytes, and this much more until it loses that much at its beginning
	Root        ID     // the volume's root directory
	Wide        bool   // ids have 128 bits
	Still       bool   // nothing changes while it is open
	Tracks      bool   // changed ranges are recorded, when a file is closed
	Limited     bool   // not all records are shown, for want of privileges: of use for a status only
	Unsettled   bool   // the volume was in use when its image was taken: what it last did may not be in the image, though the journal tells of it
}

// A File is what a device knows of a file, or directory.
type File struct {
	Directory bool
	Names     []Name   // all of them, unless More
	More      bool     // it may have other names, and streams, which could not be listed
	Streams   [][]byte // names of its streams, but for its data's; WTF-8

	Modified, Changed time.Time // zero when they can't be told
}

// A Name is one of a file's names, in WTF-8.
type Name struct {
	Parent ID
	Name   []byte
}
