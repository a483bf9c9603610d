package cut

import (
	"bytes"
	"testing"
)

// The vector code and the plain code must see the same marks.
func TestSkimIsWalk(t *testing.T) {
	data := append(inputs(64<<10), input{"few bits", fewBits(64 << 10)}, input{"counter", counter(64 << 10)})
	for _, in := range data {
		t.Run(in.name, func(t *testing.T) {
			for key := range byte(8) {
				f := newCutter(t, key, Params{}).marks
				sameMarks(t, f, in.data)
				for n := range 120 { // every length and alignment around a block
					sameMarks(t, f, in.data[n%37:n%37+n])
				}
			}
		})
	}
}

func sameMarks(t *testing.T, f filter, b []byte) {
	t.Helper()
	for at := 0; ; {
		want, got := f.walk(b[at:], 0), f.next(b[at:])
		if got != want {
			t.Fatalf("mark after %d of %d: %d, want %d", at, len(b), got, want)
		}
		if want < 0 {
			return
		}
		at += want + 1
	}
}

func TestMarksAreRare(t *testing.T) {
	const n = 8 << 20
	for _, in := range inputs(n)[:2] {
		if got := count(newCutter(t, 1, Params{}).marks, in.data); got < n/1024*3/4 || got > n/1024*5/4 {
			t.Errorf("%s: %d marks, expected about %d", in.name, got, n/1024)
		}
	}
}

func TestShortPeriodsHaveNoMarks(t *testing.T) {
	for key := range byte(20) {
		f := newCutter(t, key, Params{}).marks
		for _, period := range []string{"\x00", "\xff", "ab", "wxyz"} {
			if n := count(f, bytes.Repeat([]byte(period), 1000)); n > 0 {
				t.Errorf("key %d: %d marks in repeated %q", key, n, period)
			}
		}
	}
}

func count(f filter, b []byte) (n int) {
	for at := 0; ; n++ {
		i := f.next(b[at:])
		if i < 0 {
			return n
		}
		at += i + 1
	}
}

func FuzzSkim(f *testing.F) {
	marks := newCutter(f, 1, Params{}).marks
	f.Add(noise(300, 1))
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		sameMarks(t, marks, b)
		sameMarks(t, marks, bytes.Repeat(b, 9))
	})
}

// Test vectors of SipHash-2-4 for the key 00 01 .. 0f and the input 00 01 02 ...
func TestSipHash(t *testing.T) {
	key := [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	var in [64]byte
	for i := range in {
		in[i] = byte(i)
	}
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 8: 0x93f5f5799a932462, 64: 0xacd2c40b8502cad8} {
		if got := siphash(key, in[:n]); got != want {
			t.Errorf("of %d bytes: %#x, want %#x", n, got, want)
		}
	}
}

func fewBits(n int) []byte {
	b := noise(n, 1)
	for i := range b {
		b[i] &= 1
	}
	return b
}

func counter(n int) (b []byte) {
	for i := 0; len(b) < n; i++ {
		b = append(b, byte(i), byte(i>>8), byte(i>>16), 0)
	}
	return b
}
