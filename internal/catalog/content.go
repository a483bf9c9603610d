package catalog

import (
	"encoding/binary"

	"waybill/internal/pack"
)

// An Item is a stretch of a file: a chunk, or a hole when its ID is zero.
type Item struct {
	Length int64
	ID     pack.ID
}

// IsHole tells whether the item stands for a hole.
func (it Item) IsHole() bool { return it.ID.IsZero() }

func (it Item) append(b []byte) []byte {
	if it.IsHole() {
		return binary.AppendUvarint(b, uint64(it.Length)<<1|1)
	}
	return append(binary.AppendUvarint(b, uint64(it.Length)<<1), it.ID[:]...)
}

// maxInline is how many items an entry holds itself; longer lists are by reference.
const maxInline = 8

// A ContentBuilder collects a file's items in order. Memory does not grow with the
// file: full nodes are stored at once. The zero value with Put set is ready for use, and
// so it is again after Finish.
type ContentBuilder struct {
	Put func(node []byte) (pack.ID, error) // stores a node; keeps none of the slice

	few    []Item // the items, as long as they are few
	list   *list
	length int64
}

// Length is how many bytes of the file the items cover.
func (c *ContentBuilder) Length() int64 { return c.length }

// Add appends an item; adjoining holes become one.
func (c *ContentBuilder) Add(it Item) error {
	c.length += it.Length
	if n := len(c.few); it.IsHole() && n > 0 && c.few[n-1].IsHole() {
		c.few[n-1].Length += it.Length
		return nil
	}
	c.few = append(c.few, it)
	if len(c.few) <= maxInline {
		return nil
	}
	// The newest item may still grow when it is a hole, so it stays behind.
	if c.list == nil {
		c.list = &list{put: c.Put, leaf: 'F', index: 'f'}
	}
	for _, it := range c.few[:len(c.few)-1] {
		if err := c.list.addItem(it); err != nil {
			return err
		}
	}
	c.few = append(c.few[:0], c.few[len(c.few)-1])
	return nil
}

// Finish sets the entry's content and resets the builder.
func (c *ContentBuilder) Finish(e *Entry) error {
	defer c.Reset()
	return c.finish(e, c.list)
}

// Snapshot sets the entry's content to the items so far and lets the builder go on.
func (c *ContentBuilder) Snapshot(e *Entry) error {
	if c.list == nil {
		return c.finish(e, nil)
	}
	return c.finish(e, c.list.clone())
}

func (c *ContentBuilder) finish(e *Entry, l *list) error {
	if l == nil {
		e.Content, e.Node = nil, pack.ID{}
		for _, it := range c.few {
			e.Content = it.append(e.Content)
		}
		return nil
	}
	for _, it := range c.few {
		if err := l.addItem(it); err != nil {
			return err
		}
	}
	var err error
	e.Content = nil
	e.Node, err = l.finish()
	return err
}

// Reset drops the items, so that another file can begin.
func (c *ContentBuilder) Reset() { c.few, c.list, c.length = c.few[:0], nil, 0 }

func (l *list) addItem(it Item) error {
	h := ^uint64(0)
	if !it.IsHole() {
		h = binary.LittleEndian.Uint64(it.ID[:])
	}
	l.scratch = it.append(l.scratch[:0])
	return l.add(0, l.scratch, listItem{h: h, weight: uint64(it.Length)})
}
