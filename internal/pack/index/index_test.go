package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// chunks makes n chunks of random keys, in frames of 1 to 30 and packs of 7 frames.
func chunks(r *rand.Rand, n int) map[Key]Loc {
	m := make(map[Key]Loc, n)
	var l Loc
	for left := 0; len(m) < n; left-- {
		if left == 0 {
			left = 1 + r.IntN(30)
			l = nextFrame(r, l)
		}
		l.Start += l.Length
		l.Length = uint32(r.IntN(int(l.Plain-l.Start)/4 + 1))
		m[randomKey(r)] = l
	}
	return m
}

func nextFrame(r *rand.Rand, l Loc) Loc {
	if l.Frame++; l.Frame%7 == 1 {
		for i := range l.Pack {
			l.Pack[i] = byte(r.Uint32())
		}
		l.Frame, l.Offset, l.Sealed = 1, 16, 0
	}
	l.Offset += l.Sealed
	l.Sealed, l.Plain, l.Method = r.Uint32N(1<<20)+17, r.Uint32N(1<<20)+1, uint8(r.Uint32N(2))
	l.Start, l.Length = 0, 0
	return l
}

func randomKey(r *rand.Rand) (k Key) {
	binary.LittleEndian.PutUint64(k[:], r.Uint64())
	binary.LittleEndian.PutUint64(k[8:], r.Uint64())
	return k
}

func testOpen(t testing.TB, dir string) *Index {
	t.Helper()
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func testAdd(t testing.TB, x *Index, tag string, m map[Key]Loc) {
	t.Helper()
	if err := x.Add(tag, putAll(m)); err != nil {
		t.Fatal(err)
	}
}

// putAll gives the chunks in the order of their frames, as a pack's table does, or nearly.
func putAll(m map[Key]Loc) func(put func(Key, Loc) error) error {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int { return int(m[a].Frame) - int(m[b].Frame) })
	return func(put func(Key, Loc) error) error {
		for _, k := range keys {
			if err := put(k, m[k]); err != nil {
				return err
			}
		}
		return nil
	}
}

// expect looks all of m up, and some keys that aren't there.
func expect(t *testing.T, x *Index, m map[Key]Loc) {
	t.Helper()
	for k, want := range m {
		if got, ok := x.Lookup(k); !ok || got != want || !x.Has(k) {
			t.Fatalf("Lookup(%x) = %+v, %v, want %+v", k, got, ok, want)
		}
	}
	for range 1000 {
		k := randomKey(rand.New(rand.NewPCG(rand.Uint64(), 0)))
		if _, ok := x.Lookup(k); ok || x.Has(k) {
			t.Fatalf("%x, never added, is there", k)
		}
	}
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// commit is what the model remembers of an Add.
type commit struct {
	tag    string
	chunks map[Key]Loc
}

// model is an index in the plainest form: commits, oldest first.
type model []commit

func (m model) all() map[Key]Loc {
	all := map[Key]Loc{}
	for _, c := range m {
		for k, l := range c.chunks {
			all[k] = l
		}
	}
	return all
}

// TestModel does random things to an index and to a map. An index may forget
// more than a Retain says; the model then forgets what Covers says it did.
func TestModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			dir := t.TempDir()
			x := testOpen(t, dir)
			var m model
			for step := range 60 {
				switch op := r.IntN(20); {
				case op < 14:
					m = append(m, commit{fmt.Sprintf("%064d", step), addable(r, m)})
					testAdd(t, x, m[len(m)-1].tag, m[len(m)-1].chunks)
				case op < 17:
					x.Close()
					x = testOpen(t, dir)
				case op < 18 && len(m) > 0:
					m = retain(t, x, m, m[r.IntN(len(m))].tag)
				}
				if step%10 == 9 {
					expect(t, x, m.all())
				}
				checkShape(t, x, dir, m)
			}
		})
	}
}

// addable makes a commit of new chunks and some known ones at new places.
func addable(r *rand.Rand, m model) map[Key]Loc {
	c := chunks(r, []int{0, 1, 50, 1000, 5000}[r.IntN(5)])
	if len(m) > 0 {
		n := 0
		for k := range m[r.IntN(len(m))].chunks {
			if n++; n > 20 {
				break
			}
			c[k] = nextFrame(r, Loc{})
		}
	}
	return c
}

func retain(t *testing.T, x *Index, m model, drop string) model {
	t.Helper()
	if err := x.Retain(func(tag string) bool { return tag != drop }); err != nil {
		t.Fatal(err)
	}
	if x.Covers(drop) {
		t.Fatalf("%s is still covered", drop)
	}
	return slices.DeleteFunc(m, func(c commit) bool { return !x.Covers(c.tag) })
}

func checkShape(t *testing.T, x *Index, dir string, m model) {
	t.Helper()
	var want []string
	for _, c := range m {
		want = append(want, c.tag)
	}
	if got := x.Covered(); !slices.Equal(got, want) {
		t.Fatalf("Covered() = %v, want %v", got, want)
	}
	segments, _, bytes := x.Stats()
	var size int64
	for _, f := range files(t, dir) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if segments > maxSegments || segments != len(files(t, dir)) || bytes != size {
		t.Fatalf("%d segments of %d bytes, files %v of %d bytes", segments, bytes, files(t, dir), size)
	}
}

