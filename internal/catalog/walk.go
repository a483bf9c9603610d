package catalog

import (
	"bytes"
	"context"

	"waybill/internal/pack"
)

// Walk calls f for every entry below a directory, in order, directories before what
// they hold. The path is the entry's, from the given prefix on, and only valid during the call.
// descend tells whether to go into a directory; its result is ignored for others.
func Walk(ctx context.Context, l Loader, dir Entry, prefix []byte, f func(path []byte, e Entry) (descend bool, err error)) error {
	path := bytes.Clone(prefix)
	return walk(ctx, l, dir.Node, &path, f)
}

func walk(ctx context.Context, l Loader, node pack.ID, path *[]byte, f func([]byte, Entry) (bool, error)) error {
	length := len(*path)
	for e, err := range Entries(ctx, l, node) {
		if err != nil {
			return err
		}
		*path = append(append((*path)[:length], '/'), e.Name...)
		descend, err := f(*path, e)
		if err == nil && descend && e.Kind == Directory {
			err = walk(ctx, l, e.Node, path, f)
		}
		if err != nil {
			return err
		}
	}
	*path = (*path)[:length]
	return nil
}

// Node reads one node of a directory: an index node's children, or a leaf's entries.
func Node(b []byte) (children []pack.ID, entries []Entry, err error) {
	if len(b) < 2 || b[0] != 'D' && b[0] != 'd' {
		return nil, nil, damaged("a node that is no directory")
	}
	for rest := b[1:]; len(rest) > 0; {
		if b[0] == 'd' {
			var ref childRef
			if ref, rest, err = parseRef(rest); err != nil {
				return nil, nil, err
			}
			children = append(children, ref.id)
			continue
		}
		d := decoder{b: rest}
		raw := d.bytes(maxNodeBytes)
		if d.bad {
			return nil, nil, damaged("a directory node that does not parse")
		}
		e, err := ParseEntry(raw)
		if err != nil {
			return nil, nil, err
		}
		entries, rest = append(entries, e), d.b
	}
	return children, entries, nil
}

// A Part is what a child of a content's index node has of the file.
type Part struct {
	Length int64
	ID     pack.ID
}

// ContentNode reads one node of a file's content: an index node's children, or a leaf's items.
func ContentNode(b []byte) (children []Part, items []Item, err error) {
	if len(b) < 2 || b[0] != 'F' && b[0] != 'f' {
		return nil, nil, damaged("a node that is no content")
	}
	for d := (decoder{b: b[1:]}); len(d.b) > 0; {
		if b[0] == 'f' {
			children = append(children, Part{int64(d.uvarint(1<<63 - 1)), d.id()})
		} else {
			items = append(items, d.item())
		}
		if d.bad {
			return nil, nil, damaged("a content node that does not parse")
		}
	}
	return children, items, nil
}

// A Change is one difference between two trees. A nil side is absent there.
type Change struct {
	Path     []byte // only valid during the call
	Old, New *Entry
}

// Diff calls f for every entry that differs between two directories, in order. Subtrees
// with the same id are not descended into, so its cost follows the difference. A directory that is
// on one side only is reported with everything below it.
func Diff(ctx context.Context, l Loader, old, new Entry, prefix []byte, f func(Change) error) error {
	path := bytes.Clone(prefix)
	return diff(ctx, l, old.Node, new.Node, &path, f)
}

func diff(ctx context.Context, l Loader, old, new pack.ID, path *[]byte, f func(Change) error) error {
	if old == new {
		return nil
	}
	length := len(*path)
	a, b := NewCursor(ctx, l, old), NewCursor(ctx, l, new)
	x, y := a.Next(), b.Next()
	for (x != nil || y != nil) && a.Err() == nil && b.Err() == nil {
		if bytes.Equal(x, y) {
			x, y = a.Next(), b.Next()
			continue
		}
		order := compareNames(x, y)
		var c Change
		var err error
		if order <= 0 {
			c.Old, err = parsePointer(x)
			x = a.Next()
		}
		if err == nil && order >= 0 {
			c.New, err = parsePointer(y)
			y = b.Next()
		}
		if err == nil {
			err = change(ctx, l, c, path, length, f)
		}
		if err != nil {
			return err
		}
	}
	*path = (*path)[:length]
	if a.Err() != nil {
		return a.Err()
	}
	return b.Err()
}

// change reports one name's difference and goes on below it.
func change(ctx context.Context, l Loader, c Change, path *[]byte, length int, f func(Change) error) error {
	one := c.New
	if one == nil {
		one = c.Old
	}
	*path = append(append((*path)[:length], '/'), one.Name...)
	c.Path = *path
	if c.Old == nil || c.New == nil || !sameButNode(c.Old, c.New) {
		if err := f(c); err != nil {
			return err
		}
	}
	return diff(ctx, l, nodeOf(c.Old), nodeOf(c.New), path, f)
}

func nodeOf(e *Entry) pack.ID {
	if e == nil || e.Kind != Directory {
		return pack.ID{}
	}
	return e.Node
}

// sameButNode compares entries; a directory's node is not looked at, what is below it is reported by itself.
func sameButNode(a, b *Entry) bool {
	x, y := *a, *b
	if x.Kind == Directory && y.Kind == Directory {
		x.Node, y.Node = pack.ID{}, pack.ID{}
	}
	return bytes.Equal(x.Append(nil), y.Append(nil))
}

// compareNames orders two encoded entries by name; nil comes last.
func compareNames(x, y []byte) int {
	switch {
	case x == nil:
		return 1
	case y == nil:
		return -1
	}
	return bytes.Compare(EntryName(x), EntryName(y))
}

func parsePointer(raw []byte) (*Entry, error) {
	e, err := ParseEntry(raw)
	return &e, err
}
