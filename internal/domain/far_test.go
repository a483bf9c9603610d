package domain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/fault"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// noise can't be compressed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	r.Read(b)
	return b
}

// nodes commits catalogue nodes, each large enough to fill a frame, and a file.
func (m *machine) nodes(to *objects, n int) (c commit, nodes []pack.ID) {
	m.more = func(put func([]byte) (pack.ID, error)) {
		for i := range n {
			id, err := put(noise(uint64(m.seq*1000+i), 32<<10))
			m.check(err)
			nodes = append(nodes, id)
		}
	}
	defer func() { m.more = nil }()
	return m.commit(to, catalog.Complete, map[string][]byte{"file": []byte("content")}), nodes
}

// load loads nodes, one after the other.
func load(t *testing.T, d *Domain, nodes []pack.ID) {
	t.Helper()
	for i, id := range nodes {
		if b, err := d.Load(t.Context(), id); err != nil || pack.NewHasher(d.opts.Dedupe).Sum(b) != id {
			t.Fatalf("node %d: %d bytes, %v", i, len(b), err)
		}
	}
}

// requests is how many requests for packs f takes.
func requests(l *fault.Line, f func()) int64 {
	l.Reset()
	f()
	r := l.Requests()
	return r.For("/packs/")
}

// A pack that is far costs one request to be opened, with its table; its size is known. A catalogue that is wanted whole comes by one request a pack,
// and no more ever after.
func TestFar(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 5)
	line := &fault.Line{Inner: vault}
	index, shelf := t.TempDir(), t.TempDir()
	opts := Options{Keys: pack.Keys{Recovery: m.recovery}, Dedupe: m.dedupe, IndexDir: index, ShelfDir: shelf}
	var d *Domain
	open := func() {
		var err error
		d, err = Open(t.Context(), []Store{line}, m.doc, opts)
		m.check(err)
	}
	step := func(what string, want int64, f func()) {
		t.Helper()
		if n := requests(line, f); n != want {
			t.Errorf("%s takes %d requests for packs, not %d", what, n, want)
		}
	}
	read := func() {
		for i, c := range all {
			if err := c.read(t.Context(), d); err != nil {
				t.Errorf("point %d: %v", i, err)
			}
		}
	}
	step("opening", 5, open)
	step("indexing contents", 5, func() { d.CoverData(t.Context()) })
	step("listing points", 5, func() { d.Points(t.Context()) })
	step("gathering the catalogue of the second point", 2, func() { m.check(d.Gather(t.Context(), &d.Points(t.Context())[1])) })
	step("gathering the catalogue", 3, func() { m.check(d.Gather(t.Context(), &d.Points(t.Context())[4])) })
	step("reading everything", 10, read) // "always" is in a frame with another file
	m.check(d.Close())

	step("opening again", 0, open)
	step("gathering again", 0, func() { m.check(d.Gather(t.Context(), &d.Points(t.Context())[4])) })
	first := digest(t, all[0].packs[manifest.Catalogue][0])
	if !d.shelf.discard(first) {
		t.Error("it is not on the shelf")
	}
	d.nodes = newFrameCache()
	step("fetching what went from the shelf", 1, func() { load(t, d, []pack.ID{all[0].root}) })
	if !d.shelf.has(first) {
		t.Error("it is not on the shelf again")
	}
	step("reading everything again", 15, read) // and opening five packs
	m.check(d.Close())
	if temp := d.temp; temp != "" {
		t.Errorf("something temporary in %s", temp)
	}
}

// Tables of many small commits are read at once.
func TestManyCommitsFar(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 100)
	m.lost = []manifest.Digest{digest(t, all[3].packs[manifest.Data][0])}
	all = append(all, m.days(vault, 1)...)
	delete(vault.m, all[3].packs[manifest.Data][0])
	delete(vault.m, all[7].packs[manifest.Data][0])
	synctest.Test(t, func(t *testing.T) {
		line := &fault.Line{Inner: vault, Latency: time.Second}
		began := time.Now()
		d, err := Open(t.Context(), []Store{line}, m.doc, Options{Keys: pack.Keys{Recovery: m.recovery}, Dedupe: m.dedupe})
		m.check(err)
		defer d.Close()
		if took := time.Since(began); took > 30*time.Second { // round trips
			t.Errorf("opening 101 commits takes %v round trips", took.Seconds())
		}
		began = time.Now()
		missing, err := d.CoverData(t.Context())
		if err != nil || len(missing) != 1 {
			t.Errorf("missing %v, %v", missing, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("indexing 101 commits takes %v round trips", took.Seconds())
		}
		if n := len(d.ahead); n != 0 {
			t.Errorf("%d tables are left over", n)
		}
		if err := all[100].read(t.Context(), d); err != nil {
			t.Error(err)
		}
	})
}

