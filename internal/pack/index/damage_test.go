package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// sample is the file of a small segment, and its chunks.
func sample(t testing.TB, n int) ([]byte, map[Key]Loc, footer) {
	t.Helper()
	dir := t.TempDir()
	x := testOpen(t, dir)
	m := chunks(rand.New(rand.NewPCG(5, 5)), n)
	testAdd(t, x, "a tag", m)
	b, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	return b, m, x.segments[0].footer
}

// place puts a segment's bytes in a directory of its own.
func place(t testing.TB, b []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(1, 1)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDamagedFrame is about the checked parts: any change there drops the segment.
func TestDamagedFrame(t *testing.T) {
	b, _, f := sample(t, 300)
	checked := func(i int) bool { return i < headerSize || int64(i) >= f.tagsAt() }
	for i := range b {
		if !checked(i) {
			continue
		}
		c := bytes.Clone(b)
		c[i] ^= 1 << (i % 8)
		expectDropped(t, fmt.Sprintf("bit flipped at %d", i), c)
	}
	for _, n := range []int{0, 1, headerSize, len(b) / 2, len(b) - footerSize, len(b) - 1} {
		expectDropped(t, fmt.Sprintf("cut to %d", n), b[:n])
	}
	expectDropped(t, "a byte more", append(bytes.Clone(b), 0))
	expectDropped(t, "zeros", make([]byte, len(b)))
	expectDropped(t, "a byte less inside", append(bytes.Clone(b[:1000]), b[1001:]...))
}

func expectDropped(t *testing.T, what string, b []byte) {
	t.Helper()
	dir := place(t, b)
	x := testOpen(t, dir)
	if n, _, _ := x.Stats(); n != 0 || x.Covers("a tag") || len(files(t, dir)) != 0 {
		t.Errorf("%s: the segment is still there", what)
	}
	x.Close()
}

// TestDamagedRows flips bits in frames, filter and entries: other chunks are
// found as before, and nothing is found that was never there.
func TestDamagedRows(t *testing.T) {
	b, m, f := sample(t, 300)
	r := rand.New(rand.NewPCG(6, 6))
	for i := headerSize; i < int(f.tagsAt()); i += 1 + r.IntN(60) {
		c := bytes.Clone(b)
		c[i] ^= 1 << r.IntN(8)
		x := testOpen(t, place(t, c))
		found := 0
		for k, want := range m {
			got, ok := x.Lookup(k)
			if ok && !x.Has(k) {
				t.Fatalf("byte %d: found but not had", i)
			}
			if ok && got == want {
				found++
			}
		}
		if found < len(m)/2 {
			t.Errorf("byte %d: only %d of %d found", i, found, len(m))
		}
		if x.Has(randomKey(r)) {
			t.Errorf("byte %d: a chunk that never was", i)
		}
		x.Close()
	}
}

// TestMergeDropsDamage: frames and entries are checked when they are merged.
func TestMergeDropsDamage(t *testing.T) {
	b, _, f := sample(t, 300)
	for name, at := range map[string]int64{"frames": headerSize + 5, "entries": f.entriesAt() + 1000} {
		t.Run(name, func(t *testing.T) {
			c := bytes.Clone(b)
			c[at] ^= 4
			dir := place(t, c)
			x := testOpen(t, dir)
			r := rand.New(rand.NewPCG(7, 7))
			var m model
			for i := range 5 {
				m = append(m, commit{fmt.Sprint(i), chunks(r, 300)})
				testAdd(t, x, m[i].tag, m[i].chunks)
			}
			expect(t, x, m.all())
			checkShape(t, x, dir, m) // without "a tag"
		})
	}
}

// TestMergeDropsUnreadable: a segment cut short since it was opened doesn't
// keep others from being added and merged.
func TestMergeDropsUnreadable(t *testing.T) {
	b, _, f := sample(t, 300)
	dir := place(t, b)
	x := testOpen(t, dir)
	if err := os.Truncate(files(t, dir)[0], f.entriesAt()); err != nil {
		t.Skip("an open file can't be cut here:", err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	var m model
	for i := range 5 {
		m = append(m, commit{fmt.Sprint(i), chunks(r, 300)})
		testAdd(t, x, m[i].tag, m[i].chunks)
	}
	expect(t, x, m.all())
	checkShape(t, x, dir, m)
}

// TestInterrupted: what a merge or an Add left behind when the machine stopped.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	x := testOpen(t, dir)
	r := rand.New(rand.NewPCG(8, 8))
	var m model
	old := map[string][]byte{}
	for i := range fanIn {
		for _, f := range files(t, dir) {
			old[f], _ = os.ReadFile(f)
		}
		m = append(m, commit{fmt.Sprint(i), chunks(r, 100)})
		testAdd(t, x, m[i].tag, m[i].chunks)
	}
	x.Close()
	if n, _, _ := testOpen(t, dir).Stats(); n != 1 {
		t.Fatalf("%d segments, want 1: nothing was merged", n)
	}
	for f, b := range old {
		os.WriteFile(f, b, 0o600)
	}
	os.WriteFile(filepath.Join(dir, "tmp-123"), []byte("half a segment"), 0o600)
	x = testOpen(t, dir)
	m = append(m, commit{"next", chunks(r, 3)})
	testAdd(t, x, "next", m[len(m)-1].chunks)
	checkShape(t, x, dir, m)
	expect(t, x, m.all())
}

// TestCutWhileOpen cuts a mapped file: lookups miss, the program lives.
func TestCutWhileOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows doesn't cut a mapped file")
	}
	dir := t.TempDir()
	x := testOpen(t, dir)
	m := chunks(rand.New(rand.NewPCG(9, 9)), 50000)
	testAdd(t, x, "a", m)
	if err := os.Truncate(files(t, dir)[0], headerSize); err != nil {
		t.Fatal(err)
	}
	for k := range m {
		if _, ok := x.Lookup(k); ok {
			t.Fatal("found in a file that is gone")
		}
		if x.Has(k) {
			t.Fatal("had in a file that is gone")
		}
	}
	testAdd(t, x, "b", m)
	expect(t, x, m)
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"README", "1-2.seg", "000000000002-000000000001.seg", "x.seg"} {
		os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600)
	}
	os.Mkdir(filepath.Join(dir, segmentName(4, 4)), 0o700)
	x := testOpen(t, dir)
	if n, _, _ := x.Stats(); n != 0 || len(files(t, dir)) != 5 {
		t.Errorf("%d segments; files %v", n, files(t, dir))
	}
}

