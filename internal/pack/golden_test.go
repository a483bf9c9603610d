package pack

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/cryptotest"

	"waybill/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what was written before:\n got %.2000s\nwant %.2000s", name, got, want)
	}
}

// The parts of a pack, each by itself, in hex.
func TestGoldenParts(t *testing.T) {
	var b strings.Builder
	line := func(what string, v []byte) { fmt.Fprintf(&b, "%s\t%x\n", what, v) }
	key := [32]byte([]byte("the key of one pack, 32 bytes...")) // FORMAT.md calls it P
	for _, class := range both {
		h := header(class)
		line("header "+string(class), h[:])
	}
	derived := tableKey(key)
	line("table key", derived[:])
	id := NewHasher(dedupeKey).Sum([]byte("a chunk"))
	line("chunk id", id[:])

	h := header(manifest.Data)
	for _, i := range []uint32{0, 1, 258, maxFrames - 1} {
		nonce, aad := place(h, i)
		line(fmt.Sprintf("frame %d", i), newAEAD(key).Seal(nil, nonce[:], []byte("plain or compressed"), aad[:]))
	}
	var table Table
	table.add(100+tagSize, 300, methodZstd, []Chunk{{Prefix: [16]byte{0: 1, 15: 16}, Length: 299}, {Prefix: [16]byte{0: 2}, Start: 299, Length: 1}})
	table.add(70_000+tagSize, 70_000, methodStored, []Chunk{{Prefix: [16]byte{0: 3}, Length: 70_000}})
	line("table", table.encode(2))
	line("table, sealed", newAEAD(derived).Seal(nil, tableNonce[:], table.encode(2), h[:]))
	line("empty table", new(Table).encode(0))
	line("trailer", trailer{table: 0x0203_0405, tableLen: 0x506, wrapR: 200, wrapM: 201}.encode())
	golden(t, "parts.golden", []byte(b.String()))
}

// goldenPack writes a pack with deterministic randomness, of chunks that do not depend on a compressor's version.
func goldenPack(t *testing.T, class manifest.Class) []byte {
	cryptotest.SetGlobalRandom(t, 1)
	b, _ := store1(t, class, func(s *Stream) {
		for _, c := range goldenChunks() {
			if _, _, err := s.Add(c); err != nil {
				t.Fatal(err)
			}
		}
	})
	return b
}

func goldenChunks() [][]byte { return [][]byte{noise(1, 3000), {7}, noise(2, 20_000), noise(3, 100)} }

// A whole pack of each class, byte for byte.
func TestGoldenPack(t *testing.T) {
	for _, class := range both {
		b := goldenPack(t, class)
		golden(t, string(class)+".pack", b)
		checkGolden(t, class, b, goldenChunks())
	}
}

// A pack with a compressed frame is only read: other versions of the compressor may write it otherwise.
func TestGoldenCompressedPack(t *testing.T) {
	const name = "testdata/compressed.pack"
	chunks := [][]byte{bytes.Repeat([]byte("a compressed frame "), 1000), []byte("and its second chunk")}
	if *update {
		b, _ := store1(t, manifest.Data, func(s *Stream) {
			for _, c := range chunks {
				s.Add(c)
			}
		})
		if err := os.WriteFile(name, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 2000 {
		t.Errorf("%d bytes are not compressed", len(b))
	}
	checkGolden(t, manifest.Data, b, chunks)
}

func checkGolden(t *testing.T, class manifest.Class, b []byte, chunks [][]byte) {
	t.Helper()
	found, err := readPack(b, class, Keys{Recovery: recoveryKey})
	if err != nil || len(found) != len(chunks) {
		t.Fatalf("%s: %d chunks, %v", class, len(found), err)
	}
	h := NewHasher(dedupeKey)
	for i, c := range chunks {
		if id := h.Sum(c); !bytes.Equal(found[id.Prefix()], c) {
			t.Errorf("%s: chunk %d, %s, came back as %s", class, i, id, hex.EncodeToString(found[id.Prefix()]))
		}
	}
}
