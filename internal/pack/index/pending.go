package index

import (
	"math/bits"
	"sync"
)

// Pending is a set of keys in memory: the chunks a session has taken on, whose
// packs aren't durable yet. The zero Pending is empty and ready; its methods
// are safe for concurrent use.
//
// It takes 21 to 27 bytes a key. It grows in small steps and a small part at a
// time, so that it never takes much more than it needs.
type Pending struct {
	shards [pendingShards]pendingShard
}

const (
	pendingShards = 256
	smallestTable = 16
)

// pendingShard is a table with linear probing. A key's home is its place among
// all keys, so the table is almost sorted and grows in one pass; the zero key
// marks an empty slot and is kept aside.
type pendingShard struct {
	mu    sync.Mutex // guards all of it
	table []halves
	used  int
	zero  bool
	_     [16]byte // a cache line of its own
}

// Insert adds k and tells whether it is new: of several callers with one key
// exactly one is told so.
func (p *Pending) Insert(k Key) (isNew bool) {
	h := k.split()
	s := &p.shards[h.hi>>56]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.insert(h)
}

// Len returns the number of keys.
func (p *Pending) Len() int {
	n := 0
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		n += s.used
		if s.zero {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

// Reset empties the set. It keeps its memory for the next keys.
func (p *Pending) Reset() {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		clear(s.table)
		s.used, s.zero = 0, false
		s.mu.Unlock()
	}
}

func (s *pendingShard) insert(h halves) (isNew bool) {
	if h == (halves{}) {
		isNew = !s.zero
		s.zero = true
		return isNew
	}
	// At most 3/4 full, and then a quarter larger: 3/5 full.
	if 4*(s.used+1) > 3*len(s.table) {
		s.grow(max(smallestTable, len(s.table)+len(s.table)/4))
	}
	slot := s.slot(h)
	if *slot == h {
		return false
	}
	*slot = h
	s.used++
	return true
}

// slot returns where h is, or the empty slot where it belongs.
func (s *pendingShard) slot(h halves) *halves {
	i, _ := bits.Mul64(h.hi*pendingShards, uint64(len(s.table))) // the shard took the first byte
	for s.table[i] != h && s.table[i] != (halves{}) {
		if i++; i == uint64(len(s.table)) {
			i = 0
		}
	}
	return &s.table[i]
}

func (s *pendingShard) grow(n int) {
	old := s.table
	s.table = make([]halves, n)
	for _, h := range old {
		if h != (halves{}) {
			*s.slot(h) = h
		}
	}
}
