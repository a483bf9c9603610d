package usn

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waybill/incremental/journal"
)

// An ID is a file's number: 64 bits on NTFS, with High zero, 128 on ReFS.
type ID struct{ Low, High uint64 }

// Fold returns the number by which the catalogue knows the file: that of NTFS itself, for ReFS the
// first 8 bytes of the SHA-256 of its 16.
func (id ID) Fold() uint64 {
	if id.High == 0 {
		return id.Low
	}
	sum := sha256.Sum256(id.bytes())
	return binary.LittleEndian.Uint64(sum[:])
}

func (id ID) bytes() []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), id.Low)
	return binary.LittleEndian.AppendUint64(b, id.High)
}

func idOf(b []byte) ID {
	return ID{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// The reasons of a record that matter here.
const (
	dataOverwrite     = 0x00000001
	dataExtend        = 0x00000002
	dataTruncation    = 0x00000004
	namedOverwrite    = 0x00000010
	namedExtend       = 0x00000020
	namedTruncation   = 0x00000040
	fileCreate        = 0x00000100
	fileDelete        = 0x00000200
	eaChange          = 0x00000400
	securityChange    = 0x00000800
	renameOld         = 0x00001000
	renameNew         = 0x00002000
	indexableChange   = 0x00004000
	basicInfoChange   = 0x00008000
	hardLinkChange    = 0x00010000
	compressionChange = 0x00020000
	encryptionChange  = 0x00040000
	objectIDChange    = 0x00080000
	reparseChange     = 0x00100000
	streamChange      = 0x00200000
	transactedChange  = 0x00400000
	integrityChange   = 0x00800000
	closed            = 0x80000000

	// onStreams: something about the file's alternate streams changed.
	onStreams = namedOverwrite | namedExtend | namedTruncation | streamChange
	// onMetadata can't have changed what any stream holds. What isn't listed here may have.
	onMetadata = eaChange | securityChange | renameOld | renameNew | indexableChange | basicInfoChange | hardLinkChange | objectIDChange | closed
)

const (
	attributeDirectory = 0x10
	pageSize           = 4096 // no record crosses a multiple of it in the journal's stream
)

// A Record is one of the journal. Version 2 and 3 say what befell a file and by which name, version 4 only which parts of it changed.
type Record struct {
	Major        uint16
	File, Parent ID
	USN          uint64
	Stamp        uint64 // 100 ns since 1601; 0 in version 4
	Reason       uint32
	Attributes   uint32 // 0 in version 4
	Name         []byte // UTF-16, in the buffer that was parsed; none in version 4
	Remaining    uint32 // version 4: ranges that follow in records of their own
	extents      []byte
}

// errDamaged is the cause of all that parse refuses.
var errDamaged = errors.New("damaged record")

// errNewer is a record of a version that isn't known: it may say anything.
var errNewer = errors.New("record of an unknown version")

// parse reads the record that b begins with and returns its length. r keeps parts of b.
//
//	 0 length u32, major u16, minor u16
//	 8 v2: file u64, parent u64     v3, v4: file 16 bytes, parent 16 bytes
//	+0 usn u64                      v4: usn u64
//	+8 time u64                         +8 reason u32, source u32
//	16 reason u32, source u32           16 remaining u32, extents u16, extent size u16
//	24 security u32, attributes u32     24 extents: offset u64, length u64
//	32 name length u16, offset u16
//	36 name
func parse(b []byte, r *Record) (int, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("%w: cut off", errDamaged)
	}
	n := binary.LittleEndian.Uint32(b)
	*r = Record{Major: binary.LittleEndian.Uint16(b[4:])}
	fixed := shortest(r.Major)
	switch {
	case n%8 != 0 || uint64(n) > uint64(len(b)) || int(n) < max(fixed, 8):
		return 0, fmt.Errorf("%w: %d bytes long, version %d", errDamaged, n, r.Major)
	case fixed == 0:
		return int(n), fmt.Errorf("%w, %d", errNewer, r.Major)
	}
	b = b[:n]
	rest := b[8:]
	if r.Major == 2 {
		r.File.Low, r.Parent.Low = binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		rest = rest[16:]
	} else {
		r.File, r.Parent = idOf(rest), idOf(rest[16:])
		rest = rest[32:]
	}
	r.USN = binary.LittleEndian.Uint64(rest)
	if r.Major == 4 {
		return int(n), r.parseRanges(rest[8:])
	}
	r.Stamp = binary.LittleEndian.Uint64(rest[8:])
	r.Reason = binary.LittleEndian.Uint32(rest[16:])
	r.Attributes = binary.LittleEndian.Uint32(rest[28:])
	size, off := int(binary.LittleEndian.Uint16(rest[32:])), int(binary.LittleEndian.Uint16(rest[34:]))
	if size%2 != 0 || size > 0 && (off < fixed || off+size > int(n)) {
		return 0, fmt.Errorf("%w: its name is outside of it", errDamaged)
	}
	if size > 0 {
		r.Name = b[off : off+size]
	}
	return int(n), nil
}

// shortest returns the length of the shortest record of a version, 0 if the version isn't known.
func shortest(major uint16) int {
	switch major {
	case 2:
		return 60
	case 3:
		return 76
	case 4:
		return 64
	}
	return 0
}

func (r *Record) parseRanges(rest []byte) error {
	r.Reason = binary.LittleEndian.Uint32(rest)
	r.Remaining = binary.LittleEndian.Uint32(rest[8:])
	count, size := int(binary.LittleEndian.Uint16(rest[12:])), int(binary.LittleEndian.Uint16(rest[14:]))
	if count > 0 && (size != 16 || 16+count*size > len(rest)) {
		return fmt.Errorf("%w: its ranges are outside of it", errDamaged)
	}
	r.extents = rest[16 : 16+count*size]
	return nil
}

// Ranges returns the parts of the file that a record of version 4 names; false if they make no sense.
func (r *Record) Ranges(to []journal.Range) ([]journal.Range, bool) {
	for b := r.extents; len(b) > 0; b = b[16:] {
		off, size := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
		if off < 0 || size < 0 || off+size < off {
			return to, false
		}
		to = append(to, journal.Range{Off: off, Len: size})
	}
	return to, true
}

// Directory tells whether the record is of a directory.
func (r *Record) Directory() bool { return r.Attributes&attributeDirectory != 0 }

// Time returns when the record was written.
func (r *Record) Time() time.Time { return fileTime(r.Stamp) }

// fileTime is a moment that Windows counts in steps of 100 ns since 1601.
func fileTime(t uint64) time.Time {
	const to1970 = 116444736000000000
	d := int64(t) - to1970
	return time.Unix(d/1e7, d%1e7*100).UTC()
}

// appendName appends a name of UTF-16 as WTF-8: UTF-8 in which halves of surrogate pairs that stand alone stay what they are.
func appendName(to, utf16 []byte) []byte {
	for i := 0; i+1 < len(utf16); i += 2 {
		c := rune(binary.LittleEndian.Uint16(utf16[i:]))
		if c&^0x3ff == 0xd800 && i+3 < len(utf16) {
			if low := rune(binary.LittleEndian.Uint16(utf16[i+2:])); low&^0x3ff == 0xdc00 {
				c = 0x10000 + (c-0xd800)<<10 + low - 0xdc00
				i += 2
			}
		}
		switch {
		case c < 0x80:
			to = append(to, byte(c))
		case c < 0x800:
			to = append(to, 0xc0|byte(c>>6), 0x80|byte(c)&0x3f)
		case c < 0x10000:
			to = append(to, 0xe0|byte(c>>12), 0x80|byte(c>>6)&0x3f, 0x80|byte(c)&0x3f)
		default:
			to = append(to, 0xf0|byte(c>>18), 0x80|byte(c>>12)&0x3f, 0x80|byte(c>>6)&0x3f, 0x80|byte(c)&0x3f)
		}
	}
	return to
}
