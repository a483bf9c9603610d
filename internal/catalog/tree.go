package catalog

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"iter"

	"waybill/internal/pack"
)

// A Loader finds nodes. Load returns the chunk of that id, checked against it; the
// slice is shared and must not be changed.
type Loader interface {
	Load(ctx context.Context, id pack.ID) ([]byte, error)
}

// maxDepth bounds index levels over a list: each halves the nodes at least.
const maxDepth = 64

// A Cursor walks the encoded entries of one directory in ascending order of names,
// loading a node at a time.
type Cursor struct {
	ctx    context.Context
	loader Loader
	stack  [][]byte // what is left of the index nodes on the way down
	leaf   []byte
	last   []byte // the last entry's name
	err    error
}

// NewCursor begins at the first entry of the directory with that top node.
func NewCursor(ctx context.Context, l Loader, node pack.ID) *Cursor {
	c := &Cursor{ctx: ctx, loader: l}
	if !node.IsZero() {
		c.descend(node, nil)
	}
	return c
}

// Next returns the next encoded entry, nil at the end or after an error.
func (c *Cursor) Next() []byte {
	for len(c.leaf) == 0 && c.err == nil {
		n := len(c.stack)
		if n == 0 {
			return nil
		}
		if len(c.stack[n-1]) == 0 {
			c.stack = c.stack[:n-1]
			continue
		}
		ref := c.takeRef()
		if c.err == nil {
			c.descend(ref.id, nil)
		}
	}
	if c.err != nil {
		return nil
	}
	d := decoder{b: c.leaf}
	entry := d.bytes(maxNodeBytes)
	name := EntryName(entry)
	if d.bad || bytes.Compare(name, c.last) <= 0 {
		c.err = damaged("a directory node that does not parse, or is out of order")
		return nil
	}
	c.leaf, c.last = d.b, name
	return entry
}

// Err is the error the cursor stopped at.
func (c *Cursor) Err() error { return c.err }

const maxNodeBytes = pack.MaxCatalogueChunk

// takeRef takes the next child off the innermost index node.
func (c *Cursor) takeRef() childRef {
	top := &c.stack[len(c.stack)-1]
	ref, rest, err := parseRef(*top)
	if err != nil {
		c.err = err
	}
	*top = rest
	return ref
}

func parseRef(b []byte) (ref childRef, rest []byte, err error) {
	d := decoder{b: b}
	ref.last = d.bytes(maxName)
	ref.id = d.id()
	ref.weight = d.uvarint(1<<63 - 1)
	if d.bad || ref.id.IsZero() {
		return ref, nil, damaged("a directory index that does not parse")
	}
	return ref, d.b, nil
}

// descend loads nodes down to a leaf: always the first child, or, when name is given,
// the child that would hold it.
func (c *Cursor) descend(id pack.ID, name []byte) {
	for c.err == nil {
		if len(c.stack) > maxDepth {
			c.err = damaged("a directory deeper than any can be")
			return
		}
		var b []byte
		if b, c.err = c.loader.Load(c.ctx, id); c.err != nil {
			return
		}
		switch {
		case len(b) > 1 && b[0] == 'D':
			c.leaf = b[1:]
			return
		case len(b) > 1 && b[0] == 'd':
			c.stack = append(c.stack, b[1:])
		default:
			c.err = damaged("node %.8s is no directory", id)
			return
		}
		ref := c.takeRef()
		for c.err == nil && name != nil && bytes.Compare(ref.last, name) < 0 {
			if len(c.stack[len(c.stack)-1]) == 0 {
				c.leaf = nil
				return // beyond the last name
			}
			ref = c.takeRef()
		}
		id = ref.id
	}
}

// Entries yields a directory's parsed entries in ascending order of names. An error ends it.
func Entries(ctx context.Context, l Loader, node pack.ID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		c := NewCursor(ctx, l, node)
		for raw := c.Next(); raw != nil; raw = c.Next() {
			e, err := ParseEntry(raw)
			if !yield(e, err) || err != nil {
				return
			}
		}
		if c.Err() != nil {
			yield(Entry{}, c.Err())
		}
	}
}

// Lookup finds a name in a directory; fs.ErrNotExist when it isn't there. It loads one node a level.
func Lookup(ctx context.Context, l Loader, node pack.ID, name []byte) (Entry, error) {
	c := &Cursor{ctx: ctx, loader: l}
	if !node.IsZero() {
		c.descend(node, name)
	}
	for raw := c.Next(); raw != nil; raw = c.Next() {
		switch bytes.Compare(EntryName(raw), name) {
		case 0:
			return ParseEntry(raw)
		case 1:
			return Entry{}, fs.ErrNotExist
		}
	}
	if c.Err() != nil {
		return Entry{}, c.Err()
	}
	return Entry{}, fs.ErrNotExist
}

// Resolve walks from a root entry down a path of names separated by '/'.
func Resolve(ctx context.Context, l Loader, root Entry, path []byte) (Entry, error) {
	e := root
	for name := range bytes.SplitSeq(path, []byte("/")) {
		if len(name) == 0 {
			continue
		}
		if e.Kind != Directory {
			return Entry{}, fmt.Errorf("%q is not a directory: %w", e.Name, fs.ErrNotExist)
		}
		var err error
		if e, err = Lookup(ctx, l, e.Node, name); err != nil {
			return Entry{}, err
		}
	}
	return e, nil
}

// Content yields a file's items in order, loading a node at a time. They never cover more than the file's size.
func Content(ctx context.Context, l Loader, e Entry) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if e.Node.IsZero() {
			eachItem(e.Content, yield)
			return
		}
		total := int64(0)
		ok := contentNode(ctx, l, e.Node, 0, func(it Item, err error) bool {
			if it.Length > e.Size-total {
				return yield(Item{}, damaged("the content of a file is more than its size")) && false
			}
			total += it.Length
			return yield(it, err)
		})
		if ok && total != e.Size && e.Flags&Partial == 0 {
			yield(Item{}, damaged("the content of a file does not add up to its size"))
		}
	}
}

func eachItem(b []byte, yield func(Item, error) bool) bool {
	d := decoder{b: b}
	for len(d.b) > 0 {
		it := d.item()
		if d.bad {
			return yield(Item{}, damaged("a content list that does not parse")) && false
		}
		if !yield(it, nil) {
			return false
		}
	}
	return true
}

func contentNode(ctx context.Context, l Loader, id pack.ID, depth int, yield func(Item, error) bool) bool {
	b, err := l.Load(ctx, id)
	if err != nil {
		return yield(Item{}, err) && false
	}
	switch {
	case depth > maxDepth || len(b) < 2:
	case b[0] == 'F':
		return eachItem(b[1:], yield)
	case b[0] == 'f':
		d := decoder{b: b[1:]}
		for len(d.b) > 0 {
			d.uvarint(1<<63 - 1)
			child := d.id()
			if d.bad {
				return yield(Item{}, damaged("a content index that does not parse")) && false
			}
			if !contentNode(ctx, l, child, depth+1, yield) {
				return false
			}
		}
		return true
	}
	return yield(Item{}, damaged("node %.8s is no content", id)) && false
}
