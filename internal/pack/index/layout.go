package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Sizes of the parts of a segment, and the version, which changes with any of
// them or with the filter: a segment of another version is dropped.
const (
	version    = 1
	headerSize = 64
	frameSize  = 52
	lineSize   = 64
	entrySize  = 28
	footerSize = 64

	maxEntries = 1 << 31 // of a merged segment: a line counts entries in 32 bits
	maxTag     = 255
)

// errDamaged says that a segment is cut short, changed, or not one of this version.
var errDamaged = errors.New("damaged segment")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func header() []byte {
	b := make([]byte, headerSize)
	copy(b, "WAYBILL INDEX")
	b[13] = version
	return b
}

// footer is the last 64 bytes:
//
//	0 frames u64   8 lines u64   16 entries u64   24 tags' bytes u64
//	32 CRC of frames u32   36 CRC of entries u32   40 16 B zero   56 CRC of header, tags and footer so far u32   60 "WIDX"
type footer struct {
	frames, lines, entries, tagBytes uint64
	framesSum, entriesSum            uint32
}

func (f footer) encode(tags []byte) []byte {
	b := make([]byte, 0, footerSize)
	for _, v := range []uint64{f.frames, f.lines, f.entries, f.tagBytes} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, f.framesSum)
	b = binary.LittleEndian.AppendUint32(b, f.entriesSum)
	b = append(b, make([]byte, 16)...)
	sum := crc32.Checksum(header(), castagnoli)
	sum = crc32.Update(sum, castagnoli, tags)
	sum = crc32.Update(sum, castagnoli, b)
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, "WIDX"...)
}

// parseFooter only reads; openSegment compares its encoding with what it read.
func parseFooter(b []byte) footer {
	le := binary.LittleEndian
	return footer{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint32(b[32:]), le.Uint32(b[36:])}
}

// plausible bounds the counts so that sums of sizes can't overflow.
func (f footer) plausible() bool {
	const most = 1 << 32
	return f.frames < most && f.entries < most && f.tagBytes < most && f.lines > 0 && f.lines < most
}

// Where the parts begin.
func (f footer) filterAt() int64 {
	end := int64(headerSize + f.frames*frameSize)
	return (end + lineSize - 1) / lineSize * lineSize
}
func (f footer) entriesAt() int64 { return f.filterAt() + int64(f.lines+1)*lineSize }
func (f footer) tagsAt() int64    { return f.entriesAt() + int64(f.entries)*entrySize }
func (f footer) size() int64      { return f.tagsAt() + int64(f.tagBytes) + footerSize }

func encodeTags(tags []string) []byte {
	var b []byte
	for _, t := range tags {
		b = append(b, byte(len(t)))
		b = append(b, t...)
	}
	return b
}

func parseTags(b []byte) ([]string, error) {
	var tags []string
	for len(b) > 0 {
		n := 1 + int(b[0])
		if n > len(b) {
			return nil, errDamaged
		}
		tags, b = append(tags, string(b[1:n])), b[n:]
	}
	return tags, nil
}

// halves is a key as two numbers whose order is the order of its bytes.
type halves struct{ hi, lo uint64 }

func (k *Key) split() halves {
	return halves{binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(k[8:])}
}

func (a halves) compare(b halves) int {
	switch { // not cmp.Compare: this is most of what sorting takes
	case a.hi < b.hi:
		return -1
	case a.hi > b.hi:
		return 1
	}
	return cmp.Compare(a.lo, b.lo)
}

// entry is a chunk in a segment; frame is the ordinal of its frame's row there.
type entry struct {
	key                  halves
	frame, start, length uint32
}

// before is the order of entries: by key, and of equal keys the newest first.
// Frames are numbered in the order they came, so the newest has the highest.
func (e *entry) before(o *entry) int {
	if c := e.key.compare(o.key); c != 0 {
		return c
	}
	return cmp.Compare(o.frame, e.frame)
}

func (e *entry) put(b []byte) {
	_ = b[entrySize-1]
	binary.BigEndian.PutUint64(b, e.key.hi)
	binary.BigEndian.PutUint64(b[8:], e.key.lo)
	binary.LittleEndian.PutUint32(b[16:], e.frame)
	binary.LittleEndian.PutUint32(b[20:], e.start)
	binary.LittleEndian.PutUint32(b[24:], e.length)
}

func keyAt(b []byte) halves {
	return halves{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func entryAt(b []byte) entry {
	_ = b[entrySize-1]
	le := binary.LittleEndian
	return entry{keyAt(b), le.Uint32(b[16:]), le.Uint32(b[20:]), le.Uint32(b[24:])}
}

// putFrame writes the frame's row: pack, then ordinal, offset, sealed and plain
// length, method, each u32.
func putFrame(b []byte, l *Loc) {
	copy(b, l.Pack[:])
	for i, v := range [...]uint32{l.Frame, l.Offset, l.Sealed, l.Plain, uint32(l.Method)} {
		binary.LittleEndian.PutUint32(b[32+4*i:], v)
	}
}

func frameAt(b []byte) (l Loc) {
	le := binary.LittleEndian
	copy(l.Pack[:], b)
	l.Frame, l.Offset, l.Sealed, l.Plain = le.Uint32(b[32:]), le.Uint32(b[36:]), le.Uint32(b[40:]), le.Uint32(b[44:])
	l.Method = b[48]
	return l
}

// sameFrame tells whether two chunks lie in one frame.
func sameFrame(a, b *Loc) bool {
	return a.Frame == b.Frame && a.Offset == b.Offset && a.Sealed == b.Sealed &&
		a.Plain == b.Plain && a.Method == b.Method && bytes.Equal(a.Pack[:], b.Pack[:])
}

// segmentName is the file that holds the commits from one sequence number to another.
func segmentName(from, to uint64) string {
	return fmt.Sprintf("%012d-%012d.seg", from, to)
}

func parseName(name string) (from, to uint64, ok bool) {
	n, err := fmt.Sscanf(name, "%d-%d.seg", &from, &to)
	ok = err == nil && n == 2 && from <= to && to < 1e12 && name == segmentName(from, to)
	return from, to, ok
}
