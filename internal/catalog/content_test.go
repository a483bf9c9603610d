package catalog

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"waybill/internal/pack"
)

// randomItems makes n items, some of them holes, some of these adjoining, and what they are when holes are joined.
func randomItems(r *rand.Rand, n int, holes float64) (items, joined []Item) {
	for range n {
		it := Item{Length: 1 + r.Int64N(1<<r.IntN(19)), ID: randomID(r)}
		if r.Float64() < holes {
			it = Item{Length: 1 + r.Int64N(1<<r.IntN(40))}
		}
		items = append(items, it)
		if k := len(joined); k > 0 && it.IsHole() && joined[k-1].IsHole() {
			joined[k-1].Length += it.Length
		} else {
			joined = append(joined, it)
		}
	}
	return items, joined
}

func sum(items []Item) (n int64) {
	for _, it := range items {
		n += it.Length
	}
	return n
}

func collect(seq iter.Seq2[Item, error]) (items []Item, err error) {
	for it, err := range seq {
		if err != nil {
			return items, err
		}
		items = append(items, it)
	}
	return items, nil
}

func (n *nodes) specContent(items []Item) pack.ID {
	var spec []specItem
	for _, it := range items {
		h := uint64(1<<64 - 1)
		if !it.IsHole() {
			h = 0
			for i := 7; i >= 0; i-- {
				h = h<<8 | uint64(it.ID[i])
			}
		}
		spec = append(spec, specItem{encoded: it.append(nil), h: h, weight: uint64(it.Length)})
	}
	return n.specTop(spec, 'F', 'f')
}

