package usn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"waybill/incremental/journal"
)

// now returns the cursor, changes the dirt; they fail the test.
func now(t *testing.T, j *Journal) *journal.Cursor {
	t.Helper()
	c, err := j.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func changes(t *testing.T, j *Journal, from, to *journal.Cursor) *journal.Dirty {
	t.Helper()
	d := &journal.Dirty{}
	if err := j.Changes(t.Context(), from, to, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func wantGap(t *testing.T, err error, reason string) {
	t.Helper()
	g, ok := errors.AsType[*journal.Gap](err)
	if !ok || !strings.HasPrefix(g.Reason, reason) {
		t.Fatalf("got %v, want the gap %q", err, reason)
	}
}

// TestDirt tells what single operations make dirty.
func TestDirt(t *testing.T) {
	type world struct {
		m             *model
		a, b          *node // directories in the root, b in a
		file, linked  *node // in b; a name in a and one in b
		streams, open *node // in b
	}
	tests := []struct {
		name string
		do   func(w *world)
		want func(w *world) []string // names in directories
		also func(t *testing.T, w *world, d *journal.Dirty)
	}{
		{name: "nothing", do: func(w *world) {}, want: func(w *world) []string { return []string{"b/open"} }},
		{name: "create", do: func(w *world) { w.m.create(w.b.id, "new", false) }, want: func(w *world) []string { return []string{"b/new"} }},
		{name: "delete, streams unknown", do: func(w *world) { w.m.remove(w.file, 0) }, want: func(w *world) []string { return []string{"b/*"} }},
		{
			name: "created and deleted", do: func(w *world) { w.m.remove(w.m.create(w.b.id, "new", false), 0) },
			want: func(w *world) []string { return []string{"b/new"} },
		},
		{
			name: "metadata", do: func(w *world) { w.m.chmod(w.file, 0) }, want: func(w *world) []string { return []string{"b/file"} },
			also: func(t *testing.T, w *world, d *journal.Dirty) {
				if !d.Files[w.file.id.Fold()].Kept {
					t.Error("its content is not known to be kept")
				}
			},
		},
		{
			name: "content", do: func(w *world) { w.m.extend(w.file, 0) }, want: func(w *world) []string { return []string{"b/file"} },
			also: func(t *testing.T, w *world, d *journal.Dirty) {
				if d.Files[w.file.id.Fold()].Kept {
					t.Error("its content is said to be kept")
				}
			},
		},
		{name: "hard link", do: func(w *world) { w.m.extend(w.linked, 0) }, want: func(w *world) []string { return []string{"a/link", "b/link"} }},
		{name: "new hard link", do: func(w *world) { w.m.link(w.file, w.a.id, "l") }, want: func(w *world) []string { return []string{"a/l", "b/file"} }},
		{name: "hard link gone", do: func(w *world) { w.m.remove(w.linked, 0) }, want: func(w *world) []string { return []string{"a/link", "b/link"} }},
		{name: "rename", do: func(w *world) { w.m.rename(w.file, 0, w.a.id, "f") }, want: func(w *world) []string { return []string{"a/f", "b/file"} }},
		{
			name: "rename with streams", do: func(w *world) { w.m.rename(w.streams, 0, w.a.id, "s") },
			want: func(w *world) []string { return []string{"a/*", "b/*"} },
		},
		{name: "new stream", do: func(w *world) { w.m.stream(w.file, 0, "x") }, want: func(w *world) []string { return []string{"b/*"} }},
		{name: "metadata with streams", do: func(w *world) { w.m.chmod(w.streams, 0) }, want: func(w *world) []string { return []string{"b/streams", "b/streams:zone", "b/streams:zone:$DATA"} }},
		{
			name: "new stream of a directory", do: func(w *world) { w.m.stream(w.b, 0, "x") }, want: func(w *world) []string { return []string{"a/*"} },
			also: func(t *testing.T, w *world, d *journal.Dirty) {
				if x := d.Files[streamInode(w.b.id.Fold(), []byte("x"))]; x == nil || !x.Read {
					t.Errorf("the stream is %+v", x)
				}
			},
		},
		{name: "directory's metadata", do: func(w *world) { w.m.chmod(w.b, 0) }, want: func(w *world) []string { return []string{"a/b"} }},
		{
			name: "directory moved", do: func(w *world) { w.m.rename(w.b, 0, w.m.info.Root, "c") },
			want: func(w *world) []string { return []string{"a/b", "root/c"} },
		},
		{
			name: "root's metadata", do: func(w *world) { w.m.chmod(w.m.nodes[w.m.info.Root], 0) }, want: func(w *world) []string { return nil },
			also: func(t *testing.T, w *world, d *journal.Dirty) {
				if x := d.Dirs[w.m.info.Root.Fold()]; x == nil || x.All || len(x.Names) > 0 {
					t.Errorf("the root is %+v", x)
				}
			},
		},
		{
			name: "open file, silently", do: func(w *world) { w.m.overwrite(w.open, 0, journal.Range{}) }, want: func(w *world) []string { return []string{"b/open"} },
			also: func(t *testing.T, w *world, d *journal.Dirty) {
				if !d.Files[w.open.id.Fold()].Read {
					t.Error("it is not to be read")
				}
			},
		},
	}
	for _, major := range []uint16{2, 3} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("v%d %s", major, test.name), func(t *testing.T) {
				w := &world{m: newModel(major)}
				w.a = w.m.create(w.m.info.Root, "a", true)
				w.b = w.m.create(w.a.id, "b", true)
				w.file = w.m.create(w.b.id, "file", false)
				w.linked = w.m.create(w.a.id, "link", false)
				w.m.link(w.linked, w.b.id, "link")
				w.streams = w.m.create(w.b.id, "streams", false)
				w.m.stream(w.streams, 0, "zone")
				w.open = w.m.create(w.b.id, "open", false)
				w.open.open = true
				w.m.overwrite(w.open, 0, journal.Range{Len: 1})
				j := w.m.journal()
				from := now(t, j)
				wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
				before := w.m.stats()
				test.do(w)
				d := changes(t, j, from, now(t, j))

				for _, lack := range w.m.lacks(d, before, w.m.stats()) {
					t.Error("lacks", lack)
				}
				var got []string
				for label, id := range map[string]ID{"root": w.m.info.Root, "a": w.a.id, "b": w.b.id} {
					if x := d.Dirs[id.Fold()]; x != nil && x.All {
						got = append(got, label+"/*")
					} else if x != nil {
						for name := range x.Names {
							got = append(got, label+"/"+name)
						}
					}
				}
				want := test.want(w)
				if !slices.Contains(want, "b/*") && !slices.Contains(want, "b/open") {
					want = append(want, "b/open")
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("dirty is %q, want %q", got, want)
				}
				if test.also != nil {
					test.also(t, w, d)
				}
			})
		}
	}
}

