package parity

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"waybill/manifest"
)

// Buffers are pieces of memory of one size that are used again. They are safe for concurrent use.
type Buffers struct {
	size int
	pool sync.Pool // of *[]byte
}

// NewBuffers makes buffers of size bytes.
func NewBuffers(size int) *Buffers { return &Buffers{size: size} }

// Size is the size of each.
func (b *Buffers) Size() int { return b.size }

// Get returns size bytes of any content.
func (b *Buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, b.size)
}

// Put takes back what Get returned, however it was cut at its end.
func (b *Buffers) Put(w []byte) {
	w = w[:b.size]
	b.pool.Put(&w)
}

// An Encoder makes a group's shards and table from its members, window by window, which are as large as its buffers: Begin, Add for each member that reaches
// into the window, End; and Finish after the last. Add is safe for concurrent use. Between Begin and End it
// holds as many windows as there are shards.
type Encoder struct {
	table  *Table
	memory *Buffers
	out    []io.Writer
	failed []error // of out; nothing more is written there
	index  []int   // of the shards
	base   *Base
	off    int64

	mu     sync.Mutex
	shards [][]byte // windows; guarded by mu between Begin and End
}

// A Base is the shards of the group that another grew out of by more members.
type Base struct {
	Table *Table
	// ReadAt fills p from the file of a shard, given by its place in the table.
	ReadAt func(shard int, p []byte, off int64) error
}

// NewEncoder begins a group, with windows of memory's size, which is a multiple of Block. Each shard's file is written to its writer. With a base, its members are not added again.
func NewEncoder(h *Head, out []io.Writer, base *Base, memory *Buffers) (*Encoder, error) {
	t, err := newTable(h)
	if err != nil {
		return nil, err
	}
	e := &Encoder{table: t, memory: memory, out: out, base: base, failed: make([]error, len(out)), shards: make([][]byte, len(out))}
	for _, s := range h.Shards {
		e.index = append(e.index, s.Index)
	}
	if len(out) != len(h.Shards) || base != nil && !e.extend(base.Table) {
		return nil, fmt.Errorf("parity group %s: %w: it is not one that grew out of another", t.Group, manifest.ErrFormat)
	}
	return e, nil
}

// extend takes over the sums of the base's members. All of them must be the encoder's too, and the shards the same.
func (e *Encoder) extend(old *Table) bool {
	t, at := e.table, 0
	for row, m := range old.Members {
		for at < len(t.Members) && t.Members[at].Index < m.Index {
			at++
		}
		if at == len(t.Members) || t.Members[at] != m {
			return false
		}
		copy(t.bytes[t.first[at]:], old.bytes[old.first[row]:old.first[row+1]])
	}
	for j, s := range old.Shards {
		if len(old.Shards) != len(t.Shards) || t.Shards[j].Index != s.Index {
			return false
		}
	}
	return old.Machine == t.Machine
}

// Group is the group's name.
func (e *Encoder) Group() string { return e.table.Group }

// FileSize is the size of each shard's file.
func (e *Encoder) FileSize() int64 { return e.table.FileSize() }

// Length is how many bytes the windows cover.
func (e *Encoder) Length() int64 { return e.table.Length() }

// Begin begins the window at off, which follows the one before. It fails when the base can't be read.
func (e *Encoder) Begin(off int64) error {
	e.off = off
	n := min(int64(e.memory.size), e.table.Length()-off)
	for j := range e.shards {
		e.shards[j] = e.memory.Get()[:n]
		clear(e.shards[j])
	}
	for j, w := range e.shards {
		if err := e.load(j, w); err != nil {
			e.Drop()
			return err
		}
	}
	return nil
}

// load puts the base's shard into the window.
func (e *Encoder) load(j int, window []byte) error {
	if e.base == nil || e.off >= e.base.Table.Length() {
		return nil
	}
	t := e.base.Table
	p := window[:min(int64(len(window)), t.Length()-e.off)]
	err := e.base.ReadAt(j, p, e.off)
	if err == nil && !t.CheckShard(j, e.off, p) {
		err = errors.New("it has changed")
	}
	if err != nil {
		return fmt.Errorf("reading shard %d of parity group %s: %w", t.Shards[j].Index, t.Group, err)
	}
	return nil
}

// Add adds a piece of a member's part of the window: p, which begins at the byte at of the window, a multiple of Block, and ends at another or with the
// member. It doesn't keep p.
func (e *Encoder) Add(member, at int, p []byte) {
	e.table.note(member, (e.off+int64(at))/Block, p)
	e.mu.Lock()
	defer e.mu.Unlock()
	add(e.shards, e.index, e.table.Members[member].Index, at, p)
}

// End writes the window's part of the shards.
func (e *Encoder) End() {
	for j, w := range e.shards {
		e.table.note(len(e.table.Members)+j, e.off/Block, w)
		e.write(j, w)
	}
	e.Drop()
}

// Drop ends a window without writing it: the group will not be finished.
func (e *Encoder) Drop() {
	for j, w := range e.shards {
		if w != nil {
			e.memory.Put(w)
			e.shards[j] = nil
		}
	}
}

func (e *Encoder) write(j int, p []byte) {
	if e.failed[j] == nil {
		_, e.failed[j] = e.out[j].Write(p)
	}
}

// Finish ends the shards' files and returns the bytes of the table, and for each shard what its writer failed with.
func (e *Encoder) Finish() (table []byte, failed []error) {
	table = e.table.finish()
	for j := range e.out {
		e.write(j, e.table.Trailer())
	}
	return table, e.failed
}
