package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"waybill/internal/pack"
)

func FuzzParseEntry(f *testing.F) {
	for _, e := range entries() {
		f.Add(e.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			if !errors.Is(err, pack.ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if again := e.Append(nil); !bytes.Equal(again, b) { // it has one form
			t.Errorf("%x parses, and is written %x", b, again)
		}
		if !bytes.Equal(EntryName(b), e.Name) {
			t.Errorf("EntryName is %q, the name %q", EntryName(b), e.Name)
		}
		e.EachXattr(func(_, _ []byte) bool { return true })
		if items, err := collect(Content(t.Context(), newNodes(), e)); e.Kind == File && e.Node.IsZero() && (err != nil || sum(items) > e.Size) {
			t.Errorf("%d bytes of %d, %v", sum(items), e.Size, err)
		}
	})
}

// heap is nodes cut from arbitrary bytes. Ids are made of one byte, so that nodes may lead anywhere, in circles too.
type heap struct {
	parts [][]byte
	loads int
}

// nodeID is the id that leads to a part of a heap.
func nodeID(i byte) pack.ID { return pack.ID(bytes.Repeat([]byte{i + 1}, 32)) }

func (h *heap) Load(_ context.Context, id pack.ID) ([]byte, error) {
	h.loads++
	i := int(id[0]) - 1
	if i < 0 || i >= len(h.parts) {
		return nil, fmt.Errorf("%w: no node", pack.ErrDamaged)
	}
	return h.parts[i], nil
}

// separator stands between the nodes of a heap.
const separator = "|next|"

func newHeap(b []byte) *heap { return &heap{parts: bytes.Split(b, []byte(separator))} }

func FuzzCursor(f *testing.F) {
	leaf := func(names ...string) []byte {
		b := []byte{'D'}
		for _, n := range names {
			e := Entry{Kind: Fifo, Name: []byte(n)}
			b = appendBytes(b, e.Append(nil))
		}
		return b
	}
	ref := func(last string, i byte) []byte {
		id := nodeID(i)
		return append(append(appendBytes(nil, []byte(last)), id[:]...), 1)
	}
	join := func(nodes ...[]byte) []byte { return bytes.Join(nodes, []byte(separator)) }
	f.Add(leaf("a", "b"), []byte("b"))
	f.Add(leaf("b", "a"), []byte("a"))
	f.Add(join(append([]byte("d"), append(ref("b", 1), ref("d", 2)...)...), leaf("a", "b"), leaf("c", "d")), []byte("c"))
	f.Add(join(append([]byte("d"), append(ref("b", 1), ref("d", 1)...)...), leaf("a", "b")), []byte("x"))
	f.Add(append([]byte("d"), append(ref("a", 0), ref("b", 0)...)...), []byte("a"))
	f.Add([]byte("D"), []byte("a"))
	f.Fuzz(func(t *testing.T, b, name []byte) {
		h := newHeap(b)
		c := NewCursor(t.Context(), h, nodeID(0))
		var last []byte
		n := 0
		for raw := c.Next(); raw != nil; raw = c.Next() {
			if now := EntryName(raw); n > 0 && bytes.Compare(last, now) >= 0 {
				t.Fatalf("%q follows %q", now, last)
			} else {
				last = now
			}
			n++
		}
		if c.Err() != nil && !errors.Is(c.Err(), pack.ErrDamaged) {
			t.Error(c.Err())
		}
		if c.Next() != nil {
			t.Error("an entry after the end")
		}
		if n > len(b) || h.loads > 66*(len(b)+1) {
			t.Errorf("%d entries and %d loads of %d bytes", n, h.loads, len(b))
		}
		dir := Entry{Kind: Directory, Node: nodeID(0)}
		Lookup(t.Context(), h, dir.Node, name)
		Resolve(t.Context(), h, dir, name)
		Diff(t.Context(), h, Entry{Kind: Directory}, dir, nil, func(c Change) error {
			if len(c.Path) > 1000 {
				return errBoom // circles have no end
			}
			return nil
		})
	})
}

func FuzzContent(f *testing.F) {
	items, _ := randomItems(random(20), 20, 0.3)
	leaf := []byte{'F'}
	for _, it := range items {
		leaf = it.append(leaf)
	}
	ref := func(i byte) []byte {
		id := nodeID(i)
		return append([]byte{100}, id[:]...)
	}
	f.Add(leaf, int64(1000))
	f.Add(leaf, sum(items))
	f.Add(bytes.Join([][]byte{append([]byte("f"), append(ref(1), ref(2)...)...), leaf, leaf}, []byte(separator)), 2*sum(items))
	f.Add(append([]byte("f"), append(ref(0), ref(0)...)...), int64(5))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		e := Entry{Kind: File, Size: size & 0xffff, Node: nodeID(0)}
		got, err := collect(Content(t.Context(), newHeap(b), e))
		if sum(got) > e.Size || err == nil && sum(got) != e.Size || err != nil && !errors.Is(err, pack.ErrDamaged) {
			t.Errorf("%d bytes of %d, %v", sum(got), e.Size, err)
		}
	})
}

func FuzzParsePoint(f *testing.F) {
	for _, p := range []*Point{point(), {State: PartialState, Root: (&Entry{Kind: Directory}).Append(nil)}} {
		b, err := p.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePoint(b)
		if err != nil {
			if !errors.Is(err, pack.ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if _, err := p.RootEntry(); err != nil {
			t.Error(err)
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePoint(again); err != nil {
			t.Errorf("written again it does not parse: %v", err)
		}
	})
}