// TestRandom has all kinds of things happen and sees that the dirt covers every difference, over many backups in a row.
func TestRandom(t *testing.T) {
	for seed := range uint64(24) {
		m := newModel([]uint16{2, 3}[seed%2])
		m.ranged = seed%4 > 1
		m.info.Tracks = m.ranged
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 200 {
			m.step(rng)
		}
		j := m.journal()
		from := now(t, j)
		wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
		for round := range 12 {
			before := m.stats()
			for _, x := range m.nodes {
				x.changed = nil
			}
			for range rng.IntN(60) {
				m.step(rng)
			}
			to := now(t, j)
			d := changes(t, j, from, to)
			if lacks := m.lacks(d, before, m.stats()); len(lacks) > 0 {
				t.Fatalf("seed %d, round %d:\nlacks %s\n%s", seed, round, strings.Join(lacks, "\nlacks "), describe(d))
			}
			for _, x := range m.nodes {
				f := d.Files[x.id.Fold()]
				if f != nil && f.Ranges != nil && !f.Read && !covered(f.Ranges, x.changed) {
					t.Fatalf("seed %d, round %d: %v changed, ranges are %v", seed, round, x.changed, f.Ranges)
				}
			}
			from = to
		}
	}
}

// step does something.
func (m *model) step(rng *rand.Rand) {
	var dirs, files []*node
	for _, id := range sortedIDs(m.nodes) {
		if x := m.nodes[id]; x.dir {
			dirs = append(dirs, x)
		} else {
			files = append(files, x)
		}
	}
	dir := dirs[rng.IntN(len(dirs))]
	name := fmt.Sprintf("%c%d", "nξ\U0001f600"[0], rng.IntN(1e6))
	if len(files) == 0 || rng.IntN(6) == 0 {
		m.create(dir.id, name, rng.IntN(4) == 0)
		return
	}
	x := files[rng.IntN(len(files))]
	if rng.IntN(8) == 0 && dir.id != m.info.Root {
		m.stream(dir, 0, string(rune('a'+rng.IntN(3))))
		return
	}
	i := rng.IntN(len(x.names))
	switch rng.IntN(16) {
	case 0:
		m.remove(x, i)
	case 1, 2:
		m.extend(x, i)
	case 3, 4:
		m.overwrite(x, i, journal.Range{Off: rng.Int64N(1000), Len: rng.Int64N(100)})
	case 5:
		m.chmod(x, i)
	case 6:
		m.rename(x, i, dir.id, name)
	case 7:
		m.link(x, dir.id, name)
	case 8:
		m.stream(x, i, string(rune('a'+rng.IntN(3))))
	case 9:
		for s := range x.streams {
			m.unstream(x, i, s)
			break
		}
	case 10, 11:
		x.open = true
		m.overwrite(x, i, journal.Range{Off: rng.Int64N(1000), Len: 1})
	case 12:
		m.close(x, x.names[i])
		x.open = false
	case 13:
		if x.open && x.reasons&dataOverwrite != 0 {
			x.silent++ // through a mapping: not even the time changes
			r := journal.Range{Off: rng.Int64N(1000), Len: 1}
			x.ranges, x.changed = append(x.ranges, r), append(x.changed, r)
		}
	case 14:
		if dir.id != m.info.Root {
			m.chmod(dir, 0)
		}
	case 15:
		m.moveOrRemove(rng, dir, dirs[rng.IntN(len(dirs))], name)
	}
}

