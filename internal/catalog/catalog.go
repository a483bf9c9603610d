// Package catalog is the tree of directories of a recovery point: a Merkle tree
// whose nodes are chunks in catalogue packs.
//
// A [DirBuilder] turns a directory's sorted entries into nodes, a [ContentBuilder] a
// file's chunks; equal content gives equal ids whatever its history, so an unchanged
// subtree costs nothing and two trees are compared without descending into what
// they share. A [Tree] reads nodes lazily through a [Loader]. The [Point] record
// ties a tree to the moment and the selection it was made for.
//
// The byte layout is in manifest/FORMAT.md, section 7. The package neither reads the
// file system nor knows where packs are.
package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"waybill/internal/pack"
)

// Kind is what an entry is.
type Kind uint8

// The kinds, by their numbers in the format.
const (
	File Kind = 1 + iota
	Directory
	Symlink
	Fifo
	Socket
	CharDevice
	BlockDevice
)

// String is the letter that ls shows.
func (k Kind) String() string {
	if k < File || k > BlockDevice {
		return "?"
	}
	return "-dlpscb"[k-1 : k]
}

// Flags of an entry.
type Flags uint8

const (
	Changed    Flags = 1 << iota // it changed while it was read
	Partial                      // its content covers only the first part: the backup stopped there
	HardLinked                   // it has other names
	hasXattrs
	byReference
	MountPoint // another file system begins here
	Unreadable // its content or its listing could not be read

	allFlags = Unreadable<<1 - 1
)

// Time is a file system's time: seconds and nanoseconds since 1970, beyond what time.Time's int64 of nanoseconds holds.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Before tells whether t is earlier than u.
func (t Time) Before(u Time) bool { return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec }

// An Entry is one name in a directory. Parsed entries alias the bytes they came from.
type Entry struct {
	Kind         Kind
	Flags        Flags
	Name         []byte
	Inode        uint64
	Mtime, Ctime Time
	Mode         uint32 // permission, set-id and sticky bits
	UID, GID     uint32
	Xattrs       []byte  // encoded; see AppendXattr and EachXattr
	Target       []byte  // a symbolic link's
	Major, Minor uint32  // a device's
	Size         int64   // a file's
	Content      []byte  // a file's encoded items, when they are few
	Node         pack.ID // a directory's top node; a file's content node when its items are many
}

// Append appends the entry's encoding to b.
func (e *Entry) Append(b []byte) []byte {
	flags := e.Flags &^ (hasXattrs | byReference)
	if len(e.Xattrs) > 0 {
		flags |= hasXattrs
	}
	if e.Kind == File && !e.Node.IsZero() {
		flags |= byReference
	}
	b = append(b, byte(e.Kind))
	b = binary.AppendUvarint(b, uint64(flags))
	b = appendBytes(b, e.Name)
	b = binary.AppendUvarint(b, e.Inode)
	b = appendTime(b, e.Mtime)
	b = appendTime(b, e.Ctime)
	for _, v := range [...]uint32{e.Mode, e.UID, e.GID} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	b = append(b, e.Xattrs...)
	switch e.Kind {
	case File:
		b = binary.AppendUvarint(b, uint64(e.Size))
		if flags&byReference != 0 {
			return append(b, e.Node[:]...)
		}
		return append(b, e.Content...)
	case Directory:
		return append(b, e.Node[:]...)
	case Symlink:
		return appendBytes(b, e.Target)
	case CharDevice, BlockDevice:
		b = binary.AppendUvarint(b, uint64(e.Major))
		return binary.AppendUvarint(b, uint64(e.Minor))
	}
	return b
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendTime(b []byte, t Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Sec), uint64(t.Nsec))
}

// ParseEntry reads an entry from the whole of b and keeps pointing into it. Whatever
// does not follow the format to the letter fails with pack.ErrDamaged.
func ParseEntry(b []byte) (e Entry, err error) {
	d := decoder{b: b}
	e.Kind = Kind(d.byte())
	e.Flags = Flags(d.uvarint(1 << 7))
	if e.Kind < File || e.Kind > BlockDevice || e.Flags&^allFlags != 0 || e.Flags&byReference != 0 && e.Kind != File {
		return e, damaged("an entry of an unknown kind, or made by a newer version")
	}
	e.Name = d.bytes(maxName)
	d.bad = d.bad || !validName(e.Name)
	e.Inode = d.uvarint(1<<64 - 1)
	e.Mtime, e.Ctime = d.time(), d.time()
	e.Mode, e.UID, e.GID = uint32(d.uvarint(07777)), uint32(d.uvarint(1<<32-1)), uint32(d.uvarint(1<<32-1))
	if e.Flags&hasXattrs != 0 {
		e.Xattrs = d.xattrs()
	}
	switch e.Kind {
	case File:
		e.Size = int64(d.uvarint(1<<63 - 1))
		if e.Flags&byReference != 0 {
			e.Node = d.id()
			d.bad = d.bad || e.Node.IsZero()
		} else {
			e.Content = d.items(e.Size, e.Flags&Partial != 0)
		}
	case Directory:
		e.Node = d.id()
	case Symlink:
		e.Target = d.bytes(maxTarget)
	case CharDevice, BlockDevice:
		e.Major, e.Minor = uint32(d.uvarint(1<<32-1)), uint32(d.uvarint(1<<32-1))
	}
	if d.bad || len(d.b) != 0 {
		return e, damaged("an entry that does not parse")
	}
	return e, nil
}

// validName tells whether a name stays within its directory: a catalogue may be a stranger's.
func validName(b []byte) bool {
	return bytes.IndexByte(b, '/') < 0 && bytes.IndexByte(b, 0) < 0 && string(b) != "." && string(b) != ".."
}

const (
	maxName   = 4096
	maxTarget = 64 << 10
	maxXattr  = 1 << 20
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: catalogue: "+format, append([]any{pack.ErrDamaged}, args...)...)
}
