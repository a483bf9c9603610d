package usn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"waybill/incremental/journal"
)

// lose has the journal wrap: all records are lost.
func (m *model) lose() { m.info.First = m.info.Next }

// lost wants changes to be found by the last USN.
func lost(t *testing.T, j *Journal, from, to *journal.Cursor) *journal.Dirty {
	t.Helper()
	d := changes(t, j, from, to)
	if d.Alive == nil || d.How != "journal wrapped: files found by their last USN" {
		t.Fatalf("how is %q, alive %v", d.How, d.Alive)
	}
	return d
}

// TestLost has every kind of change in records that are lost: what is dirty covers it.
func TestLost(t *testing.T) {
	type world struct {
		m                           *model
		a, b, c                     *node // directories: a and c in the root, b in a
		file, linked, streams, open *node // in b, linked in a, too
	}
	tests := []struct {
		name string
		do   func(w *world)
		same bool // nothing changed
	}{
		{name: "nothing", do: func(w *world) {}, same: true},
		{name: "create", do: func(w *world) { w.m.create(w.b.id, "new", false) }},
		{name: "create a directory with something in it", do: func(w *world) { w.m.create(w.m.create(w.b.id, "new", true).id, "f", false) }},
		{name: "write", do: func(w *world) { w.m.extend(w.file, 0) }},
		{name: "metadata", do: func(w *world) { w.m.chmod(w.file, 0) }},
		{name: "metadata of a directory", do: func(w *world) { w.m.chmod(w.b, 0) }},
		{name: "delete", do: func(w *world) { w.m.remove(w.file, 0) }},
		{name: "delete, with streams", do: func(w *world) { w.m.remove(w.streams, 0) }},
		{name: "created and deleted", do: func(w *world) { w.m.remove(w.m.create(w.b.id, "new", false), 0) }},
		{name: "delete, and its record is used again", do: func(w *world) { w.m.remove(w.file, 0); w.m.create(w.c.id, "other", false) }},
		{name: "delete, and create with the same name", do: func(w *world) { w.m.remove(w.file, 0); w.m.create(w.b.id, "file", false) }},
		{name: "delete a file, and create a directory with the same name", do: func(w *world) { w.m.remove(w.file, 0); w.m.create(w.b.id, "file", true) }},
		{name: "new hard link", do: func(w *world) { w.m.link(w.file, w.c.id, "l") }},
		{name: "hard link gone", do: func(w *world) { w.m.remove(w.linked, 1) }},
		{name: "the other hard link gone", do: func(w *world) { w.m.remove(w.linked, 0) }},
		{name: "all hard links gone", do: func(w *world) { w.m.remove(w.linked, 0); w.m.remove(w.linked, 0) }},
		{name: "write through a hard link", do: func(w *world) { w.m.extend(w.linked, 0) }},
		{name: "rename", do: func(w *world) { w.m.rename(w.file, 0, w.b.id, "renamed") }},
		{name: "rename to another directory", do: func(w *world) { w.m.rename(w.file, 0, w.c.id, "file") }},
		{name: "rename with streams", do: func(w *world) { w.m.rename(w.streams, 0, w.c.id, "streams") }},
		{name: "swap two names", do: func(w *world) {
			w.m.rename(w.file, 0, w.b.id, "tmp")
			w.m.rename(w.streams, 0, w.b.id, "file")
			w.m.rename(w.file, 0, w.b.id, "streams")
		}},
		{name: "new stream", do: func(w *world) { w.m.stream(w.file, 0, "zone") }},
		{name: "stream changed", do: func(w *world) { w.m.stream(w.streams, 0, "zone") }},
		{name: "stream gone", do: func(w *world) { w.m.unstream(w.streams, 0, "zone") }},
		{name: "directory moved", do: func(w *world) { w.m.rename(w.b, 0, w.c.id, "b") }},
		{name: "directory moved, and something in it deleted", do: func(w *world) { w.m.rename(w.b, 0, w.c.id, "b"); w.m.remove(w.file, 0) }},
		{name: "the directory above moved, and something deleted", do: func(w *world) { w.m.rename(w.a, 0, w.c.id, "a"); w.m.remove(w.file, 0) }},
		{name: "all moved out of a directory, and that deleted", do: func(w *world) {
			for _, x := range []*node{w.file, w.streams, w.open} {
				w.m.rename(x, 0, w.c.id, string(x.names[0].Name))
			}
			w.m.rename(w.linked, 1, w.c.id, "link")
			w.m.remove(w.b, 0)
		}},
		{name: "delete from a directory with a stream", do: func(w *world) { w.m.remove(w.linked, 0) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &world{m: newModel(2)}
			w.a, w.c = w.m.create(w.m.info.Root, "a", true), w.m.create(w.m.info.Root, "c", true)
			w.m.stream(w.a, 0, "label")
			w.b = w.m.create(w.a.id, "b", true)
			w.file = w.m.create(w.b.id, "file", false)
			w.linked = w.m.create(w.a.id, "link", false)
			w.m.link(w.linked, w.b.id, "link")
			w.streams = w.m.create(w.b.id, "streams", false)
			w.m.stream(w.streams, 0, "zone")
			w.open = w.m.create(w.b.id, "open", false)
			w.m.open(w.open)
			j := w.m.journal()
			from := now(t, j)
			wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
			for round := range 2 { // the second time it has wrapped again
				before := w.m.stats()
				if round == 0 {
					test.do(w)
				}
				w.open.silent++
				w.m.write(&node{id: ID{Low: 99}}, Name{w.m.info.Root, []byte("x")}, closed)
				w.m.lose()
				w.m.create(w.m.info.Root, fmt.Sprint("witness", round), false)
				to := now(t, j)
				d := lost(t, j, from, to)
				if lacks := w.m.lacks(d, before, w.m.stats()); len(lacks) > 0 {
					t.Fatalf("round %d lacks %s\n%s", round, strings.Join(lacks, "\n"), describe(d))
				}
				if quiet := round == 1 || test.same; quiet && len(d.Files) != 2 {
					t.Errorf("round %d: nothing changed but what is open and new, and these did: %s", round, describe(d))
				}
				if !slices.Equal(to.Open, []uint64{w.open.id.Low}) {
					t.Errorf("open is %x", to.Open)
				}
				from = to
			}
		})
	}
}