func (m *model) moveOrRemove(rng *rand.Rand, dir, to *node, name string) {
	if dir.id == m.info.Root {
		return
	}
	empty := true
	for _, x := range m.nodes {
		for _, n := range x.names {
			empty = empty && n.Parent != dir.id
		}
	}
	if empty && rng.IntN(2) == 0 {
		m.remove(dir, 0)
		return
	}
	for at := to; at.id != m.info.Root; at = m.nodes[at.names[0].Parent] {
		if at == dir {
			return
		}
	}
	m.rename(dir, 0, to.id, name)
}

// TestGaps has every rule by which a journal can't vouch. The known faults of other programs are named.
func TestGaps(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *model, from *journal.Cursor)
		want   string
	}{
		{"other id", func(m *model, _ *journal.Cursor) { m.info.ID++ }, "journal re-created"},
		{"same id, older than it may be", func(m *model, from *journal.Cursor) { m.info.LowestValid = from.Position + 8 }, "journal re-created"},
		// Duplicati PR 3184 starts at the first record there is, and hides what is lost before it.
		{"wrapped", func(m *model, from *journal.Cursor) { m.info.First, m.eachErr = from.Position+8, errWrapped }, "journal wrapped"},
		{"wrapped up to the page of the cursor", func(m *model, from *journal.Cursor) { m.info.First, m.eachErr = from.Position&^7, errWrapped }, "journal wrapped"},
		{"set back", func(m *model, from *journal.Cursor) { m.info.Next = from.Position - 8 }, "the volume was set back"},
		{"other volume", func(m *model, from *journal.Cursor) { m.info.Volume = "1" }, "another volume"},
		{"other kind", func(m *model, from *journal.Cursor) { from.Kind = "btrfs" }, "the last backup used another journal"},
		{"too many open files", func(m *model, from *journal.Cursor) { from.Journal = "" }, "which files were open"},
		{"not active", func(m *model, _ *journal.Cursor) { m.readErr = gapOf(errNotActive) }, "the volume has no change journal"},
		{"wrapped while reading", func(m *model, _ *journal.Cursor) { m.readErr = gapOf(errEntryDeleted) }, "journal wrapped"},
		{"id stale while reading", func(m *model, _ *journal.Cursor) { m.readErr = recreated() }, "journal re-created"},
		{"deletion in progress", func(m *model, _ *journal.Cursor) { m.readErr = gapOf(errDeleteInProgress) }, "the journal is being deleted"},
		{"no privilege", func(m *model, _ *journal.Cursor) { m.readErr = gapOf(errAccessDenied) }, "the journal may not be read"},
		{"file system without one", func(m *model, _ *journal.Cursor) { m.readErr = gapOf(errInvalidFunction) }, "the file system keeps no change journal"},
		{"wine", func(m *model, _ *journal.Cursor) { m.readErr = gapOf(errNotSupported) }, "the file system keeps no change journal"},
		{"disk error", func(m *model, _ *journal.Cursor) { m.readErr = io.ErrUnexpectedEOF }, "the journal can't be read: unexpected EOF"},
		{"lookup fails", func(m *model, _ *journal.Cursor) { m.lookupErr = io.ErrUnexpectedEOF }, "the journal can't be read: looking up file"},
		{"damaged record", func(m *model, from *journal.Cursor) { m.log[from.Position]++ }, "the journal can't be relied on: at"},
		// go-ntfs took such a thing for the end.
		{"record in the wrong place", func(m *model, from *journal.Cursor) { clear(m.log[from.Position+72+24:][:8]) }, "the journal can't be relied on: damaged record"},
		{"newer version", func(m *model, from *journal.Cursor) { m.log[from.Position+4] = 5 }, "the journal can't be relied on: at"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel(2)
			for i := range 100 {
				m.create(m.info.Root, fmt.Sprint("early", i), false)
			}
			j := m.journal()
			from := now(t, j)
			kept := *from
			for i := range 100 {
				m.create(m.info.Root, fmt.Sprint("late", i), false)
			}
			to := now(t, j)
			test.change(m, from)
			wantGap(t, j.Changes(t.Context(), from, to, &journal.Dirty{}), test.want)
			*from = kept
		})
	}
}

