package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"waybill/internal/pack"
)

// randomTree makes a tree of directories.
func randomTree(r *rand.Rand, depth int) *tree {
	d := &tree{entry: Entry{Kind: Directory, Mode: 0o755, Inode: r.Uint64() >> 40}, kids: map[string]*tree{}}
	for _, name := range names(r, r.IntN(12)) {
		if depth > 0 && r.IntN(3) == 0 {
			d.kids[name] = randomTree(r, depth-1)
		} else {
			d.kids[name] = &tree{entry: randomEntry(r)}
		}
	}
	return d
}

// edit returns a copy of the tree with some entries changed, added, removed or made something else.
func edit(r *rand.Rand, d *tree, rate float64) *tree {
	c := &tree{entry: d.entry, kids: map[string]*tree{}}
	for name, kid := range d.kids {
		if r.Float64() >= rate {
			c.kids[name] = edit(r, kid, rate)
			continue
		}
		switch r.IntN(5) {
		case 0: // removed
		case 1:
			c.kids[name] = edit(r, kid, rate)
			c.kids[name].entry.Inode++
		case 2:
			c.kids[name] = &tree{entry: randomEntry(r)}
		case 3:
			c.kids[name] = randomTree(r, 1)
		case 4:
			c.kids[name] = edit(r, kid, rate)
			c.kids[name+"2"] = randomTree(r, 1)
		}
	}
	if d.entry.Kind != Directory {
		c.kids = nil
	}
	return c
}

// flat lists a built tree's paths and entries, directories without their nodes.
func flat(d *tree, path string, into map[string]Entry) {
	for name, kid := range d.kids {
		e := kid.entry
		e.Name = []byte(name)
		into[path+"/"+name] = e
		flat(kid, path+"/"+name, into)
	}
}

// sortedPaths are the paths as a walk meets them.
func sortedPaths(m map[string]Entry) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
}

func withoutNode(e Entry) []byte {
	if e.Kind == Directory {
		e.Node = pack.ID{}
	}
	return e.Append(nil)
}

func TestWalkModel(t *testing.T) {
	r := random(10)
	for range 30 {
		n := newNodes()
		d := randomTree(r, 5)
		root := n.buildTree(t, d)
		model := map[string]Entry{}
		flat(d, "", model)
		want := sortedPaths(model)
		i := 0
		err := Walk(t.Context(), n, root, []byte("pre"), func(path []byte, e Entry) (bool, error) {
			if string(path) != "pre"+want[i] || !bytes.Equal(withoutNode(e), withoutNode(model[want[i]])) {
				t.Fatalf("met %q, not %q, or it differs", path, want[i])
			}
			got, err := Resolve(t.Context(), n, root, []byte(want[i]))
			if err != nil || !bytes.Equal(got.Append(nil), e.Append(nil)) {
				t.Fatalf("resolving %q: %v", path, err)
			}
			i++
			return true, nil
		})
		if err != nil || i != len(want) {
			t.Errorf("%d entries of %d, %v", i, len(want), err)
		}
		tops := 0
		Walk(t.Context(), n, root, nil, func(path []byte, _ Entry) (bool, error) {
			if bytes.Count(path, []byte("/")) != 1 {
				t.Errorf("descended to %q", path)
			}
			tops++
			return false, nil
		})
		if tops != len(d.kids) {
			t.Errorf("%d entries at the top, not %d", tops, len(d.kids))
		}
	}
}

func TestResolve(t *testing.T) {
	n := newNodes()
	root := n.buildTree(t, &tree{entry: Entry{Kind: Directory}, kids: map[string]*tree{
		"a":    {entry: Entry{Kind: Directory}, kids: map[string]*tree{"b": {entry: Entry{Kind: File}}}},
		"link": {entry: Entry{Kind: Symlink, Target: []byte("a")}},
	}})
	for path, want := range map[string]string{"": "", "/": "", "a": "a", "/a/": "a", "//a//b": "b", "/a/b/": "b",
		"/a/c": "-", "/a/b/c": "-", "/link/b": "-", "/b": "-", "/A": "-"} {
		e, err := Resolve(t.Context(), n, root, []byte(path))
		if want == "-" && !errors.Is(err, fs.ErrNotExist) || want != "-" && (err != nil || string(e.Name) != want) {
			t.Errorf("%q: %q, %v", path, e.Name, err)
		}
	}
}

