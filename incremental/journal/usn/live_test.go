package usn

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/incremental/journal"
)

// A winVolume is what Windows would answer of a model's volume.
type winVolume struct {
	m         *model
	old       bool              // of before Windows 8: its structures are shorter
	denied    func(id ID) error // opening some files
	noList    bool              // there is no list of files
	stuck     bool              // or one that doesn't go on
	noLinks   bool              // nor of a file's names
	fail      map[uint32]error  // by code
	asked     []uint32
	created   []byte
	closedAll bool
}

func (w *winVolume) close() error { w.closedAll = true; return nil }

func (w *winVolume) control(code uint32, in, out []byte) (int, error) {
	w.asked = append(w.asked, code)
	if err := w.fail[code]; err != nil {
		return 0, err
	}
	switch code {
	case queryJournal:
		return w.query(out), nil
	case readJournal, readUnprivileged:
		if want := map[bool]int{true: 40, false: 48}[w.old]; len(in) != want || binary.LittleEndian.Uint32(in[8:]) != 0xffffffff {
			return 0, winError(errInvalidParameter)
		}
		start, id := le64(in), le64(in[32:])
		switch {
		case id != w.m.info.ID:
			return 0, winError(errInvalidParameter)
		case start < w.m.info.First:
			return 0, winError(errEntryDeleted)
		}
		return w.m.Read(id, start, out)
	case enumFiles:
		return w.list(le64(in), out)
	case createJournal:
		w.created = slices.Clone(in)
		return 0, nil
	}
	return 0, winError(errInvalidFunction)
}

func (w *winVolume) query(out []byte) int {
	i := w.m.info
	for k, n := range []uint64{i.ID, i.First, i.Next, i.LowestValid, 1 << 62, uint64(i.Size), uint64(i.Delta)} {
		binary.LittleEndian.PutUint64(out[8*k:], n)
	}
	if w.old {
		return 56
	}
	binary.LittleEndian.PutUint16(out[56:], 2)
	binary.LittleEndian.PutUint16(out[58:], 4)
	if i.Tracks {
		out[60] = 1
	}
	return 80
}

// list finds the file with this record number, or the next one.
func (w *winVolume) list(from uint64, out []byte) (int, error) {
	if w.noList {
		return 0, winError(errNotSupported)
	}
	const record = 1<<48 - 1
	var next *node
	for _, x := range w.m.nodes {
		if n := x.id.Low & record; n >= from&record && (next == nil || n < next.id.Low&record) {
			next = x
		}
	}
	if next == nil {
		return 0, winError(errHandleEOF)
	}
	binary.LittleEndian.PutUint64(out, next.id.Low&record+1)
	if w.stuck {
		binary.LittleEndian.PutUint64(out, from)
	}
	return 8 + copy(out[8:], w.m.record(next)), nil
}

// record is what FSCTL_READ_FILE_USN_DATA says of a file: one of its names.
func (m *model) record(x *node) []byte {
	one, copied := &model{major: m.major}, *x
	one.write(&copied, x.names[len(x.names)-1], 0)
	binary.LittleEndian.PutUint64(one.log[map[uint16]int{2: 24, 3: 40}[m.major]:], x.usn)
	return one.log
}

func (w *winVolume) open(id ID, wide bool) (opened, error) {
	x := w.m.nodes[id]
	switch {
	case wide != w.m.info.Wide:
		return nil, errors.New("an id of the wrong form")
	case x == nil:
		return nil, winError(errInvalidParameter)
	case w.denied != nil && w.denied(id) != nil:
		return nil, w.denied(id)
	}
	return &openedNode{w, x}, nil
}

type openedNode struct {
	w *winVolume
	x *node
}

func (o *openedNode) close()              {}
func (o *openedNode) count() (int, error) { return len(o.x.names), nil }

func (o *openedNode) control(code uint32, _, out []byte) (int, error) {
	if code != readFileUSN {
		return 0, winError(errInvalidFunction)
	}
	return copy(out, o.w.m.record(o.x)), nil
}

func (o *openedNode) basic() ([]byte, error) {
	return binary.LittleEndian.AppendUint64(make([]byte, 24), uint64(o.x.meta)), nil
}

func (o *openedNode) links(wide bool) ([]byte, error) {
	if o.w.noLinks {
		return nil, winError(errInvalidParameter)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(o.x.names))<<32)
	for i, n := range o.x.names {
		name := encode16(string(n.Name))
		var e []byte
		if wide {
			e = append(make([]byte, 4), n.Parent.bytes()...)
		} else {
			e = append(make([]byte, 8), n.Parent.bytes()[:8]...)
		}
		e = binary.LittleEndian.AppendUint32(e, uint32(len(name)/2))
		e = append(e, name...)
		e = append(e, make([]byte, -len(e)&7)...)
		if i < len(o.x.names)-1 {
			binary.LittleEndian.PutUint32(e, uint32(len(e)))
		}
		b = append(b, e...)
	}
	return append(b, make([]byte, 100)...), nil
}