// TestSetBackAndPast is a volume that was set back to an earlier state, as a virtual machine may be, and has since come past the cursor.
func TestSetBackAndPast(t *testing.T) {
	m := newModel(2)
	m.create(m.info.Root, "before the snapshot", false)
	log := slices.Clone(m.log)
	f := m.create(m.info.Root, "lost", false)
	j := m.journal()
	from := now(t, j)
	m.log, m.info.Next = log, uint64(len(log))
	delete(m.nodes, f.id)
	m.clock++
	m.create(m.info.Root, "lost", false) // the same record but for its time
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint("other", i), false)
	}
	if m.info.Next < from.Position {
		t.Fatal("not past the cursor")
	}
	wantGap(t, j.Changes(t.Context(), from, now(t, j), &journal.Dirty{}), "the volume was set back")
}

// TestNoJournal is asking for a cursor where there is none to be had.
func TestNoJournal(t *testing.T) {
	m := newModel(2)
	m.queryErr = gapOf(errNotActive)
	_, err := m.journal().Now(t.Context())
	wantGap(t, err, "the volume has no change journal")
	if _, err := m.journal().Status(t.Context()); err == nil {
		t.Error("a status without a journal")
	}
	wantGap(t, m.journal().Changes(t.Context(), nil, &journal.Cursor{}, &journal.Dirty{}), "the volume has no change journal")
}