// Of a pack that turns out to be needed all is fetched when its parts have cost as much; nothing is when it is near.
func TestNeed(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	c, nodes := m.nodes(vault, 100) // 3.2 MiB: as much as three round trips and some frames
	line := &fault.Line{Inner: vault}
	d := m.open("", line)
	for i, want := range []int64{1, 1, 1, 1, 0, 0} {
		if n := requests(line, func() { load(t, d, nodes[i:i+1]) }); n != want {
			t.Errorf("node %d takes %d requests, not %d", i, n, want)
		}
	}
	if got := line.Requests(); requests(line, func() { load(t, d, nodes) }) != 0 {
		t.Errorf("%+v", got)
	}
	// Many at once wait for the one that fetches.
	d = m.open("", line)
	n := requests(line, func() {
		var wg sync.WaitGroup
		for i := range nodes {
			wg.Go(func() { load(t, d, nodes[i:i+1]) })
		}
		wg.Wait()
	})
	if n > 4 {
		t.Errorf("all at once take %d requests", n)
	}
	// A near copy is read, whatever it costs.
	near := newObjects()
	near.m[c.packs[manifest.Catalogue][0]] = vault.m[c.packs[manifest.Catalogue][0]]
	d = m.open("", near, line)
	if n := requests(line, func() { load(t, d, nodes) }); n != 0 {
		t.Errorf("%d requests for what is near", n)
	}
	if list, _ := os.ReadDir(d.shelf.dir); len(list) != 0 {
		t.Errorf("on the shelf are %v", list)
	}
}

// The shelf holds what it may, what was used last stays, and what isn't the chain's goes.
func TestShelfLimit(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	var packs [][]pack.ID
	for range 3 {
		_, nodes := m.nodes(vault, 10)
		packs = append(packs, nodes)
	}
	line := &fault.Line{Inner: vault}
	opts := Options{Keys: pack.Keys{Recovery: m.recovery}, Dedupe: m.dedupe, IndexDir: t.TempDir(), ShelfDir: t.TempDir(), Shelf: 800 << 10} // two of them
	write := func(name string) { m.check(os.WriteFile(filepath.Join(opts.ShelfDir, name), []byte("x"), 0o600)) }
	write("what")
	write(manifest.Digest{1}.String())
	write(manifest.Digest{2}.String() + ".new")
	d, err := Open(t.Context(), []Store{line}, m.doc, opts)
	m.check(err)
	for _, i := range []int{0, 1, 0, 2} {
		d.nodes = newFrameCache()
		load(t, d, packs[i])
	}
	last, err := d.Last(t.Context())
	m.check(err)
	if n := requests(line, func() { m.check(d.Gather(t.Context(), last)) }); n != 0 {
		t.Errorf("gathering more than fits takes %d requests", n)
	}
	m.check(d.Close())
	d, err = Open(t.Context(), []Store{line}, m.doc, opts)
	m.check(err)
	defer d.Close()
	list, _ := os.ReadDir(opts.ShelfDir)
	if len(list) != 2 || len(d.shelf.packs) != 2 || d.shelf.bytes > opts.Shelf {
		t.Errorf("on the shelf are %v, of %d bytes", list, d.shelf.bytes)
	}
	for _, i := range []int{0, 2} {
		if n := requests(line, func() { load(t, d, packs[i][:1]) }); n != 0 {
			t.Errorf("pack %d takes %d requests", i, n)
		}
	}
	if n := requests(line, func() { load(t, d, packs[1][:1]) }); n != 1 {
		t.Errorf("the one that went takes %d requests", n)
	}
}

// What is damaged on the shelf is fetched anew; what is damaged where it comes from never gets there, and what is sound of it is read.
func TestDamagedFar(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	c, nodes := m.nodes(vault, 10)
	line := &fault.Line{Inner: vault}
	d := m.open("", line)
	load(t, d, nodes)
	file := c.packs[manifest.Catalogue][0]
	shelved := d.shelf.path(digest(t, file))
	good, err := os.ReadFile(shelved)
	if err != nil || !bytes.Equal(good, vault.m[file]) {
		t.Fatalf("on the shelf are %d bytes, %v", len(good), err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"frame": func(b []byte) []byte { b[100] ^= 1; return b },
		"tail":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":   func(b []byte) []byte { return b[:1000] },
	} {
		m.check(os.WriteFile(shelved, damage(bytes.Clone(good)), 0o600))
		d.nodes = newFrameCache()
		d.forget(digest(t, file))
		load(t, d, nodes)
		d.nodes = newFrameCache()
		load(t, d, nodes)
		if got, err := os.ReadFile(shelved); err != nil || !bytes.Equal(got, good) {
			t.Errorf("%s: the shelf is not mended: %v", name, err)
		}
	}
	vault.m[file][100] ^= 1
	d = m.open("", line)
	load(t, d, nodes[1:])
	if _, err := d.Load(t.Context(), nodes[0]); !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("a damaged node: %v", err)
	}
	if list, _ := os.ReadDir(d.shelf.dir); len(list) != 0 {
		t.Errorf("on the shelf are %v", list)
	}
	vault.m[file][100] ^= 1
	d = m.open("", line)
	vault.fails = func(string) error { return errBoom }
	if _, err := d.Load(t.Context(), nodes[0]); !errors.Is(err, errBoom) || Lost(err) {
		t.Errorf("a line that is cut: %v", err)
	}
	vault.fails = nil
	load(t, d, nodes)
}

