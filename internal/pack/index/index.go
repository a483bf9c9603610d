// Package index is the local chunk index: which chunks a vault already holds
// and in which frame of which pack.
//
// It is a hint, never the truth. Deleting its directory loses nothing: it is
// rebuilt from the tables of the packs. A chunk it doesn't know is stored once
// more, and a location that is wrong is found out by the reader, whose frame
// doesn't open or whose chunk has another hash. So nothing here is fsynced,
// and damage is dropped rather than reported.
//
// An [Index] is a directory of immutable sorted segments. [Index.Add] writes one
// per commit and merges small ones into larger; [Index.Lookup] asks the newest
// first. Every segment carries the tags (manifest digests) of the commits it
// covers, so that a caller sees what is missing ([Index.Covers]) and drops what
// is gone ([Index.Retain]).
//
//	x, err := index.Open(dir)
//	err = x.Add(tag, func(put func(index.Key, index.Loc) error) error {
//		return put(key, loc) // for every chunk of the commit
//	})
//	loc, ok := x.Lookup(key)
//
// [Pending] is its companion for one session: the chunks already taken on,
// whose packs are not durable yet.
//
// Any number of processes may read a directory; callers see to it that only
// one at a time adds or retains. Retaining in one process doesn't drop segments
// that another has open. A segment is a file of this layout, integers little
// endian, see layout.go for the rows:
//
//	header   64 B        magic, version
//	frames   52 B each   a frame: its pack's name, where it lies, how it is packed
//	zeros                up to a multiple of 64
//	filter   64 B each   a line per 40 chunks or so, and a last one
//	entries  28 B each   a chunk: key, ordinal of its frame here, start, length; ascending keys
//	tags     u8 length, bytes, each
//	footer   64 B        counts, CRC-32C of frames, of entries, and of all the rest but the filter
//
// Keys are uniformly random, so a line of the filter is chosen by multiplying a
// key's first half with the number of lines: lines are in the order of the
// keys. Hence a filter is written in one pass beside the entries, whatever its
// size, and a line also tells where its entries begin. A lookup touches one
// cache line per segment; a hit reads one run of about 40 entries, then one
// frame.
//
// Only the filter is mapped into memory (13 bits a chunk, 25 MiB per TiB); the
// rest is read where it is needed. Header, tags, footer and the file's length
// are checked when a segment is opened; frames and entries when it is merged,
// the only time they are read whole.
package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
)

// Key is the first 16 bytes of a chunk's id. Keys must be uniformly random:
// others are found too, but slowly.
type Key [16]byte

// Loc says where a chunk lies.
type Loc struct {
	Pack   [32]byte // the pack's name
	Frame  uint32   // ordinal of the frame in its pack
	Offset uint32   // of the sealed frame in the pack
	Sealed uint32   // length of the sealed frame
	Plain  uint32   // length of the plain frame
	Method uint8    // how the frame is compressed: 0 stored, 1 zstd
	Start  uint32   // of the chunk in the plain frame
	Length uint32   // of the chunk
}

// Index is a directory of segments. Its methods are safe for concurrent use;
// lookups go on while segments are added and merged.
type Index struct {
	dir    string
	writes sync.Mutex // held by Add and Retain throughout: one writer at a time

	mu       sync.RWMutex // guards what follows; lookups hold it for reading, so a segment out of the list is out of use
	segments []*segment   // oldest first
	next     uint64       // sequence number of the next commit
	closed   bool
}

// Open opens the index in dir, which it creates when it isn't there. It reads
// some hundred bytes of each segment. Segments that are damaged, cut short or
// of another version are deleted; only a directory that can't be read is an error.
func Open(dir string) (*Index, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the chunk index: %w", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the chunk index: %w", err)
	}
	x := &Index{dir: dir, next: 1}
	for _, e := range list {
		if from, to, ok := parseName(e.Name()); ok && e.Type().IsRegular() {
			x.next = max(x.next, to+1)
			x.open(e.Name(), from, to)
		}
	}
	x.settle()
	return x, nil
}

// open takes a segment into the list. One that another process has just merged
// away, or that can't be opened now, is passed over: it only costs misses.
func (x *Index) open(name string, from, to uint64) {
	s, err := openSegment(filepath.Join(x.dir, name), from, to)
	if errors.Is(err, errDamaged) {
		os.Remove(filepath.Join(x.dir, name)) // tried again at the next Open
	}
	if err == nil {
		x.segments = append(x.segments, s)
	}
}