// TestOpen follows an open file through backups: it is read each time, and once more after it was closed.
func TestOpen(t *testing.T) {
	m := newModel(2)
	f := m.create(m.info.Root, "database", false)
	f.open = true
	m.overwrite(f, 0, journal.Range{Len: 8})
	j := m.journal()
	c := now(t, j)
	wantGap(t, j.Changes(t.Context(), nil, c, &journal.Dirty{}), "first backup")
	for round, want := range []bool{true, true, true, false} {
		if round == 2 {
			m.close(f, f.names[0])
		}
		to := now(t, j)
		d := changes(t, j, c, to)
		if x := d.Files[f.id.Fold()]; (x != nil && x.Read) != want {
			t.Errorf("round %d: file is %+v, to be read %v", round, x, want)
		}
		if open := len(to.Open) > 0; open != (round < 2) {
			t.Errorf("round %d: kept as open: %v", round, open)
		}
		c = to
	}

	// After a wrap, what was known to be open still is.
	m.open(f)
	c = now(t, j)
	wantGap(t, j.Changes(t.Context(), nil, c, &journal.Dirty{}), "first backup")
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	m.info.First = m.info.Next &^ (pageSize - 1)
	m.eachErr = errWrapped // nor can changes be found by last USNs
	to := now(t, j)
	wantGap(t, j.Changes(t.Context(), c, to, &journal.Dirty{}), "journal wrapped")
	if !slices.Contains(to.Open, f.id.Fold()) {
		t.Errorf("open after a wrap: %x, want %x", to.Open, f.id.Fold())
	}
}

func (m *model) open(x *node) {
	x.open = true
	m.overwrite(x, 0, journal.Range{Len: 1})
}

// TestManyOpen is a volume with more open files than a cursor keeps.
func TestManyOpen(t *testing.T) {
	m := newModel(2)
	for i := range MaxOpen + 1 {
		f := m.create(m.info.Root, fmt.Sprint(i), false)
		m.open(f)
	}
	j := m.journal()
	c := now(t, j)
	wantGap(t, j.Changes(t.Context(), nil, c, &journal.Dirty{}), "first backup")
	wantGap(t, j.Changes(t.Context(), c, now(t, j), &journal.Dirty{}), "which files were open")
}

// TestOverflow is more change than is kept: that is said, and open files are known all the same.
func TestOverflow(t *testing.T) {
	m := newModel(2)
	left, closed := m.create(m.info.Root, "left", false), m.create(m.info.Root, "closed", false)
	m.open(left)
	m.open(closed)
	j := m.journal()
	j.max = 50
	from := now(t, j)
	wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
	early := m.create(m.info.Root, "early", false)
	m.open(early)
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	m.close(closed, closed.names[0])
	late := m.create(m.info.Root, "late", false)
	m.open(late)
	to := now(t, j)
	d := changes(t, j, from, to)
	if want := []uint64{left.id.Low, early.id.Low, late.id.Low}; !d.Overflow || !slices.Equal(to.Open, want) {
		t.Errorf("overflow %v, open %x, want %x", d.Overflow, to.Open, want)
	}
}

// TestMovesMeanwhile has files and directories move while they are looked up: before a snapshot was taken they were elsewhere.
func TestMovesMeanwhile(t *testing.T) {
	m := newModel(2)
	a, b := m.create(m.info.Root, "a", true), m.create(m.info.Root, "b", true)
	c := m.create(a.id, "c", true)
	f := m.create(c.id, "f", false)
	m.stream(f, 0, "s")
	m.link(f, b.id, "f2")
	j := m.journal()
	from := now(t, j)
	before := m.stats()
	m.extend(f, 0)
	held := m.stats()
	to := now(t, j)
	m.onLookup = func(n int) {
		switch n {
		case 1:
			m.remove(f, 1)
			m.rename(f, 0, b.id, "g")
			m.rename(c, 0, b.id, "c")
		case 4:
			m.rename(c, 0, m.info.Root, "c")
		}
	}
	d := changes(t, j, from, to)
	m.onLookup = nil
	m.rename(c, 0, a.id, "c") // as in the snapshot
	for _, lack := range m.lacks(d, before, held) {
		t.Error("lacks", lack)
	}
}