func (o *openedNode) streams() ([]byte, error) {
	names := []string{"::$DATA"}
	if o.x.dir {
		names = nil
	}
	for s := range o.x.streams {
		names = append(names, ":"+s+":$DATA")
	}
	var b []byte
	for i, n := range names {
		name := encode16(n)
		e := append(make([]byte, 24), name...)
		binary.LittleEndian.PutUint32(e[4:], uint32(len(name)))
		e = append(e, make([]byte, -len(e)&7)...)
		if i < len(names)-1 {
			binary.LittleEndian.PutUint32(e, uint32(len(e)))
		}
		b = append(b, e...)
	}
	return b, nil
}

func (w *winVolume) live(t *testing.T) *Journal {
	t.Helper()
	j, err := newLive(w, w.m.info.Volume, w.m.info.Root, w.m.info.Wide, false)
	if err != nil {
		t.Fatal(err)
	}
	j.now = func() time.Time { return (&Record{Stamp: w.m.clock}).Time() }
	return j
}

// TestLive has all kinds of things happen to a volume in use, on all kinds of Windows.
func TestLive(t *testing.T) {
	deny := func(id ID) error {
		if id.Low%3 == 0 {
			return winError(errAccessDenied)
		}
		return nil
	}
	tests := []struct {
		name  string
		major uint16
		w     winVolume
		links bool // names of files with several may be left to the base
	}{
		{name: "Windows 11", major: 3},
		{name: "Windows 7", major: 2, w: winVolume{old: true, noLinks: true}, links: true},
		{name: "without a list of files", major: 2, w: winVolume{noList: true}},
		{name: "some can't be opened", major: 2, w: winVolume{denied: deny}, links: true},
		{name: "nothing can be opened", major: 2, w: winVolume{denied: func(ID) error { return winError(errSharingViolation) }}, links: true},
		{name: "ReFS", major: 3, w: winVolume{noList: true}},
		{name: "ReFS without lists of names", major: 3, w: winVolume{noList: true, noLinks: true}, links: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(4) {
				w := test.w
				w.m = newModel(test.major)
				if test.major == 3 && !w.noList {
					w.m = newModel(2) // ids of 64 bits
					w.m.major = 3
				}
				liveRounds(t, &w, seed, test.links)
			}
		})
	}
}

func liveRounds(t *testing.T, w *winVolume, seed uint64, links bool) {
	m, rng := w.m, rand.New(rand.NewPCG(seed, 7))
	for range 150 {
		m.step(rng)
	}
	j := w.live(t)
	from := now(t, j)
	wantGap(t, j.Changes(t.Context(), nil, from, &journal.Dirty{}), "first backup")
	for round := range 8 {
		before := m.stats()
		for range rng.IntN(50) {
			m.step(rng)
		}
		to, d := now(t, j), &journal.Dirty{}
		if err := j.Changes(t.Context(), from, to, d); err != nil {
			t.Fatal(err)
		}
		for _, f := range d.Files {
			if f.Kept || f.Ranges != nil {
				t.Fatalf("seed %d, round %d: of a volume in use it is said what is as it was: %+v", seed, round, f)
			}
		}
		if links {
			m.nameLinks(d, before)
		}
		if lacks := m.lacks(d, before, m.stats()); len(lacks) > 0 {
			t.Fatalf("seed %d, round %d:\nlacks %s\n%s", seed, round, strings.Join(lacks, "\nlacks "), describe(d))
		}
		from = to
	}
	if err := j.Close(); err != nil || !w.closedAll {
		t.Errorf("closing: %v, done %v", err, w.closedAll)
	}
}

// nameLinks does what the engine does with Links: it looks at all names that the base has for them.
func (m *model) nameLinks(d *journal.Dirty, before map[place]stat) {
	for _, all := range []map[place]stat{before, m.stats()} {
		for p, s := range all {
			if _, ok := d.Links[s.id.Fold()]; !ok {
				continue
			}
			d.Name(p.dir.Fold(), []byte(p.name))
			for at := m.nodes[p.dir]; at != nil && at.id != m.info.Root; at = m.nodes[at.names[0].Parent] {
				d.Lead(at.names[0].Parent.Fold())
			}
		}
	}
}