func TestAddErrors(t *testing.T) {
	dir := t.TempDir()
	x := testOpen(t, dir)
	r := rand.New(rand.NewPCG(1, 2))
	first := chunks(r, 100)
	testAdd(t, x, "first", first)
	broken := errors.New("the pack is gone")
	fill := func(put func(Key, Loc) error) error {
		if err := put(randomKey(r), Loc{Plain: 1, Length: 1}); err != nil {
			return err
		}
		return broken
	}
	if err := x.Add("second", fill); !errors.Is(err, broken) {
		t.Errorf("fill's error came back as %v", err)
	}
	overlong := func(put func(Key, Loc) error) error {
		put(randomKey(r), Loc{Plain: 10, Start: 5, Length: 6})
		return nil // put's error is remembered
	}
	if err := x.Add("third", overlong); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a chunk outside its frame: %v", err)
	}
	for _, tag := range []string{"", string(make([]byte, 256))} {
		if err := x.Add(tag, putAll(nil)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("tag of %d bytes: %v", len(tag), err)
		}
	}
	if err := x.Add("first", fill); err != nil {
		t.Errorf("a commit that is there was filled again: %v", err)
	}
	expect(t, x, first)
	checkShape(t, x, dir, model{{"first", first}})
	x.Close()
	if err := x.Add("fourth", putAll(nil)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if x.Has(Key{}) {
		t.Error("a closed index has something")
	}
}

// TestOddKeys has keys that are far from random: correct, if slow.
func TestOddKeys(t *testing.T) {
	m := map[Key]Loc{}
	for i := range uint32(20000) {
		var k Key
		binary.BigEndian.PutUint32(k[12:], i*3)
		m[k] = Loc{Plain: 100, Start: i % 100}
		for j := range 12 {
			k[j] = 0xff
		}
		m[k] = Loc{Plain: 100, Start: i % 100, Method: 1}
	}
	x := testOpen(t, t.TempDir())
	testAdd(t, x, "odd", m)
	expect(t, x, m)
	for i := range uint32(20000) {
		var k Key
		binary.BigEndian.PutUint32(k[12:], i*3+1)
		if x.Has(k) {
			t.Fatalf("%x is there", k)
		}
	}
}

// TestSpill adds more than fits in memory at once, with keys that come twice.
func TestSpill(t *testing.T) {
	if testing.Short() {
		t.Skip("a million entries")
	}
	const n, again = 1_200_000, 100_000
	dir := t.TempDir()
	x := testOpen(t, dir)
	at := func(i uint64) (Key, Loc) {
		return randomKey(rand.New(rand.NewPCG(i, 0))), Loc{Frame: uint32(i / 16), Plain: 1600, Start: uint32(i%16) * 100, Length: 100}
	}
	fill := func(put func(Key, Loc) error) error {
		for i := range uint64(n) {
			if err := put(at(i)); err != nil {
				return err
			}
		}
		for i := range uint64(again) {
			k, l := at(i)
			l.Method = 1
			if err := put(k, l); err != nil {
				return err
			}
		}
		return nil
	}
	if err := x.Add("big", fill); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(n) {
		k, want := at(i)
		if i < again {
			want.Method = 1
		}
		if got, ok := x.Lookup(k); !ok || got != want {
			t.Fatalf("%d: Lookup = %+v, %v, want %+v", i, got, ok, want)
		}
	}
	if _, entries, _ := x.Stats(); entries != n {
		t.Errorf("%d entries, want %d", entries, n)
	}
	if f := files(t, dir); len(f) != 1 {
		t.Errorf("files left: %v", f)
	}
}

// TestWithoutMap reads the filter line by line, as where mapping isn't supported.
func TestWithoutMap(t *testing.T) {
	x := testOpen(t, t.TempDir())
	m := chunks(rand.New(rand.NewPCG(3, 3)), 20000)
	testAdd(t, x, "a", m)
	s := x.segments[0]
	if s.unmap == nil {
		t.Skip("nothing is mapped here anyway")
	}
	if err := s.unmap(); err != nil {
		t.Fatal(err)
	}
	s.filter, s.unmap = nil, nil
	expect(t, x, m)
}

// TestUneven has a history no two segments of which are of a size, the worst
// for merging: the number of segments stays bounded all the same.
func TestUneven(t *testing.T) {
	dir := t.TempDir()
	x := testOpen(t, dir)
	r := rand.New(rand.NewPCG(5, 4))
	var m model
	for i := range 2 * maxSegments {
		m = append(m, commit{fmt.Sprint(i), chunks(r, 10000>>min(i, 13))})
		testAdd(t, x, m[i].tag, m[i].chunks)
		checkShape(t, x, dir, m)
	}
	expect(t, x, m.all())
}

func TestNoAllocation(t *testing.T) {
	x := testOpen(t, t.TempDir())
	m := chunks(rand.New(rand.NewPCG(4, 4)), 1000)
	testAdd(t, x, "a", m)
	var hit Key
	for hit = range m {
		break
	}
	// The race detector makes pools forget now and then, so some are allowed: less than one a lookup.
	if n := testing.AllocsPerRun(1000, func() { x.Lookup(hit); x.Has(hit); x.Has(Key{1, 2, 3}) }); n >= 3 {
		t.Errorf("%v allocations", n)
	}
}

// Where looks for a chunk in packs that are wanted, as long as segments keep it apart.
func TestWhere(t *testing.T) {
	x := testOpen(t, t.TempDir())
	defer x.Close()
	k := Key{7}
	at := func(pack byte) Loc { return Loc{Pack: [32]byte{pack}, Plain: 10, Length: 10} }
	testAdd(t, x, "older", map[Key]Loc{k: at(1)})
	testAdd(t, x, "newer", map[Key]Loc{k: at(2)})
	for wanted, want := range map[byte]byte{0: 2, 1: 1, 2: 2, 3: 0} {
		accept := func(name *[32]byte) bool { return name[0] == wanted }
		if wanted == 0 {
			accept = nil
		}
		if loc, ok := x.Where(k, accept); ok != (want > 0) || loc.Pack[0] != want {
			t.Errorf("wanted in pack %d: found in %d, %v", wanted, loc.Pack[0], ok)
		}
	}
}
