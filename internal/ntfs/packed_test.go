package ntfs

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "make what is in testdata anew, by wimcapture")

// packable is data of all kinds: text, something like programs with calls, what can't be compressed, and zeros.
func packable() []byte {
	r := rand.New(rand.NewPCG(7, 8))
	var b bytes.Buffer
	for b.Len() < 100000 {
		fmt.Fprintf(&b, "line %d has %d words\n", r.IntN(5000), r.IntN(30))
	}
	for b.Len() < 180000 {
		b.Write([]byte{0x48, 0x89, byte(0xc0 | r.IntN(64)), 0xe8})
		target := int32(r.IntN(4000000) - b.Len())
		if r.IntN(3) == 0 {
			target = int32(r.IntN(2000) * 1000)
		}
		binary.Write(&b, binary.LittleEndian, target)
		b.Write([]byte{0x85, 0xc0, 0x74, byte(r.IntN(20))})
	}
	for b.Len() < 220000 {
		b.WriteByte(byte(r.Uint32()))
	}
	b.Write(make([]byte, 50000))
	for b.Len() < 270000+70000 {
		b.Write([]byte("abcabcabdabcabe")[:3+r.IntN(12)])
		b.WriteByte(byte(r.IntN(3)))
	}
	b.WriteString("the end\xe8\x01\x02\x03\x04")
	return b.Bytes()
}

// wim has wimcapture compress data, and takes what came of it out of its archive: the same as Windows keeps in a stream.
func wim(t *testing.T, data []byte, algorithm string, chunk int) []byte {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tree", "file"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("wimcapture", filepath.Join(dir, "tree"), filepath.Join(dir, "wim"), "--compress="+algorithm, fmt.Sprintf("--chunk-size=%d", chunk)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "wim"))
	if err != nil {
		t.Fatal(err)
	}
	resource := func(b []byte) (size, at, plain uint64) { return u64(b, 0) & (1<<56 - 1), u64(b, 8), u64(b, 16) }
	size, at, _ := resource(b[0x30:])
	for table := b[at : at+size]; len(table) >= 50; table = table[50:] {
		if size, at, plain := resource(table); plain == uint64(len(data)) {
			return b[at : at+size]
		}
	}
	t.Fatal("it isn't in the archive")
	return nil
}

var packings = []struct {
	name, algorithm string
	chunk           int64
}{{"xpress4k", "xpress", 4 << 10}, {"lzx", "lzx", 32 << 10}, {"xpress8k", "xpress", 8 << 10}, {"xpress16k", "xpress", 16 << 10}}

func TestPacked(t *testing.T) {
	data := packable()
	for _, test := range packings {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join("testdata", test.name)
			if *update {
				if err := os.WriteFile(name, wim(t, data, test.algorithm, int(test.chunk)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			p := unpacker(raw, int64(len(data)), test.chunk, test.algorithm == "lzx")
			got, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, not %d, %v; the first %d are the same", len(got), len(data), err, same(got, data))
			}
			some := make([]byte, 50000)
			if n, err := p.ReadAt(some, 133); n != len(some) || err != nil || !bytes.Equal(some, data[133:50133]) {
				t.Error(n, err)
			}
		})
	}
}

func same(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func unpacker(raw []byte, size, chunk int64, lzx bool) *packed {
	return &packed{raw: &Stream{resident: raw, size: int64(len(raw)), valid: int64(len(raw))}, place: "test", size: size, chunk: chunk, lzx: lzx,
		entry: 4, starts: (size - 1) / chunk * 4}
}

// FuzzUnpack decompresses what makes no sense, by all that decompress.
func FuzzUnpack(f *testing.F) {
	for _, test := range packings {
		b, err := os.ReadFile(filepath.Join("testdata", test.name))
		if err != nil {
			f.Fatal(err)
		}
		at := (int64(len(packable())) - 1) / test.chunk * 4
		f.Add(b[at:min(at+6000, int64(len(b)))])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		to := make([]byte, 1<<15)
		unpackXpress(to, b)
		unpackLZX(to, b)
		unpackLZNT1(to, b)
	})
}
