package pack

import (
	"context"
	"math/rand/v2"
	"testing"

	"filippo.io/age"

	"waybill/manifest"
)

// A meter's sum is the size of the pack that a writer makes of the same frames.
func TestMeter(t *testing.T) {
	noise := make([]byte, dataFrame)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	text := make([]byte, dataFrame)
	for i := range text {
		text[i] = "a few words, again and again"[(i+i/70000+i/999)%28]
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(context.Background(), Config{Recovery: identity.Recipient(), Machine: identity.Recipient(), Level: Fastest, Workers: 1,
		Create: func(manifest.Class) (Target, error) { return discard{}, nil }})
	s, m := w.Stream(manifest.Data), NewMeter(Auto)
	want := int64(PackOverhead)
	for _, plain := range [][]byte{noise, text} {
		var chunks []Chunk
		for at := 0; at < len(plain); at += 64 << 10 {
			if _, _, err := s.Add(plain[at:][:64<<10]); err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, Chunk{Start: uint32(at), Length: 64 << 10})
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		n, err := m.Frame(plain, chunks)
		if err != nil {
			t.Fatal(err)
		}
		want += n
	}
	packs, err := w.Flush()
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := packs[0].Size; got < want-64 || got > want+64 {
		t.Errorf("a pack of %d bytes, measured %d", got, want)
	}
	if n, err := m.Frame(nil, nil); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// discard is a target that keeps nothing.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Commit(manifest.Pack) error  { return nil }
func (discard) Abort()                      {}