// FuzzOpen opens, asks and merges any segment. Run it with -fuzzminimizetime=10x:
// maps and pools make its coverage vary, and the fuzzer would minimize for minutes.
func FuzzOpen(f *testing.F) {
	b, m, _ := sample(f, 60)
	f.Add(b)
	empty, _, _ := sample(f, 0)
	f.Add(empty)
	var known Key
	for known = range m {
		break
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// With a checksum that fits, so that the fuzzer gets past it.
		for _, b := range [][]byte{b, resealed(b)} {
			x := testOpen(t, place(t, b))
			if loc, ok := x.Lookup(known); ok && !loc.valid() {
				t.Errorf("found at an impossible place: %+v", loc)
			}
			for i := 0; i+16 <= len(b); i += 7 {
				x.Lookup(Key(b[i : i+16]))
				x.Has(Key(b[i : i+16]))
			}
			for i := range fanIn {
				testAdd(t, x, fmt.Sprint(i), m)
			}
			x.Close()
		}
	})
}

// resealed is b with the header and checksum made right.
func resealed(b []byte) []byte {
	if len(b) < headerSize+footerSize {
		return b
	}
	b = bytes.Clone(b)
	copy(b, header())
	foot := parseFooter(b[len(b)-footerSize:])
	if foot.plausible() && foot.size() == int64(len(b)) {
		copy(b[len(b)-footerSize:], foot.encode(b[foot.tagsAt():len(b)-footerSize]))
	}
	return b
}