// TestLostRandom has the journal wrap between backups, now and then, up to anywhere.
func TestLostRandom(t *testing.T) {
	unseen := 0
	for seed := range uint64(24) {
		m := newModel(2)
		m.ranged = seed%4 > 1
		m.info.Tracks = m.ranged
		rng := rand.New(rand.NewPCG(seed, 11))
		for range 200 {
			m.step(rng)
		}
		j := m.journal()
		from := now(t, j)
		wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
		for round := range 12 {
			before := m.stats()
			for range rng.IntN(120) {
				m.step(rng)
			}
			if first := (from.Position + pageSize + rng.Uint64N(2*pageSize)) &^ (pageSize - 1); rng.IntN(3) > 0 && first <= m.info.Next {
				m.info.First = first
			}
			if m.unseen(from) { // then nothing tells that it was not set back
				unseen++
				wantGap(t, j.Changes(t.Context(), from, now(t, j), &journal.Dirty{}), "journal wrapped")
				m.info.First = 0
			}
			to := now(t, j)
			d := changes(t, j, from, to)
			if (m.info.First > from.Position) != (d.Alive != nil) {
				t.Fatalf("seed %d, round %d: the journal begins at %d, the cursor is at %d, alive %v", seed, round, m.info.First, from.Position, d.Alive)
			}
			if lacks := m.lacks(d, before, m.stats()); len(lacks) > 0 {
				t.Fatalf("seed %d, round %d:\nlacks %s\n%s", seed, round, strings.Join(lacks, "\nlacks "), describe(d))
			}
			m.closeLost(from.Position)
			from = to
		}
	}
	if unseen > 24 {
		t.Errorf("in %d rounds none of the witnesses was left alone", unseen)
	}
}

// unseen tells whether something happened to all witnesses since the cursor, and they are needed.
func (m *model) unseen(from *journal.Cursor) bool {
	_, _, mark := splitMark(from.Mark)
	for id, usn := range readWitnesses(mark) {
		if x := m.nodes[id]; x != nil && x.usn == usn {
			return false
		}
	}
	return m.info.First > from.Position
}