// Who stops waiting does, though the pack was opened by another.
func TestCancelledFar(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	_, nodes := m.nodes(vault, 10)
	d := m.open("", &fault.Line{Inner: vault})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Load(ctx, nodes[0]); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	load(t, d, nodes)
}

func TestStretch(t *testing.T) {
	loc := func(name byte, off, sealed uint32) index.Loc {
		return index.Loc{Pack: [32]byte{name}, Offset: off, Sealed: sealed}
	}
	for name, test := range map[string]struct {
		locs []index.Loc
		fit  int // of them, from the first on
	}{
		"neighbours":     {[]index.Loc{loc(1, 16, 100), loc(1, 116, 50), loc(1, 166, 1)}, 3},
		"a gap":          {[]index.Loc{loc(1, 16, 100), loc(1, 116+maxGap, 50)}, 2},
		"a wide gap":     {[]index.Loc{loc(1, 16, 100), loc(1, 117+maxGap, 50)}, 1},
		"another pack":   {[]index.Loc{loc(1, 16, 100), loc(2, 116, 50)}, 1},
		"backwards":      {[]index.Loc{loc(1, 116, 100), loc(1, 16, 50)}, 1},
		"the same again": {[]index.Loc{loc(1, 116, 100), loc(1, 116, 100)}, 1},
		"full":           {[]index.Loc{loc(1, 16, maxStretch-10), loc(1, 6+maxStretch, 10), loc(1, 16+maxStretch, 1)}, 2},
		"too large":      {[]index.Loc{loc(1, 16, maxStretch+1)}, 0},
		"hostile":        {[]index.Loc{loc(1, 1<<32-1, 1<<32-1)}, 0},
	} {
		var s Stretch
		n := 0
		for n < len(test.locs) && s.Extend(test.locs[n]) {
			n++
		}
		if n != test.fit || s.IsEmpty() != (n == 0) {
			t.Errorf("%s: %d fit, not %d", name, n, test.fit)
		}
	}
}

// Frames of a stretch come by one request. What is wrong with it is found out frame by frame.
func TestFetch(t *testing.T) {
	m := newMachine(t)
	files := map[string][]byte{}
	for i := range 6 {
		files[fmt.Sprint(i)] = noise(uint64(i), 600_000) // three are a frame
	}
	good := newObjects()
	c := m.commit(good, catalog.Complete, files)
	name := c.packs[manifest.Data][0]
	for what, test := range map[string]struct {
		spoil    func(vault *objects)
		err      error
		requests int64
		lost     int
	}{
		"sound":        {func(*objects) {}, nil, 1, 0},
		"a frame":      {func(v *objects) { v.m[name][100] ^= 1 }, nil, 2, 3}, // that is read again
		"gone":         {func(v *objects) { delete(v.m, name) }, nil, 3, 6},
		"out of reach": {func(v *objects) { v.fails = func(string) error { return errBoom } }, errBoom, 1, 6},
	} {
		t.Run(what, func(t *testing.T) {
			vault := newObjects()
			for k, b := range good.m {
				vault.m[k] = bytes.Clone(b)
			}
			line := &fault.Line{Inner: vault}
			d := m.open("", line)
			d.CoverData(t.Context())
			test.spoil(vault)
			locs := map[uint32]index.Loc{}
			for _, b := range files {
				loc, _ := d.Locate(pack.NewHasher(m.dedupe).Sum(b))
				locs[loc.Frame] = loc
			}
			var s Stretch
			if len(locs) != 2 || !s.Extend(locs[0]) || !s.Extend(locs[1]) {
				t.Fatalf("%v are no stretch", locs)
			}
			n := requests(line, func() {
				f, err := d.Fetch(t.Context(), s)
				if !errors.Is(err, test.err) {
					t.Errorf("fetching: %v", err)
				}
				if err != nil {
					return
				}
				defer f.Release()
				lost := 0
				for i, loc := range locs {
					frame, err := f.Frame(t.Context(), loc, nil)
					if err != nil && !Lost(err) && !isMissing(err) {
						t.Errorf("frame %d: %v", i, err)
					}
					for _, b := range files {
						id := pack.NewHasher(m.dedupe).Sum(b)
						if loc, _ := d.Locate(id); loc.Frame == i {
							if got, err := d.Chunk(id, frame, loc); err != nil || !bytes.Equal(got, b) {
								lost++
							}
						}
					}
				}
				if lost != test.lost {
					t.Errorf("%d files are lost, not %d", lost, test.lost)
				}
			})
			if n != test.requests {
				t.Errorf("%d requests, not %d", n, test.requests)
			}
		})
	}
}