// settle sorts the list by age and drops what an interrupted merge left behind:
// segments whose commits are all in another.
func (x *Index) settle() {
	slices.SortFunc(x.segments, (*segment).byAge)
	keep := x.segments[:0]
	for _, s := range x.segments {
		if n := len(keep); n > 0 && s.to <= keep[n-1].to {
			s.remove() // tried again at the next Open
			continue
		}
		keep = append(keep, s)
	}
	x.segments = keep
}

// Lookup says where the chunk k lies, as the newest segment that holds it has
// it. It doesn't allocate.
func (x *Index) Lookup(k Key) (loc Loc, ok bool) { return x.Where(k, nil) }

// Where is Lookup among the packs that accept wants; nil wants all. Of a chunk stored twice it may know
// one place only: segments that are merged keep the newest.
func (x *Index) Where(k Key, accept func(pack *[32]byte) bool) (loc Loc, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	defer missOnFault(debug.SetPanicOnFault(true), &ok)
	p := k.split()
	for _, s := range slices.Backward(x.segments) {
		if loc, ok = s.lookup(p); ok && (accept == nil || accept(&loc.Pack)) {
			return loc, true
		}
	}
	return Loc{}, false
}

// Has tells whether some segment holds the chunk k. It compares whole keys,
// costs less than Lookup and doesn't allocate.
func (x *Index) Has(k Key) (ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	defer missOnFault(debug.SetPanicOnFault(true), &ok)
	p := k.split()
	for _, s := range slices.Backward(x.segments) {
		if _, ok = s.find(p); ok {
			return true
		}
	}
	return false
}

// missOnFault is deferred by lookups. It makes a miss of a page of the filter
// that can't be read, be it a bad sector or a file cut short while it is open:
// otherwise the fault would end the program, for a hint.
func missOnFault(old bool, ok *bool) {
	debug.SetPanicOnFault(old)
	switch r := recover().(type) {
	case nil:
	case interface{ Addr() uintptr }: // as SetPanicOnFault promises
		*ok = false
	default:
		panic(r)
	}
}

// Covers tells whether the commit called tag is in the index.
func (x *Index) Covers(tag string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.ContainsFunc(x.segments, func(s *segment) bool { return slices.Contains(s.tags, tag) })
}

// Covered returns the tags of the commits in the index, oldest first; the
// slice is the caller's.
func (x *Index) Covered() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var tags []string
	for _, s := range x.segments {
		tags = append(tags, s.tags...)
	}
	return tags
}

// Retain drops every segment that has a tag keep doesn't want: its packs may be
// gone. Wanted commits merged with an unwanted one go too; Covers tells, and
// Add brings them back. On an error the segments are out of use here, but some
// files may be back at the next Open.
func (x *Index) Retain(keep func(tag string) bool) error {
	x.writes.Lock()
	defer x.writes.Unlock()
	var stale []*segment
	for _, s := range x.segments { // only writers change the list, and we hold writes
		if !all(s.tags, keep) {
			stale = append(stale, s)
		}
	}
	return x.replace(stale, nil)
}

func all(tags []string, keep func(string) bool) bool {
	return !slices.ContainsFunc(tags, func(t string) bool { return !keep(t) })
}

// replace takes old segments out of the list, puts fresh in (when not nil), and
// removes the old ones' files.
func (x *Index) replace(old []*segment, fresh *segment) error {
	x.mu.Lock()
	list := slices.Clone(x.segments)
	list = slices.DeleteFunc(list, func(s *segment) bool { return slices.Contains(old, s) })
	if fresh != nil {
		list = append(list, fresh)
		slices.SortFunc(list, (*segment).byAge)
		x.next = max(x.next, fresh.to+1)
	}
	x.segments = list
	x.mu.Unlock()
	var errs []error
	for _, s := range old {
		errs = append(errs, s.remove())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing segments of the chunk index: %w", err)
	}
	return nil
}

// Stats returns the number of segments, of their entries (a chunk in two
// segments counts twice) and the bytes on disk.
func (x *Index) Stats() (segments, entries int, bytes int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, s := range x.segments {
		entries += int(s.entries)
		bytes += s.size()
	}
	return len(x.segments), entries, bytes
}

// Close releases the files. Lookups miss from now on, Add and Retain fail or do nothing.
func (x *Index) Close() error {
	x.writes.Lock()
	defer x.writes.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for _, s := range x.segments {
		errs = append(errs, s.close())
	}
	x.segments, x.closed = nil, true
	return errors.Join(errs...)
}
