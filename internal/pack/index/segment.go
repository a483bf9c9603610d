package index

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"sync"
)

// segment is an open file of the index. It is immutable; lookups in it are
// concurrent, until it is closed.
type segment struct {
	footer
	from, to uint64 // the commits in it, by sequence number
	tags     []string
	f        *os.File
	filter   []byte       // mapped; nil where that can't be done: then it is read line by line
	unmap    func() error // nil without filter
}

// openSegment opens and checks a segment. Its error wraps errDamaged when the
// file isn't one of ours, whole and of this version.
func openSegment(path string, from, to uint64) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &segment{from: from, to: to, f: f}
	if err := s.check(); err != nil {
		f.Close() // only read
		return nil, err
	}
	// Without a map the filter is read by pread.
	s.filter, s.unmap, _ = mapFile(f, s.filterAt(), int(s.lines+1)*lineSize)
	return s, nil
}

// check reads the header, the footer and the tags. Nothing is allocated by a
// length in the file before the lengths add up to the file's.
func (s *segment) check() error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < headerSize+footerSize {
		return errDamaged
	}
	var head, foot [headerSize]byte
	if err := s.read(head[:], 0); err != nil {
		return err
	}
	if err := s.read(foot[:], info.Size()-footerSize); err != nil {
		return err
	}
	s.footer = parseFooter(foot[:])
	if !bytes.Equal(head[:], header()) || !s.plausible() || s.size() != info.Size() {
		return errDamaged
	}
	tags := make([]byte, s.tagBytes)
	if err := s.read(tags, s.tagsAt()); err != nil {
		return err
	}
	if !bytes.Equal(foot[:], s.encode(tags)) {
		return errDamaged
	}
	s.tags, err = parseTags(tags)
	return err
}

// read fills p; a file that ends early is damaged.
func (s *segment) read(p []byte, at int64) error {
	_, err := s.f.ReadAt(p, at)
	if errors.Is(err, io.EOF) {
		return errDamaged
	}
	return err
}

// window is more entries than all but the fullest lines of the filter have.
const window = 96

// scratch holds that many. Pooled, because what is read into escapes.
type scratch [window * entrySize]byte

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// lookup finds a chunk and its frame. What can't be read or can't be true is a miss.
func (s *segment) lookup(k halves) (Loc, bool) {
	e, ok := s.find(k)
	if !ok || uint64(e.frame) >= s.frames {
		return Loc{}, false
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	if err := s.read(buf[:frameSize], headerSize+int64(e.frame)*frameSize); err != nil {
		return Loc{}, false
	}
	l := frameAt(buf[:])
	l.Start, l.Length = e.start, e.length
	return l, l.valid()
}

// valid tells whether the chunk lies in its frame.
func (l *Loc) valid() bool {
	return uint64(l.Start)+uint64(l.Length) <= uint64(l.Plain) && l.Method <= 1
}

// find returns the entry of k.
func (s *segment) find(k halves) (entry, bool) {
	from, to, ok := s.bounds(k)
	if !ok {
		return entry{}, false
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	for to-from > window { // keys that aren't random, or few
		mid := from + (to-from)/2
		if err := s.read(buf[:len(Key{})], s.entriesAt()+int64(mid)*entrySize); err != nil {
			return entry{}, false
		}
		if keyAt(buf[:]).compare(k) <= 0 {
			from = mid
		} else {
			to = mid
		}
	}
	rows := buf[:(to-from)*entrySize]
	if err := s.read(rows, s.entriesAt()+int64(from)*entrySize); err != nil {
		return entry{}, false
	}
	return search(rows, k)
}

// bounds asks the filter: the entries among which k is, or not at all.
func (s *segment) bounds(k halves) (from, to uint64, ok bool) {
	at := k.line(s.lines) * lineSize
	if s.filter == nil {
		return s.readBounds(k, int64(at))
	}
	line := s.filter[at : at+2*lineSize]
	if !k.in(line) {
		return 0, 0, false
	}
	from, to = first(line), first(line[lineSize:])
	return from, to, from <= to && to <= s.entries
}

func (s *segment) readBounds(k halves, at int64) (from, to uint64, ok bool) {
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	if err := s.read(buf[:2*lineSize], s.filterAt()+at); err != nil || !k.in(buf[:]) {
		return 0, 0, false
	}
	from, to = first(buf[:]), first(buf[lineSize:])
	return from, to, from <= to && to <= s.entries
}

// search finds k in sorted rows.
func search(rows []byte, k halves) (entry, bool) {
	lo, hi := 0, len(rows)/entrySize
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch c := keyAt(rows[mid*entrySize:]).compare(k); {
		case c == 0:
			return entryAt(rows[mid*entrySize:]), true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return entry{}, false
}

// byAge orders segments oldest first; of those that begin with the same commit
// the one that holds more.
func (s *segment) byAge(o *segment) int {
	return cmp.Or(cmp.Compare(s.from, o.from), cmp.Compare(o.to, s.to))
}

// close releases the segment; nobody may be looking anything up in it.
func (s *segment) close() error {
	var err error
	if s.unmap != nil {
		err = s.unmap()
	}
	return errors.Join(err, s.f.Close())
}

// remove closes the segment and deletes its file. In this order: Windows
// deletes no file that is open.
func (s *segment) remove() error {
	err := s.close()
	rm := os.Remove(s.f.Name())
	if errors.Is(rm, os.ErrNotExist) {
		rm = nil
	}
	return errors.Join(err, rm)
}
