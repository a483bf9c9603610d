package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"

	"waybill/internal/pack"
)

// A directory against a map: all entries in order, each found by its name, no other.
func TestDirectoryModel(t *testing.T) {
	for i, size := range []int{0, 1, 2, 3, 4, 5, 30, 63, 64, 65, 100, 300, 1000, 4100, 20_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := random(uint64(i))
			n := newNodes()
			model := randomDir(r, size)
			id := n.build(t, model)
			if id.IsZero() != (size == 0) {
				t.Errorf("the id is %s", id)
			}
			if want := n.specDir(model); id != want {
				t.Errorf("the id is %.12s, FORMAT.md has %.12s", id, want)
			}
			checkEntries(t, n, id, model)
			sorted := slices.Sorted(maps.Keys(model))
			for range 500 {
				name := names(r, 1)[0]
				if size > 0 && r.IntN(2) == 0 {
					name = sorted[r.IntN(size)]
				}
				n.loads = 0
				e, err := Lookup(t.Context(), n, id, []byte(name))
				want, ok := model[name]
				if ok != (err == nil) || !ok && !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("looking up %q: %v", name, err)
				}
				if want.Name = []byte(name); ok && !bytes.Equal(e.Append(nil), want.Append(nil)) {
					t.Fatalf("%q is another entry", name)
				}
				if most := height(t, n, id); n.loads > most {
					t.Fatalf("looking up %q loaded %d nodes of %d levels", name, n.loads, most)
				}
			}
		})
	}
}

// height is how many levels of nodes a directory has.
func height(t testing.TB, n *nodes, id pack.ID) int {
	for h := 0; ; h++ {
		if id.IsZero() {
			return h
		}
		if b := n.m[id]; b[0] == 'd' {
			ref, _, err := parseRef(b[1:])
			if err != nil {
				t.Fatal(err)
			}
			id = ref.id
		} else {
			return h + 1
		}
	}
}

func checkEntries(t *testing.T, n *nodes, id pack.ID, model map[string]Entry) {
	t.Helper()
	sorted := slices.Sorted(maps.Keys(model))
	i := 0
	for e, err := range Entries(t.Context(), n, id) {
		if err != nil {
			t.Fatal(err)
		}
		want := model[sorted[i]]
		want.Name = []byte(sorted[i])
		if !bytes.Equal(e.Append(nil), want.Append(nil)) {
			t.Fatalf("entry %d is %q, not %q, or differs", i, e.Name, want.Name)
		}
		i++
	}
	if i != len(sorted) {
		t.Errorf("%d entries of %d", i, len(sorted))
	}
	for range Entries(t.Context(), n, id) {
		break // early
	}
}

// The same set has the same id whatever the builder did before, and whatever failed.
func TestSameSetSameID(t *testing.T) {
	r := random(1)
	n := newNodes()
	model := randomDir(r, 3000)
	want := n.build(t, model)
	b := NewDirBuilder(n.put)
	for _, size := range []int{20_000, 0, 1, 500} {
		if _, err := n.tryBuild(b, randomDir(r, size)); err != nil {
			t.Fatal(err)
		}
		if id, err := n.tryBuild(b, model); err != nil || id != want {
			t.Errorf("after a directory of %d the id is %.12s, %v", size, id, err)
		}
	}
	for k := range 60 {
		n.calls, n.fails = 0, func(call int) bool { return call == k+1 }
		if id, err := n.tryBuild(b, model); !errors.Is(err, errBoom) && !(err == nil && id == want && n.calls <= k) {
			t.Fatalf("put %d fails: id %.12s, %v", k+1, id, err)
		}
		n.fails = nil
		if id, err := n.tryBuild(b, model); err != nil || id != want {
			t.Fatalf("after put %d failed the id is %.12s, %v", k+1, id, err)
		}
	}
}

// One change in a directory of 20,000 rewrites few nodes, and undone it restores the id.
func TestOneChangeRewritesFewNodes(t *testing.T) {
	r := random(2)
	n := newNodes()
	model := randomDir(r, 20_000)
	id := n.build(t, model)
	levels := height(t, n, id)
	if levels < 4 || levels > 5 {
		t.Errorf("%d levels", levels)
	}
	if n.fresh < 20_000/22 || n.fresh > 20_000/15 {
		t.Errorf("%d nodes for 20,000 entries", n.fresh)
	}
	sorted := slices.Sorted(maps.Keys(model))
	total, changes := 0, 30
	for i := range changes {
		name := sorted[r.IntN(len(sorted))]
		old := model[name]
		most := levels // a changed entry: one node a level
		switch i % 3 {
		case 0:
			e := old
			e.Inode++
			model[name] = e
		case 1:
			delete(model, name)
			most = 2*levels + 1 // may end, begin or join nodes
		case 2:
			model[name+"+"] = old
			most = 2*levels + 1
		}
		n.fresh = 0
		n.build(t, model)
		total += n.fresh
		if n.fresh > most {
			t.Errorf("change %d rewrote %d nodes of %d levels", i, n.fresh, levels)
		}
		model[name] = old
		if delete(model, name+"+"); n.build(t, model) != id {
			t.Fatal("undone, the directory has another id")
		}
	}
	if total > changes*(levels+1) {
		t.Errorf("%d changes rewrote %d nodes", changes, total)
	}
}

// Entries of many attributes make nodes end by size, and a single entry may exceed a node's.
func TestLargeEntries(t *testing.T) {
	r := random(3)
	n := newNodes()
	model := randomDir(r, 200)
	for i, name := range slices.Sorted(maps.Keys(model)) {
		e := model[name]
		e.Xattrs = AppendXattr(XattrCount(nil, 1), []byte("user.large"), randomBytes(r, 1<<(i%20)))
		model[name] = e
	}
	id := n.build(t, model)
	if id != n.specDir(model) {
		t.Error("the id is not what FORMAT.md has")
	}
	checkEntries(t, n, id, model)
	for id, b := range n.m {
		if len(b) > 256<<10+1<<20 {
			t.Errorf("node %s has %d bytes", id, len(b))
		}
	}
}

func TestXattrs(t *testing.T) {
	want := [][2]string{{"a", ""}, {"user.b", "\x00/\xff"}, {"user.c", "c"}}
	e := Entry{Kind: Fifo, Name: []byte("x"), Xattrs: XattrCount(nil, len(want))}
	for _, x := range want {
		e.Xattrs = AppendXattr(e.Xattrs, []byte(x[0]), []byte(x[1]))
	}
	e, err := ParseEntry(e.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	e.EachXattr(func(name, value []byte) bool {
		got = append(got, [2]string{string(name), string(value)})
		return len(got) < 5
	})
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	calls := 0
	e.EachXattr(func(_, _ []byte) bool { calls++; return false })
	if calls != 1 {
		t.Errorf("%d calls after a refusal", calls)
	}
	new(Entry).EachXattr(func(_, _ []byte) bool { t.Error("an entry without attributes has one"); return true })
}