func TestDiffModel(t *testing.T) {
	r := random(11)
	for round := range 60 {
		n := newNodes()
		a := randomTree(r, 5)
		b := edit(r, a, []float64{0, 0.02, 0.3}[round%3])
		old, new := n.buildTree(t, a), n.buildTree(t, b)
		x, y := map[string]Entry{}, map[string]Entry{}
		flat(a, "", x)
		flat(b, "", y)
		all := maps.Clone(x)
		maps.Copy(all, y)
		var want []string
		for _, path := range sortedPaths(all) {
			o, inOld := x[path]
			w, inNew := y[path]
			if inOld != inNew || !bytes.Equal(withoutNode(o), withoutNode(w)) {
				want = append(want, fmt.Sprint("pre", path, inOld, inNew))
			}
		}
		var got []string
		err := Diff(t.Context(), n, old, new, []byte("pre"), func(c Change) error {
			got = append(got, fmt.Sprint(string(c.Path), c.Old != nil, c.New != nil))
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("round %d: %v\n got %q\nwant %q", round, err, got, want)
		}
	}
}

// What is shared is not loaded.
func TestDiffCostsTheDifference(t *testing.T) {
	r := random(12)
	n := newNodes()
	d := &tree{entry: Entry{Kind: Directory}, kids: map[string]*tree{}}
	for i := range 100 {
		d.kids[fmt.Sprint(i)] = randomTree(r, 4)
	}
	old := n.buildTree(t, d)
	d.kids["50"].kids["new"] = &tree{entry: randomEntry(r)}
	new := n.buildTree(t, d)
	n.loads = 0
	changes := 0
	if err := Diff(t.Context(), n, old, new, nil, func(Change) error { changes++; return nil }); err != nil || changes != 1 {
		t.Errorf("%d changes, %v", changes, err)
	}
	if n.loads > 2*(height(t, n, old.Node)+3)+4 {
		t.Errorf("one change loads %d nodes of %d", n.loads, len(n.m))
	}
}

// A tree far deeper than any path may be is built, walked, resolved and compared.
func TestDeepTree(t *testing.T) {
	const depth = 10_000
	n := newNodes()
	build := func(mode uint32) Entry {
		e := Entry{Kind: File, Name: []byte("leaf"), Mode: mode}
		for range depth {
			node := n.build(t, map[string]Entry{string(e.Name): e})
			e = Entry{Kind: Directory, Name: []byte("d"), Node: node}
		}
		return e
	}
	root, other := build(0o600), build(0o644)
	path := strings.Repeat("/d", depth-1) + "/leaf"
	if e, err := Resolve(t.Context(), n, root, []byte(path)); err != nil || e.Mode != 0o600 {
		t.Errorf("mode %o, %v", e.Mode, err)
	}
	met := 0
	if err := Walk(t.Context(), n, root, nil, func([]byte, Entry) (bool, error) { met++; return true, nil }); err != nil || met != depth {
		t.Errorf("%d entries, %v", met, err)
	}
	var changed []string
	err := Diff(t.Context(), n, root, other, nil, func(c Change) error { changed = append(changed, string(c.Path)); return nil })
	if err != nil || len(changed) != 1 || changed[0] != path {
		t.Errorf("%d changes, %v", len(changed), err)
	}
}

// A node that does not load is that error: never a name that isn't there, never a change that is none.
func TestLoaderFails(t *testing.T) {
	r := random(13)
	n := newNodes()
	model := randomDir(r, 3000)
	old := Entry{Kind: Directory, Node: n.build(t, model)}
	name := slices.Sorted(maps.Keys(model))[1500]
	changed := maps.Clone(model)
	e := changed[name]
	e.Inode++
	changed[name] = e
	new := Entry{Kind: Directory, Node: n.build(t, changed)}
	n.calls = 0
	Diff(t.Context(), n, old, new, nil, func(Change) error { return nil })
	all := n.calls
	for k := range all {
		n.calls, n.fails = 0, func(call int) bool { return call == k+1 }
		err := Diff(t.Context(), n, old, new, nil, func(c Change) error {
			if string(c.New.Name) != name || c.Old == nil {
				t.Errorf("load %d fails: %q is no change", k+1, c.Path)
			}
			return nil
		})
		if !errors.Is(err, errBoom) {
			t.Errorf("load %d fails: diff says %v", k+1, err)
		}
	}
	for k := range height(t, n, old.Node) {
		n.calls, n.fails = 0, func(call int) bool { return call == k+1 }
		if _, err := Lookup(t.Context(), n, old.Node, []byte(name)); !errors.Is(err, errBoom) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("load %d fails: looking up says %v", k+1, err)
		}
		n.calls = 0
		if err := Walk(t.Context(), n, old, nil, func([]byte, Entry) (bool, error) { return true, nil }); !errors.Is(err, errBoom) {
			t.Errorf("load %d fails: walking says %v", k+1, err)
		}
	}
	n.fails = nil
	stop := errors.New("enough")
	if err := Walk(t.Context(), n, old, nil, func([]byte, Entry) (bool, error) { return true, stop }); err != stop {
		t.Errorf("stopping a walk: %v", err)
	}
	if err := Diff(t.Context(), n, old, new, nil, func(Change) error { return stop }); err != stop {
		t.Errorf("stopping a comparison: %v", err)
	}
}
