package cut

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden vectors")

// The golden vectors freeze every cut: existing backups find their chunks again
// only if they pass unchanged.
func TestGolden(t *testing.T) {
	var got strings.Builder
	for _, in := range inputs(2 << 20) {
		for _, p := range []Params{{}, {Mean: 8 << 10}, {Min: 40 << 10, Mean: 100 << 10}} {
			c := newCutter(t, 1, p)
			fmt.Fprintf(&got, "%s sha256 %x %+v\n", in.name, sha256.Sum256(in.data), c.Params())
			for _, n := range lengths(c, in.data) {
				fmt.Fprintln(&got, n)
			}
		}
	}
	name := filepath.Join("testdata", "cuts.golden")
	if *update {
		if err := os.WriteFile(name, []byte(got.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("cuts moved: what %s says is frozen", name)
	}
}

// The rule as FORMAT.md says it, one place after the other.
func TestNextIsTheRule(t *testing.T) {
	c := newCutter(t, 1, Params{Mean: 8 << 10})
	rule := func(b []byte) int {
		p, r := c.Params(), len(b)
		from, to := p.Min, p.Max
		if r < p.Max {
			from, to = p.Min, r-p.Min
		}
		length, least := min(r, p.Max), ^uint64(0)
		for n := from; n <= to; n++ {
			if !c.marks.marked(b[n-narrow : n]) {
				continue
			}
			if w := siphash(c.scale, b[n-window:n]); w <= least {
				length, least = n, w
			}
		}
		return length
	}
	for _, in := range inputs(256<<10 + 777) {
		for b := in.data; len(b) > 0; {
			want := rule(b)
			if got := c.Next(b, true); got != want {
				t.Fatalf("%s: %d bytes before its end: chunk of %d, want %d", in.name, len(b), got, want)
			}
			b = b[want:]
		}
	}
}

func TestBounds(t *testing.T) {
	for _, in := range inputs(4<<20 + 12345) {
		t.Run(in.name, func(t *testing.T) {
			c := newCutter(t, 2, Params{})
			p, sum := c.Params(), 0
			all := lengths(c, in.data)
			for i, n := range all {
				sum += n
				if n > p.Max || n < p.Min && i < len(all)-1 {
					t.Errorf("chunk %d of %d has %d bytes", i, len(all), n)
				}
			}
			if sum != len(in.data) {
				t.Errorf("chunks hold %d bytes of %d", sum, len(in.data))
			}
		})
	}
}

// Content of less than Max bytes has no chunk shorter than Min, unless it is shorter.
func TestNoScraps(t *testing.T) {
	c := newCutter(t, 2, Params{})
	for n := 32 << 10; n < 96<<10; n += 999 {
		for i, length := range lengths(c, text(n)) {
			if length < 32<<10 {
				t.Errorf("chunk %d of %d bytes has %d", i, n, length)
			}
		}
	}
}

func TestMean(t *testing.T) {
	data := noise(32<<20, 3)
	for _, mean := range []int{16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10} {
		got := len(data) / len(lengths(newCutter(t, 3, Params{Mean: mean}), data))
		if got < mean*9/10 || got > mean*11/10 {
			t.Errorf("mean %d: chunks of %d bytes", mean, got)
		}
	}
}

func TestFedInPieces(t *testing.T) {
	for _, in := range inputs(1 << 20) {
		t.Run(in.name, func(t *testing.T) {
			c := newCutter(t, 4, Params{})
			for b := in.data; len(b) > 0; {
				want := c.Next(b, true)
				if got := nextInPieces(c, b, 4099); got != want {
					t.Fatalf("chunk at %d: %d bytes in pieces, %d at once", len(in.data)-len(b), got, want)
				}
				b = b[want:]
			}
		})
	}
}

func nextInPieces(c *Cutter, b []byte, step int) int {
	for have := 0; ; have += step {
		if have >= len(b) {
			return c.Next(b, true)
		}
		if n := c.Next(b[:have], false); n > 0 {
			return n
		}
	}
}

func TestShort(t *testing.T) {
	c := newCutter(t, 5, Params{})
	for _, n := range []int{0, 1, window, 32<<10 - 1, 32 << 10, 64<<10 - 1} {
		if got := c.Next(noise(n, 5), true); got != n {
			t.Errorf("last %d bytes: chunk of %d", n, got)
		}
	}
	for _, n := range []int{0, 1, 64 << 10, 96<<10 - 1} {
		if got := c.Next(noise(n, 5), false); got != 0 {
			t.Errorf("first %d bytes: chunk of %d before more is known", n, got)
		}
	}
	for _, last := range []bool{false, true} {
		if got := c.Next(make([]byte, 96<<10), last); got != 96<<10 {
			t.Errorf("96 KiB of zeros: chunk of %d", got)
		}
	}
}

// What follows Max bytes must not matter, not even whether anything does.
func TestLooksNoFurtherThanMax(t *testing.T) {
	c := newCutter(t, 5, Params{})
	for seed := range byte(20) {
		b := noise(128<<10, seed)
		want := c.Next(b[:96<<10], false)
		if got := c.Next(b, true); got != want {
			t.Errorf("%d from Max bytes, %d from more", want, got)
		}
		if got := c.Next(b[:96<<10], true); got != want {
			t.Errorf("%d amid content, %d at its end", want, got)
		}
	}
}

func TestKeyDecides(t *testing.T) {
	data := noise(8<<20, 6)
	a, b := ends(newCutter(t, 6, Params{}), data), ends(newCutter(t, 7, Params{}), data)
	if n := common(a, b); n > 3 { // its end, and chance
		t.Errorf("two keys share %d of %d cuts", n, len(a))
	}
}

func TestFindsItsCutsAgain(t *testing.T) {
	for _, in := range inputs(8 << 20)[:2] {
		t.Run(in.name, func(t *testing.T) {
			c := newCutter(t, 8, Params{})
			at := len(in.data) / 3
			edited := bytes.Join([][]byte{in.data[:at], []byte("seventeen letters"), in.data[at:]}, nil)
			before, after := map[int]bool{}, ends(c, edited)
			for end := range ends(c, in.data) {
				if end > at {
					end += len(edited) - len(in.data)
				}
				before[end] = true
			}
			if n := common(before, after); n < len(before)-8 {
				t.Errorf("%d of %d cuts found again after an insertion", n, len(before))
			}
		})
	}
}

func TestRefusesParams(t *testing.T) {
	for _, p := range []Params{
		{Min: 63}, {Min: -1}, {Mean: -1}, {Mean: 2 << 10}, {Mean: 64<<10 + 1, Min: 64 << 10},
		{Max: 1<<20 + 1}, {Mean: 1 << 20}, {Min: 64 << 10}, {Max: 64 << 10}, {Max: -1},
		{Min: 16 << 10, Mean: 64 << 10, Max: 256 << 10},
	} {
		if _, err := New([32]byte{}, p); err == nil {
			t.Errorf("%+v accepted", p)
		}
	}
}

func FuzzNext(f *testing.F) {
	for _, in := range inputs(64 << 10) {
		f.Add(in.data, uint16(1000))
	}
	c := newCutter(f, 9, Params{Mean: 4 << 10})
	f.Fuzz(func(t *testing.T, b []byte, step uint16) {
		n := c.Next(b, true)
		if n < min(len(b), 2<<10) || n > min(len(b), 6<<10) {
			t.Fatalf("chunk of %d from %d bytes", n, len(b))
		}
		if got := nextInPieces(c, b, 1+int(step)); got != n {
			t.Fatalf("chunk of %d in pieces, %d at once", got, n)
		}
	})
}

func BenchmarkCut(b *testing.B) {
	c := newCutter(b, 1, Params{})
	for _, in := range inputs(32 << 20) {
		b.Run(in.name, func(b *testing.B) {
			b.SetBytes(int64(len(in.data)))
			for b.Loop() {
				lengths(c, in.data)
			}
		})
	}
}

type input struct {
	name string
	data []byte
}

// inputs are data of n bytes that files are made of, the same in every run.
func inputs(n int) []input {
	return []input{
		{"noise", noise(n, 11)},
		{"text", text(n)},
		{"zeros", make([]byte, n)},
		{"ones", bytes.Repeat([]byte{0xff}, n)},
		{"lines", bytes.Repeat([]byte("the same line over and over again\n"), n/34+1)[:n]},
	}
}

func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// text is made of few words, as logs and source code are.
func text(n int) []byte {
	words := strings.Fields("for if return err nil func the a of file and chunk pack error := == != { } ( ) [] // var type struct")
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(" \n\t "[r.IntN(4)])
	}
	return b.Bytes()[:n]
}

func newCutter(t testing.TB, key byte, p Params) *Cutter {
	c, err := New([32]byte{key}, p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func lengths(c *Cutter, b []byte) (all []int) {
	for len(b) > 0 {
		n := c.Next(b, true)
		all = append(all, n)
		b = b[n:]
	}
	return all
}

func ends(c *Cutter, b []byte) map[int]bool {
	m, end := map[int]bool{}, 0
	for _, n := range lengths(c, b) {
		end += n
		m[end] = true
	}
	return m
}

func common(a, b map[int]bool) (n int) {
	for end := range a {
		if b[end] {
			n++
		}
	}
	return n
}
