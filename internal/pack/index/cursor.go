package index

import (
	"hash/crc32"
	"io"
)

// cursor walks over sorted entries, a batch in memory at a time.
type cursor struct {
	batch []entry                 // what is left of it
	fill  func() ([]entry, error) // the next batch, empty at the end; nil: there is none
}

// cursor walks over the segment's entries, with base added to the ordinals of
// frames. At the end it checks their sum.
func (s *segment) cursor(base uint32) *cursor {
	var sum uint32
	r := newRunReader(io.NewSectionReader(s.f, s.entriesAt(), int64(s.entries)*entrySize))
	return &cursor{fill: func() ([]entry, error) {
		batch, rows, err := r.next()
		if err != nil {
			return nil, &damagedError{s}
		}
		sum = crc32.Update(sum, castagnoli, rows)
		for i := range batch {
			batch[i].frame += base
		}
		if len(batch) == 0 && sum != s.entriesSum {
			return nil, &damagedError{s}
		}
		return batch, nil
	}}
}

// runReader reads sorted entries.
type runReader struct {
	r     io.Reader
	rows  []byte
	batch []entry
}

func newRunReader(r io.Reader) *runReader {
	const n = bufferSize / entrySize
	return &runReader{r, make([]byte, n*entrySize), make([]entry, n)}
}

// next returns entries and the rows they were read from, good until it is
// called again; none at the end.
func (r *runReader) next() ([]entry, []byte, error) {
	n, err := io.ReadFull(r.r, r.rows)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, nil, err
	}
	n /= entrySize
	for i := range n {
		r.batch[i] = entryAt(r.rows[i*entrySize:])
	}
	return r.batch[:n], r.rows[:n*entrySize], nil
}

// merger walks over the entries of several cursors in order. It is a heap of
// cursors that have entries, the least first entry on top.
type merger struct{ heap []*cursor }

func newMerger(cursors []*cursor) (*merger, error) {
	m := &merger{}
	for _, c := range cursors {
		more, err := c.refill()
		if err != nil {
			return nil, err
		}
		if more {
			m.heap = append(m.heap, c)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m, nil
}

// refill sees to it that there is a batch, unless the cursor is at its end.
func (c *cursor) refill() (more bool, err error) {
	if len(c.batch) == 0 && c.fill != nil {
		c.batch, err = c.fill()
	}
	return len(c.batch) > 0, err
}

// next returns the least entry that is left; ok is false at the end.
func (m *merger) next() (e entry, ok bool, err error) {
	if len(m.heap) == 0 {
		return entry{}, false, nil
	}
	c := m.heap[0]
	e, c.batch = c.batch[0], c.batch[1:]
	more, err := c.refill()
	if err != nil {
		return entry{}, false, err
	}
	if !more {
		last := len(m.heap) - 1
		m.heap[0], m.heap = m.heap[last], m.heap[:last]
	}
	m.sink(0)
	return e, true, nil
}

func (m *merger) sink(i int) {
	for {
		least := 2*i + 1
		if least >= len(m.heap) {
			return
		}
		if r := least + 1; r < len(m.heap) && m.less(r, least) {
			least = r
		}
		if !m.less(least, i) {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}

func (m *merger) less(i, j int) bool {
	return m.heap[i].batch[0].before(&m.heap[j].batch[0]) < 0
}