// closeLost closes files that were opened in records that are lost: that they are open is not known, as the package says.
func (m *model) closeLost(from uint64) {
	for _, id := range sortedIDs(m.nodes) {
		if x := m.nodes[id]; x.open && x.usn >= from && x.usn < m.info.First {
			m.close(x, x.names[0])
			x.open = false
		}
	}
}

// TestLostLive does the same on Windows, where not all names of a file can be listed everywhere.
func TestLostLive(t *testing.T) {
	for _, old := range []bool{false, true} {
		w := &winVolume{m: newModel(2), old: old, noLinks: old}
		if !old {
			w.m.major = 3
		}
		for seed := range uint64(6) {
			rng := rand.New(rand.NewPCG(seed, 13))
			for range 150 {
				w.m.step(rng)
			}
			w.m.closeLost(0)
			j := w.live(t)
			from := now(t, j)
			wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
			before := w.m.stats()
			for range rng.IntN(50) {
				w.m.step(rng)
			}
			w.m.write(&node{id: ID{Low: 99}}, Name{w.m.info.Root, []byte("x")}, closed)
			w.m.lose()
			d := lost(t, j, from, now(t, j))
			w.m.nameLinks(d, before)
			if lacks := w.m.lacks(d, before, w.m.stats()); len(lacks) > 0 {
				t.Fatalf("seed %d:\nlacks %s\n%s", seed, strings.Join(lacks, "\nlacks "), describe(d))
			}
		}
	}
}

// TestLostGaps has all by which even the last USNs can't tell.
func TestLostGaps(t *testing.T) {
	tests := []struct {
		name   string
		major  uint16
		change func(m *model, from *journal.Cursor)
		want   string
	}{
		{"other id", 2, func(m *model, _ *journal.Cursor) { m.info.ID++ }, "journal re-created"},
		{"older than it may be", 2, func(m *model, from *journal.Cursor) { m.info.LowestValid = from.Position + 8 }, "journal re-created"},
		{"set back", 2, func(m *model, from *journal.Cursor) { from.Position = m.info.Next + 8 }, "the volume was set back"},
		{"too many open files", 2, func(m *model, from *journal.Cursor) { from.Journal = "" }, "which files were open"},
		{"no list of files", 2, func(m *model, _ *journal.Cursor) { m.eachErr = errWrapped }, "journal wrapped"},
		{"disk error", 2, func(m *model, _ *journal.Cursor) { m.eachErr = io.ErrUnexpectedEOF }, "the journal can't be read: unexpected EOF"},
		{"lookup fails", 2, func(m *model, _ *journal.Cursor) { m.lookupErr = io.ErrUnexpectedEOF }, "the journal can't be read: looking up file"},
		{"ids of 128 bits", 3, func(*model, *journal.Cursor) {}, "journal wrapped"},
		{"more records than are kept track of", 2, func(m *model, _ *journal.Cursor) {
			m.nodes[ID{Low: 1 << 30}] = &node{id: ID{Low: 1 << 30}}
		}, "journal wrapped"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel(test.major)
			m.create(m.info.Root, "early", false)
			j := m.journal()
			from := now(t, j)
			m.create(m.info.Root, "late", false)
			m.lose()
			to := now(t, j)
			test.change(m, from)
			wantGap(t, j.Changes(t.Context(), from, to, &journal.Dirty{}), test.want)
		})
	}
}

// TestLostSetBack is a volume that was set back, has come past the cursor since, and then its journal wrapped.
func TestLostSetBack(t *testing.T) {
	m := newModel(2)
	quiet := m.create(m.info.Root, "quiet", false)
	m.extend(quiet, 0)
	log, nodes, usn := slices.Clone(m.log), maps.Clone(m.nodes), quiet.usn
	m.extend(quiet, 0)
	m.create(m.info.Root, "not to be", false)
	j := m.journal()
	from := now(t, j)
	m.log, m.nodes, quiet.usn = log, nodes, usn
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	m.lose()
	wantGap(t, j.Changes(t.Context(), from, now(t, j), &journal.Dirty{}), "the volume was set back")
}