// TestLiveErrors has everything that Windows may answer.
func TestLiveErrors(t *testing.T) {
	tests := []struct {
		name   string
		code   uint32
		number winError
		want   string
	}{
		{"not active", queryJournal, errNotActive, "the volume has no change journal"},
		{"deletion in progress", queryJournal, errDeleteInProgress, "the journal is being deleted"},
		{"FAT", queryJournal, errInvalidFunction, "the file system keeps no change journal"},
		{"wine", queryJournal, errNotSupported, "the file system keeps no change journal"},
		{"no privilege", queryJournal, errAccessDenied, "the journal may not be read"},
		{"device error", queryJournal, 1117, "the journal can't be read: error 1117 of Windows"},
		{"wrapped while reading", readJournal, errEntryDeleted, "journal wrapped"},
		{"stale id while reading", readJournal, errInvalidParameter, "journal re-created"},
		{"deleted while reading", readJournal, errDeleteInProgress, "the journal is being deleted"},
		{"device error while reading", readJournal, 1117, "the journal can't be read: error 1117 of Windows"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &winVolume{m: newModel(2)}
			w.m.create(w.m.info.Root, "f", false)
			j := w.live(t)
			from := now(t, j)
			w.m.create(w.m.info.Root, "g", false)
			to := now(t, j)
			w.fail = map[uint32]error{test.code: test.number}
			wantGap(t, j.Changes(t.Context(), from, to, &journal.Dirty{}), test.want)
			if test.code == queryJournal {
				_, err := j.Now(t.Context())
				wantGap(t, err, test.want)
			}
		})
	}
}

// TestLiveBlind is a system on which nothing can be found by its id, even what is there: then nothing is known to be gone.
func TestLiveBlind(t *testing.T) {
	w := &winVolume{m: newModel(2), noList: true, denied: func(ID) error { return winError(errInvalidParameter) }}
	_, err := newLive(w, "", w.m.info.Root, false, false)
	wantGap(t, err, "files of the volume can't be found by their ids")
	if !w.closedAll {
		t.Error("left open")
	}
}

// TestLimited is a reader who isn't shown all records: it gets a status, and nothing is backed up by what it sees.
func TestLimited(t *testing.T) {
	w := &winVolume{m: newModel(2)}
	w.m.create(w.m.info.Root, "f", false)
	j, err := newLive(w, "", w.m.info.Root, false, true)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := j.Status(t.Context()); err != nil || s.Since.IsZero() {
		t.Errorf("status %+v, %v", s, err)
	}
	if !slices.Contains(w.asked, uint32(readUnprivileged)) || slices.Contains(w.asked, uint32(readJournal)) {
		t.Errorf("asked for %x", w.asked)
	}
	_, err = j.Now(t.Context())
	wantGap(t, err, "the journal may not be read")
}

// TestLookupGone tells apart what is gone and what only can't be opened.
func TestLookupGone(t *testing.T) {
	for _, list := range []bool{true, false} {
		w := &winVolume{m: newModel(2), noList: !list}
		f := w.m.create(w.m.info.Root, "f", false)
		l := w.live(t).dev
		var x File
		if err := l.Lookup(f.id, &x); err != nil || x.More || len(x.Names) != 1 {
			t.Errorf("%+v, %v", x, err)
		}
		w.denied = func(ID) error { return winError(errDeletePending) }
		if err := l.Lookup(f.id, &x); err != nil || !x.More {
			t.Errorf("being deleted: %+v, %v", x, err)
		}
		w.denied = func(ID) error { return winError(1117) }
		if err := l.Lookup(f.id, &x); !list && err != winError(1117) {
			t.Errorf("device error: %v", err)
		}
		w.denied = nil
		w.m.remove(f, 0)
		w.m.create(w.m.info.Root, "g", false) // has its number again
		if err := l.Lookup(f.id, &x); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("gone: %+v, %v", x, err)
		}
	}
}

// TestCreate makes a journal only where there is none, and resizes one only where there is one.
func TestCreate(t *testing.T) {
	tests := []struct {
		name   string
		query  error
		exists bool
		ok     bool
	}{
		{"create", winError(errNotActive), false, true},
		{"create a second", nil, false, false},
		{"create on FAT", winError(errInvalidFunction), false, false},
		{"create while one is deleted", winError(errDeleteInProgress), false, false},
		{"resize", nil, true, true},
		{"resize none", winError(errNotActive), true, false},
	}
	for _, test := range tests {
		w := &winVolume{m: newModel(2), fail: map[uint32]error{queryJournal: test.query}}
		err := create(w, 64<<20, 0, test.exists)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.ok && (len(w.created) != 16 || le64(w.created) != 64<<20 || le64(w.created[8:]) != 8<<20) {
			t.Errorf("%s: %x", test.name, w.created)
		}
	}
	w := &winVolume{m: newModel(2), fail: map[uint32]error{createJournal: winError(errAccessDenied)}}
	wantGap(t, create(w, 64<<20, 1<<20, true), "the journal may not be read")
}

// FuzzAnswers has any bytes as lists of names and streams.
func FuzzAnswers(f *testing.F) {
	m := newModel(2)
	x := m.create(m.info.Root, "f", false)
	m.link(x, m.info.Root, "g")
	m.stream(x, 0, "s")
	o := &openedNode{&winVolume{m: m}, x}
	for _, wide := range []bool{false, true} {
		b, _ := o.links(wide)
		f.Add(b)
	}
	b, _ := o.streams()
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseLinks(b, false)
		parseLinks(b, true)
		appendStreams(nil, b)
	})
}
