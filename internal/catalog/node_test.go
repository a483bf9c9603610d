package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"waybill/internal/pack"
)

// Node and ContentNode, from node to node, come upon just what the readers of whole lists do.
func TestNode(t *testing.T) {
	n := newNodes()
	entries := map[string]Entry{}
	for i := range 3000 {
		entries[fmt.Sprintf("name %04d", i)] = Entry{Kind: Fifo}
	}
	root := n.build(t, entries)
	var got, want []string
	var visit func(id pack.ID)
	visit = func(id pack.ID) {
		children, list, err := Node(n.m[id])
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range children {
			visit(c)
		}
		for _, e := range list {
			got = append(got, string(e.Name))
		}
	}
	visit(root)
	for e, err := range Entries(t.Context(), n, root) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, string(e.Name))
	}
	if len(got) != 3000 || !slices.Equal(got, want) {
		t.Errorf("%d names, %d by the list", len(got), len(want))
	}
}

func TestContentNode(t *testing.T) {
	n := newNodes()
	b := ContentBuilder{Put: n.put}
	for i := range 3000 {
		it := Item{Length: int64(i + 1), ID: n.hasher.Sum([]byte(fmt.Sprint(i)))}
		if i%100 == 7 {
			it.ID = pack.ID{}
		}
		if err := b.Add(it); err != nil {
			t.Fatal(err)
		}
	}
	e := Entry{Kind: File, Size: b.Length()}
	if err := b.Finish(&e); err != nil {
		t.Fatal(err)
	}
	var got []Item
	var visit func(id pack.ID) int64
	visit = func(id pack.ID) (length int64) {
		children, list, err := ContentNode(n.m[id])
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range children {
			if below := visit(c.ID); below != c.Length {
				t.Errorf("a child of %d bytes has %d", c.Length, below)
			}
			length += c.Length
		}
		for _, it := range list {
			length += it.Length
		}
		got = append(got, list...)
		return length
	}
	if length := visit(e.Node); length != e.Size {
		t.Errorf("%d bytes of %d", length, e.Size)
	}
	want, err := collect(Content(t.Context(), n, e))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d items, %d by the list; %v", len(got), len(want), err)
	}
}

// FuzzNode reads arbitrary nodes.
func FuzzNode(f *testing.F) {
	n := newNodes()
	n.build(f, map[string]Entry{"a": {Kind: Fifo}, "b": {Kind: Directory, Node: id(1)}})
	for _, b := range n.m {
		f.Add(b)
	}
	for _, kind := range []string{"D", "d", "F", "f", ""} {
		f.Add(append([]byte(kind), bytes.Repeat([]byte{1}, 35)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		children, entries, err := Node(b)
		if err != nil && !errors.Is(err, pack.ErrDamaged) || err == nil && len(children)+len(entries) == 0 {
			t.Errorf("%d children, %d entries, %v", len(children), len(entries), err)
		}
		parts, items, err := ContentNode(b)
		if err != nil && !errors.Is(err, pack.ErrDamaged) || err == nil && len(parts)+len(items) == 0 {
			t.Errorf("%d parts, %d items, %v", len(parts), len(items), err)
		}
	})
}