func TestContentModel(t *testing.T) {
	n := newNodes()
	c := ContentBuilder{Put: n.put}
	for _, size := range []int{0, 1, 2, 7, 8, 9, 10, 16, 17, 18, 100, 3000, 100_000} {
		for _, holes := range []float64{0, 0.1, 0.6, 1} {
			t.Run(fmt.Sprintf("%d items, %.1f holes", size, holes), func(t *testing.T) {
				items, joined := randomItems(random(uint64(size)), size, holes)
				for _, it := range items {
					if err := c.Add(it); err != nil {
						t.Fatal(err)
					}
				}
				e := Entry{Kind: File, Name: []byte("f"), Size: c.Length()}
				if err := c.Finish(&e); err != nil {
					t.Fatal(err)
				}
				if e.Size != sum(items) || c.Length() != 0 {
					t.Errorf("%d bytes of %d", e.Size, sum(items))
				}
				if inline := len(joined) <= 8; inline != e.Node.IsZero() || !inline && e.Node != n.specContent(joined) {
					t.Errorf("%d items, node %.12s", len(joined), e.Node)
				}
				e, err := ParseEntry(e.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := collect(Content(t.Context(), n, e)); err != nil || !slices.Equal(got, joined) {
					t.Errorf("%d items came back of %d, %v", len(got), len(joined), err)
				}
				for range Content(t.Context(), n, e) {
					break // early
				}
			})
		}
	}
}

// A snapshot holds what there is, and what comes after is as if there had been none.
func TestSnapshotDoesNotDisturb(t *testing.T) {
	r := random(4)
	for _, size := range []int{1, 8, 9, 30, 5000} {
		n := newNodes()
		items, joined := randomItems(r, size, 0.2)
		c := ContentBuilder{Put: n.put}
		for i, it := range items {
			if i < 20 || r.IntN(300) == 0 {
				var part Entry
				if err := c.Snapshot(&part); err != nil {
					t.Fatal(err)
				}
				part = Entry{Kind: File, Flags: Partial, Name: []byte("f"), Size: sum(items), Content: part.Content, Node: part.Node}
				part, err := ParseEntry(part.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				got, err := collect(Content(t.Context(), n, part))
				if err != nil || sum(got) != sum(items[:i]) || sum(got) != c.Length() {
					t.Fatalf("a snapshot after %d items has %d bytes, not %d, %v", i, sum(got), sum(items[:i]), err)
				}
			}
			if err := c.Add(it); err != nil {
				t.Fatal(err)
			}
		}
		var e Entry
		if err := c.Finish(&e); err != nil {
			t.Fatal(err)
		}
		if len(joined) > 8 && e.Node != n.specContent(joined) || len(joined) <= 8 && !e.Node.IsZero() {
			t.Errorf("after snapshots the node of %d items is %.12s", len(joined), e.Node)
		}
	}
}

// Appending to a large file rewrites few nodes, and so does a change in its middle.
func TestContentChangeRewritesFewNodes(t *testing.T) {
	n := newNodes()
	_, items := randomItems(random(5), 50_000, 0)
	store := func(items []Item) (fresh int) {
		c := ContentBuilder{Put: n.put}
		n.fresh = 0
		for _, it := range items {
			c.Add(it)
		}
		var e Entry
		if err := c.Finish(&e); err != nil {
			t.Fatal(err)
		}
		return n.fresh
	}
	store(items)
	r := random(6)
	for range 12 {
		at := r.IntN(len(items))
		changed := slices.Insert(slices.Clone(items), at, Item{Length: 1, ID: randomID(r)})
		if k := store(changed); k > 8 {
			t.Errorf("an item inserted at %d rewrites %d nodes", at, k)
		}
	}
	if k := store(append(items, Item{Length: 1, ID: randomID(r)})); k > 8 {
		t.Errorf("an item appended rewrites %d nodes", k)
	}
}

func TestContentBuilderFails(t *testing.T) {
	n := newNodes()
	_, items := randomItems(random(7), 2000, 0)
	for k := range 40 {
		n.calls, n.fails = 0, func(call int) bool { return call == k+1 }
		c := ContentBuilder{Put: n.put}
		var err error
		for _, it := range items {
			if err = c.Add(it); err != nil {
				break
			}
		}
		var e Entry
		if err == nil {
			err = c.Finish(&e)
		}
		if !errors.Is(err, errBoom) && n.calls > k {
			t.Fatalf("put %d fails: %v", k+1, err)
		}
		c.Reset()
		n.fails = nil
		c.Add(items[0])
		if err := c.Finish(&e); err != nil || !e.Node.IsZero() || len(e.Content) == 0 {
			t.Errorf("after a failure: %v", err)
		}
	}
}

// Content that is not what the entry says of it is damage.
func TestContentDamage(t *testing.T) {
	n := newNodes()
	_, items := randomItems(random(8), 3000, 0.1)
	c := ContentBuilder{Put: n.put}
	for _, it := range items {
		c.Add(it)
	}
	good := Entry{Kind: File, Name: []byte("f"), Size: c.Length()}
	if err := c.Finish(&good); err != nil {
		t.Fatal(err)
	}
	for _, d := range []int64{-1, 1, 1 << 40, -good.Size} {
		e := good
		e.Size += d
		got, err := collect(Content(t.Context(), n, e))
		if !errors.Is(err, pack.ErrDamaged) || sum(got) > e.Size {
			t.Errorf("a size off by %d: %d bytes, %v", d, sum(got), err)
		}
		e.Flags |= Partial
		if _, err := collect(Content(t.Context(), n, e)); (err == nil) != (d > 0) {
			t.Errorf("a partial entry with a size off by %d: %v", d, err)
		}
	}
	for id, b := range n.m {
		delete(n.m, id)
		if _, err := collect(Content(t.Context(), n, good)); !errors.Is(err, pack.ErrDamaged) {
			t.Errorf("a node is missing: %v", err)
		}
		n.m[id] = b[:len(b)-1]
		if _, err := collect(Content(t.Context(), n, good)); !errors.Is(err, pack.ErrDamaged) {
			t.Errorf("a node is cut: %v", err)
		}
		n.m[id] = b
	}
}