// TestRanges tells when ranges of a file are relied on.
func TestRanges(t *testing.T) {
	one, two := journal.Range{Off: 0, Len: 64}, journal.Range{Off: 64, Len: 64}
	far := journal.Range{Off: 1 << 20, Len: 64}
	tests := []struct {
		name     string
		untold   bool // ranges aren't tracked
		untagged bool // it isn't known that they were when the interval began
		do       func(m *model, f *node)
		want     []journal.Range
	}{
		{name: "overwritten", do: func(m *model, f *node) { m.overwrite(f, 0, one) }, want: []journal.Range{one}},
		{name: "several times", do: func(m *model, f *node) {
			m.overwrite(f, 0, far)
			m.overwrite(f, 0, two)
			m.overwrite(f, 0, one)
		}, want: []journal.Range{{Len: 128}, far}},
		{name: "several records", do: func(m *model, f *node) {
			f.open = true
			for i := range int64(5) {
				m.overwrite(f, 0, journal.Range{Off: i << 16, Len: 1})
			}
			m.close(f, f.names[0])
		}, want: []journal.Range{{Off: 0, Len: 1}, {Off: 1 << 16, Len: 1}, {Off: 2 << 16, Len: 1}, {Off: 3 << 16, Len: 1}, {Off: 4 << 16, Len: 1}}},
		{name: "and metadata", do: func(m *model, f *node) { m.overwrite(f, 0, one); m.chmod(f, 0) }, want: []journal.Range{one}},
		{name: "and renamed", do: func(m *model, f *node) { m.overwrite(f, 0, one); m.rename(f, 0, m.info.Root, "g") }, want: []journal.Range{one}},
		{name: "and extended", do: func(m *model, f *node) { m.overwrite(f, 0, one); m.extend(f, 0) }},
		{name: "and a stream", do: func(m *model, f *node) { m.overwrite(f, 0, one); m.stream(f, 0, "s") }},
		{name: "one change untold", do: func(m *model, f *node) {
			m.overwrite(f, 0, one)
			m.ranged = false
			m.overwrite(f, 0, far)
		}},
		{name: "not tracked", untold: true, do: func(m *model, f *node) { m.overwrite(f, 0, one) }},
		{name: "tracking began in between", untagged: true, do: func(m *model, f *node) { m.overwrite(f, 0, one) }},
		{name: "tracking seen before", untagged: true, do: func(m *model, f *node) {
			m.overwrite(m.create(m.info.Root, "other", false), 0, one)
			m.overwrite(f, 0, one)
		}, want: []journal.Range{one}},
		{name: "left open", do: func(m *model, f *node) { f.open = true; m.overwrite(f, 0, one) }},
		{name: "closed, then left open", do: func(m *model, f *node) { m.overwrite(f, 0, one); f.open = true; m.overwrite(f, 0, far) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel(3)
			m.ranged, m.info.Tracks = !test.untold, !test.untold && !test.untagged
			f := m.create(m.info.Root, "f", false)
			j := m.journal()
			from := now(t, j)
			test.do(m, f)
			x := changes(t, j, from, now(t, j)).Files[f.id.Fold()]
			if x.Read != (test.want == nil) || !slices.Equal(x.Ranges, test.want) {
				t.Errorf("got %+v, want ranges %v", x, test.want)
			}
		})
	}
}

// TestUnsettled is the image of a volume that was in use: its cursor goes back far enough.
func TestUnsettled(t *testing.T) {
	m := newModel(2)
	write := func(n int) {
		for range n {
			m.create(m.info.Root, fmt.Sprint("file", m.clock), false)
		}
	}
	write(3000)
	old := m.info.Next
	m.clock += 2 * 36_000_000_000
	write(3000)
	m.info.Unsettled = true
	j := m.journal()
	c := now(t, j)
	if c.Position > old || c.Position+(128<<10) < old {
		t.Errorf("cursor at %d, what may be unsettled begins at %d", c.Position, old)
	}
	changes(t, j, c, now(t, j))
	m.info.Unsettled = false
	if c := now(t, j); c.Position != m.info.Next {
		t.Errorf("cursor at %d, want %d", c.Position, m.info.Next)
	}
}

// TestStatus has the figures and the time of the oldest record.
func TestStatus(t *testing.T) {
	m := newModel(2)
	first := m.clock
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	s, err := m.journal().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Stamp: first + 10_000}
	want := journal.Status{Kind: Kind, Volume: m.info.Volume, Journal: "0000000000000007", Next: uint64(len(m.log)), Size: 1 << 20, Since: r.Time()}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

// TestCancelled ends when it is told to, which is no gap.
func TestCancelled(t *testing.T) {
	m := newModel(2)
	m.create(m.info.Root, "f", false)
	j := m.journal()
	c := now(t, j)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Changes(ctx, c, c, &journal.Dirty{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
