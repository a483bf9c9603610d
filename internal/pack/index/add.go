package index

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Add takes in the chunks of the commit called tag: fill calls put for each of
// them, those of a frame one after the other. Of chunks with one key the one in
// the latest frame is kept. Put's error is fill's to return; any error of fill
// leaves the index as it was. A commit that is covered already isn't filled again.
//
// It takes 32 bytes a chunk in memory for the first million, then 140 KiB for each
// million more. When Add returns, lookups find the chunks; after a crash they
// may be gone. Add also merges segments, now and then all of them. An error of
// that comes when the chunks are in, which Covers tells.
func (x *Index) Add(tag string, fill func(put func(Key, Loc) error) error) error {
	x.writes.Lock()
	defer x.writes.Unlock()
	if err := x.add(tag, fill); err != nil {
		return fmt.Errorf("adding to the chunk index: %w", err)
	}
	return x.compact()
}

func (x *Index) add(tag string, fill func(put func(Key, Loc) error) error) error {
	switch {
	case len(tag) == 0 || len(tag) > maxTag:
		return fmt.Errorf("tag of %d bytes: %w", len(tag), fs.ErrInvalid)
	case x.closed: // changed only with writes held, as is next
		return fs.ErrClosed
	case x.Covers(tag):
		return nil
	}
	x.removeTemps()
	b, err := newBuilder(x.dir)
	if err != nil {
		return err
	}
	defer b.abort()
	if err := fill(b.put); err != nil {
		return err
	}
	s, err := b.finish(tag, x.next)
	if err != nil {
		return err
	}
	return x.replace(nil, s)
}

// removeTemps deletes what a writer left that didn't live to finish.
func (x *Index) removeTemps() {
	old, _ := filepath.Glob(filepath.Join(x.dir, tempPattern)) // a dir Glob can't parse keeps its rubbish
	for _, path := range old {
		os.Remove(path) // tried again by the next Add
	}
}

// Entries are sorted in slabs, which a processor's cache holds; when there are
// maxSlabs of them they are merged into a run on disk. At the end slabs and
// runs are merged.
const (
	slabEntries = 64 << 10
	maxSlabs    = 16
)

type builder struct {
	w     *writer
	slabs [][]entry // all but the last are full and sorted
	frame Loc       // the last one written
	row   [frameSize]byte
	err   error // the first of put: nothing can be added after it

	spill *os.File // the runs, one after the other; nil when there is none
	runs  []int64  // where each ends
	total uint64
}

func newBuilder(dir string) (*builder, error) {
	w, err := newWriter(dir)
	if err != nil {
		return nil, err
	}
	return &builder{w: w}, nil
}

// put takes in a chunk.
func (b *builder) put(k Key, l Loc) error {
	if b.err == nil {
		b.err = b.tryPut(k, l)
	}
	return b.err
}

func (b *builder) tryPut(k Key, l Loc) error {
	if !l.valid() {
		return fmt.Errorf("chunk %x at %d+%d of a frame of %d bytes, method %d: %w", k, l.Start, l.Length, l.Plain, l.Method, fs.ErrInvalid)
	}
	if b.total == maxEntries {
		return fmt.Errorf("more than %d chunks in one commit: %w", maxEntries, fs.ErrInvalid)
	}
	if b.w.frames == 0 || !sameFrame(&l, &b.frame) {
		putFrame(b.row[:], &l)
		if err := b.w.addFrames(b.row[:]); err != nil {
			return err
		}
		b.frame = l
	}
	slab, err := b.slab()
	if err != nil {
		return err
	}
	*slab = append(*slab, entry{k.split(), uint32(b.w.frames - 1), l.Start, l.Length})
	b.total++
	return nil
}

// slab returns one with room for an entry.
func (b *builder) slab() (*[]entry, error) {
	n := len(b.slabs)
	if n > 0 && len(b.slabs[n-1]) < slabEntries {
		return &b.slabs[n-1], nil
	}
	if n > 0 {
		slices.SortFunc(b.slabs[n-1], compareEntries)
	}
	if n == maxSlabs {
		if err := b.spillSlabs(); err != nil {
			return nil, err
		}
		n = 0
	}
	b.slabs = slices.Grow(b.slabs, 1)[:n+1]
	if cap(b.slabs[n]) == 0 {
		b.slabs[n] = make([]entry, 0, slabEntries)
	}
	b.slabs[n] = b.slabs[n][:0]
	return &b.slabs[n], nil
}

func compareEntries(a, b entry) int { return a.before(&b) }

// spillSlabs writes the sorted slabs as a run and empties them.
func (b *builder) spillSlabs() (err error) {
	if b.spill == nil {
		if b.spill, err = os.CreateTemp(filepath.Dir(b.w.f.Name()), tempPattern); err != nil {
			return err
		}
	}
	m, err := newMerger(b.cursors())
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(b.spill, bufferSize)
	var row [entrySize]byte
	for {
		e, ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		e.put(row[:])
		if _, err := out.Write(row[:]); err != nil {
			return err
		}
	}
	b.slabs = b.slabs[:0]
	b.runs = append(b.runs, int64(b.total)*entrySize)
	return out.Flush()
}

// cursors are the sorted slabs.
func (b *builder) cursors() []*cursor {
	var list []*cursor
	for _, s := range b.slabs {
		list = append(list, &cursor{batch: s})
	}
	return list
}

// finish writes the segment.
func (b *builder) finish(tag string, seq uint64) (*segment, error) {
	if b.err != nil {
		return nil, b.err
	}
	if n := len(b.slabs); n > 0 {
		slices.SortFunc(b.slabs[n-1], compareEntries)
	}
	list := b.cursors()
	var start int64
	for _, end := range b.runs {
		list = append(list, runCursor(io.NewSectionReader(b.spill, start, end-start)))
		start = end
	}
	m, err := newMerger(list)
	if err != nil {
		return nil, err
	}
	if err := b.w.finish(m, b.total, []string{tag}); err != nil {
		return nil, err
	}
	return b.w.publish(filepath.Dir(b.w.f.Name()), seq, seq)
}

// runCursor walks over a run.
func runCursor(r io.Reader) *cursor {
	run := newRunReader(r)
	return &cursor{fill: func() ([]entry, error) {
		batch, _, err := run.next()
		return batch, err
	}}
}

// abort drops what finish didn't publish. What it can't the next Add does.
func (b *builder) abort() {
	b.w.abort()
	if b.spill != nil {
		b.spill.Close()
		os.Remove(b.spill.Name())
	}
}
