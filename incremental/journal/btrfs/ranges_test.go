package btrfs

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"waybill/incremental/journal"
)

func pull(list []extent) func() (extent, bool) {
	return func() (extent, bool) {
		if len(list) == 0 {
			return extent{}, false
		}
		e := list[0]
		list = list[1:]
		return e, true
	}
}

func TestCompare(t *testing.T) {
	const m = 1 << 20
	a := extent{made: 5, kind: regular, at: 100 * m, off: 0, length: 8 * m}
	cut := func(e extent, from, to uint64) extent {
		e.off, e.shift, e.length = e.off+from, e.shift+from, to-from
		return e
	}
	b := extent{made: 9, kind: regular, at: 500 * m, off: 2 * m, length: m}
	clone := cut(a, m, 2*m) // of another part of the file
	clone.off = 2 * m
	compressed := cut(a, 2*m, 3*m)
	compressed.coding = 1
	for name, c := range map[string]struct {
		old, now      []extent
		oldSize, size int64
		want          []journal.Range
	}{
		"nothing":         {[]extent{a}, []extent{a}, 8 * m, 8 * m, nil},
		"split only":      {[]extent{a}, []extent{cut(a, 0, 3*m), cut(a, 3*m, 8*m)}, 8 * m, 8 * m, nil},
		"joined only":     {[]extent{cut(a, 0, 3*m), cut(a, 3*m, 8*m)}, []extent{a}, 8 * m, 8 * m, nil},
		"written":         {[]extent{a}, []extent{cut(a, 0, 2*m), b, cut(a, 3*m, 8*m)}, 8 * m, 8 * m, []journal.Range{{Off: 2 * m, Len: m}}},
		"cloned":          {[]extent{a}, []extent{cut(a, 0, 2*m), clone, cut(a, 3*m, 8*m)}, 8 * m, 8 * m, []journal.Range{{Off: 2 * m, Len: m}}},
		"coded otherwise": {[]extent{a}, []extent{cut(a, 0, 2*m), compressed, cut(a, 3*m, 8*m)}, 8 * m, 8 * m, []journal.Range{{Off: 2 * m, Len: m}}},
		"punched":         {[]extent{a}, []extent{cut(a, 0, 2*m), cut(a, 3*m, 8*m)}, 8 * m, 8 * m, []journal.Range{{Off: 2 * m, Len: m}}},
		"filled":          {[]extent{cut(a, 0, 2*m), cut(a, 3*m, 8*m)}, []extent{a}, 8 * m, 8 * m, []journal.Range{{Off: 2 * m, Len: m}}},
		"all holes":       {nil, nil, 8 * m, 8 * m, nil},
		"grown":           {[]extent{a}, []extent{a}, 7*m + 5, 8 * m, []journal.Range{{Off: 7*m + 5, Len: m - 5}}},
		"grown by a hole": {[]extent{a}, []extent{a}, 8 * m, 9 * m, []journal.Range{{Off: 8 * m, Len: m}}},
		"shrunk":          {[]extent{a}, []extent{cut(a, 0, 2*m)}, 8 * m, 2 * m, nil},
		"same space, later": {[]extent{a}, []extent{{made: 6, kind: regular, at: 100 * m, length: 8 * m}}, 8 * m, 8 * m,
			[]journal.Range{{Off: 0, Len: 8 * m}}},
		"shifted":       {[]extent{a}, []extent{{made: 5, kind: regular, at: 100 * m, shift: 4096, length: 8 * m}}, 8 * m, 8 * m, []journal.Range{{Off: 0, Len: 8 * m}}},
		"close by":      {[]extent{cut(a, 0, m), cut(a, m+8192, 8*m)}, []extent{cut(a, 0, m-4096), cut(a, m, 8*m)}, 8 * m, 8 * m, []journal.Range{{Off: m - 4096, Len: 12288}}},
		"gone entirely": {[]extent{a}, nil, 8 * m, 8 * m, []journal.Range{{Off: 0, Len: 8 * m}}},
	} {
		t.Run(name, func(t *testing.T) {
			x := compare(c.oldSize, c.size, pull(c.old))
			for _, e := range c.now {
				x.add(e)
			}
			if got := x.finish(c.oldSize, c.size); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func mapOf(t testing.TB, list []extent, binding [32]byte) []byte {
	t.Helper()
	w := newMap(binding)
	for _, e := range list {
		if err := w.add(e); err != nil {
			t.Fatal(err)
		}
	}
	return w.finish()
}

func TestMap(t *testing.T) {
	var list []extent
	r := rand.New(rand.NewPCG(1, 2))
	off := uint64(0)
	for range 10_000 {
		e := extent{made: r.Uint64N(1 << 30), kind: regular, coding: r.Uint32N(4), at: 4096 * (1 + r.Uint64N(1<<40)), shift: 4096 * r.Uint64N(3), off: off + 4096*r.Uint64N(2), length: 4096 * (1 + r.Uint64N(9))}
		off = e.end()
		list = append(list, e)
	}
	b := mapOf(t, list, [32]byte{1})
	if perExtent := len(b) / len(list); perExtent > 24 {
		t.Errorf("%d bytes an extent", perExtent)
	}
	m, ok := openMap(b, [32]byte{1})
	if !ok {
		t.Fatal("it can't be opened")
	}
	for i, want := range list {
		if got, ok := m.next(); !ok || got != want {
			t.Fatalf("extent %d is %+v, %v, want %+v", i, got, ok, want)
		}
	}
	if e, ok := m.next(); ok || m.bad {
		t.Errorf("one more: %+v", e)
	}
	if _, ok := openMap(b, [32]byte{2}); ok {
		t.Error("it speaks about another content")
	}
	for i := 0; i < len(b); i += 997 {
		b[i] ^= 1
		if _, ok := openMap(b, [32]byte{1}); ok {
			t.Fatalf("byte %d is another, and nobody sees", i)
		}
		b[i] ^= 1
	}
	if _, ok := openMap(b[:len(b)-1], [32]byte{1}); ok {
		t.Error("it is cut short, and nobody sees")
	}
}

// A map is bounded.
func TestLargeMap(t *testing.T) {
	w := newMap([32]byte{})
	n := 0
	for ; ; n++ {
		if w.add(extent{made: uint64(n%1000) * 7, at: uint64(n*7919%1_000_003) << 12, off: uint64(n) << 13, length: 4096}) != nil {
			break
		}
	}
	if n < 1_000_000 || len(w.finish()) > maxMap+100 {
		t.Errorf("%d extents in %d bytes", n, len(w.b))
	}
}

// Whatever is in a map's file, reading it ends.
func FuzzMap(f *testing.F) {
	f.Add(mapOf(f, []extent{{made: 5, kind: regular, at: 4096, off: 8192, length: 4096}}, [32]byte{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		openMap(b, [32]byte{})
		r := &mapReader{b: b}
		c := compare(1<<40, 1<<40, r.next)
		c.add(extent{made: 1, kind: regular, at: 4096, off: 4096, length: 1 << 30})
		end := int64(0)
		for _, x := range c.finish(1<<40, 1<<40) {
			if x.Off < end || x.Len <= 0 || x.Off+x.Len > 1<<40 {
				t.Fatalf("%+v", x)
			}
			end = x.Off + x.Len
		}
	})
}