// TestLostWitnesses is a volume of which all changed that could have told that it was not set back.
func TestLostWitnesses(t *testing.T) {
	m := newModel(2)
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	j := m.journal()
	from := now(t, j)
	_, _, mark := splitMark(from.Mark)
	seen := readWitnesses(mark)
	if len(seen) != maxWitnesses {
		t.Fatalf("%d of them: %s", len(seen), from.Mark)
	}
	ids := sortedIDs(seen)
	for _, id := range ids[1:] {
		if m.nodes[id].usn != seen[id] {
			t.Errorf("%x is at %d, not %d", id.Low, seen[id], m.nodes[id].usn)
		}
		m.extend(m.nodes[id], 0)
	}
	m.lose()
	lost(t, j, from, now(t, j))
	m.extend(m.nodes[ids[0]], 0)
	m.lose()
	wantGap(t, j.Changes(t.Context(), from, now(t, j), &journal.Dirty{}), "journal wrapped")
}

// TestLostWhileReading is a journal that wraps only when it is read.
func TestLostWhileReading(t *testing.T) {
	m := newModel(2)
	f := m.create(m.info.Root, "f", false)
	m.create(m.info.Root, "g", false)
	j := m.journal()
	from := now(t, j)
	m.extend(f, 0)
	to := now(t, j)
	m.onRead = func() {
		m.onRead = nil
		m.info.First = m.info.Next
	}
	if d := lost(t, j, from, to); !d.Files[f.id.Low].Read || !d.Dirs[m.info.Root.Low].Has([]byte("f")) {
		t.Error(describe(d))
	}
	m.extend(f, 0)
	to = now(t, j)
	m.readErr = errWrapped // and again, and again
	wantGap(t, j.Changes(t.Context(), from, to, &journal.Dirty{}), "journal wrapped")
}

// TestLostOverflow is more change than is kept: open files are known all the same.
func TestLostOverflow(t *testing.T) {
	m := newModel(2)
	left := m.create(m.info.Root, "left", false)
	m.open(left)
	j := m.journal()
	j.max = 50
	from := now(t, j)
	wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	m.info.First = m.info.Next &^ (pageSize - 1)
	late := m.create(m.info.Root, "late", false)
	m.open(late)
	to, d := now(t, j), &journal.Dirty{}
	if err := j.Changes(t.Context(), from, to, d); err != nil {
		t.Fatal(err)
	}
	if want := []uint64{left.id.Low, late.id.Low}; !d.Overflow || d.Alive != nil || !slices.Equal(to.Open, want) {
		t.Errorf("overflow %v, alive %v, open %x, want %x", d.Overflow, d.Alive, to.Open, want)
	}
}

// TestListEnds is a list of files that Windows doesn't go on with.
func TestListEnds(t *testing.T) {
	w := &winVolume{m: newModel(2)}
	l := w.live(t).dev
	w.fail = map[uint32]error{enumFiles: winError(1117)}
	if err := l.Each(t.Context(), func(ID, uint64) error { return nil }); !errors.Is(err, winError(1117)) {
		t.Errorf("device error: %v", err)
	}
	w.fail = nil
	stop := errors.New("enough")
	if err := l.Each(t.Context(), func(ID, uint64) error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
	w.stuck = true
	if err := l.Each(t.Context(), func(ID, uint64) error { return nil }); err == nil {
		t.Error("a list that stands still ended")
	}
}

// many is a volume of so many files, of which a hundred changed.
type many struct {
	*model
	files uint64
}

func (m *many) Each(_ context.Context, f func(ID, uint64) error) error {
	for n := range m.files {
		usn := uint64(8)
		if n%(m.files/100) == 0 {
			usn = m.info.Next
		}
		if err := f(ID{Low: 1<<48 | n + 32}, usn); err != nil {
			return err
		}
	}
	return m.model.Each(context.Background(), f)
}

// BenchmarkLost finds a hundred changed files among ten million, but for what it takes to read the file table.
func BenchmarkLost(b *testing.B) {
	m := &many{newModel(2), 10_000_000}
	m.create(m.info.Root, "witness", false)
	j := New(m)
	from, err := j.Now(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	m.lose()
	to, err := j.Now(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d := &journal.Dirty{}
		if err := j.Changes(b.Context(), from, to, d); err != nil || len(d.Files) != 100 {
			b.Fatalf("%d files, %v", len(d.Files), err)
		}
	}
	b.ReportMetric(float64(m.files)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
