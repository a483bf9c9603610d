package pack

import (
	"bytes"
	"errors"
	"testing"

	"waybill/manifest"
)

// Whatever byte of a pack is flipped, cut off or added: the reader says so, or has the right bytes.
func TestDamage(t *testing.T) {
	for _, class := range both {
		whole := goldenPack(t, class)
		want, err := readPack(whole, class, Keys{Recovery: recoveryKey})
		if err != nil {
			t.Fatal(err)
		}
		for name, keys := range map[string]Keys{"recovery": {Recovery: recoveryKey}, "machine": {Machine: machineKey}, "both": {recoveryKey, machineKey}, "none": {}} {
			check := func(what string, at int, b []byte) {
				t.Helper()
				got, err := readPack(b, class, keys)
				if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrKey) {
					t.Errorf("%s pack, %s key, %s %d: %v", class, name, what, at, err)
				}
				if err == nil && !sameChunks(got, want) {
					t.Errorf("%s pack, %s key, %s %d: other chunks, and no error", class, name, what, at)
				}
				if err == nil && !unread(whole, at, keys) {
					t.Errorf("%s pack, %s key, %s %d: not noticed", class, name, what, at)
				}
			}
			for i := range whole {
				tail := len(whole) - 1200
				if i > 64 && i < tail && i%97 != 0 || i > tail && i%3 != 0 && i < len(whole)-trailerSize { // frames and wraps: a sample
					continue
				}
				b := bytes.Clone(whole)
				b[i] ^= 1 << (i % 8)
				check("flipped byte", i, b)
			}
			for _, n := range []int{0, 1, 15, 16, 17, 47, 48, 49, 1000, len(whole) - 33, len(whole) - 32, len(whole) - 1} {
				check("cut at", n, whole[:n])
				check("front cut at", n, whole[len(whole)-n:])
			}
			for _, n := range []int{1, 16, 32, 5000} {
				check("extended by", len(whole)+n, append(bytes.Clone(whole), make([]byte, n)...))
				check("extended in front by", len(whole)+n, append(make([]byte, n), whole...))
			}
		}
	}
}

// unread tells whether the byte at i lies in a wrap that a reader with these keys has no need of.
func unread(b []byte, i int, keys Keys) bool {
	t, err := parseTrailer(b[len(b)-trailerSize:], int64(len(b)))
	if err != nil {
		panic(err)
	}
	wrapR := t.table + t.tableLen
	wrapM := wrapR + t.wrapR
	end := wrapM + t.wrapM
	return keys.Recovery != nil && int64(i) >= wrapM && int64(i) < end || int64(i) >= wrapR && int64(i) < wrapM && keys.Machine != nil
}

func sameChunks(a, b map[[16]byte][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if !bytes.Equal(a[k], b[k]) {
			return false
		}
	}
	return true
}

// Parts of one pack do not pass in the place of another's, nor frames in another order.
func TestSwappedParts(t *testing.T) {
	data, cata := goldenPack(t, manifest.Data), goldenPack(t, manifest.Catalogue) // the same keys: the randomness is
	for i := range headerSize {
		if data[i] != cata[i] && i != 13 {
			t.Fatal("headers differ in more than the class")
		}
	}
	b := bytes.Clone(data)
	b[13] = cata[13]
	for _, class := range both {
		if _, err := readPack(b, class, Keys{Recovery: recoveryKey}); !errors.Is(err, ErrDamaged) {
			t.Errorf("a pack under another class, taken for %s: %v", class, err)
		}
		if _, err := readPack(data, class, Keys{Recovery: recoveryKey}); (class == manifest.Data) != (err == nil) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("a data pack taken for %s: %v", class, err)
		}
	}

	// Two frames of the same length exchanged.
	two, table := store1(t, manifest.Data, func(s *Stream) {
		for i := range 2 {
			s.Add(noise(uint64(i), 5000))
			s.Flush()
		}
	})
	var frames []Frame
	for f := range table.All() {
		frames = append(frames, f)
	}
	x, y := frames[0], frames[1]
	if len(frames) != 2 || x.Sealed != y.Sealed {
		t.Fatalf("frames %v", frames)
	}
	swapped := bytes.Clone(two)
	copy(swapped[x.Offset:], two[y.Offset:][:y.Sealed])
	copy(swapped[y.Offset:], two[x.Offset:][:x.Sealed])
	if _, err := readPack(two, manifest.Data, Keys{Recovery: recoveryKey}); err != nil {
		t.Error(err)
	}
	if _, err := readPack(swapped, manifest.Data, Keys{Recovery: recoveryKey}); !errors.Is(err, ErrDamaged) {
		t.Errorf("frames exchanged: %v", err)
	}
}
