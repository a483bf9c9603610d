package pack

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"waybill/manifest"
)

func FuzzParseTable(f *testing.F) {
	var table Table
	table.add(100+tagSize, 300, methodZstd, []Chunk{{Length: 299}, {Start: 299, Length: 1}})
	table.add(70_000+tagSize, 70_000, methodStored, []Chunk{{Length: 70_000}})
	f.Add(table.encode(2), int64(headerSize+70_100+2*tagSize))
	f.Add(new(Table).encode(0), int64(headerSize))
	f.Add([]byte{0xff, 0xff, 3}, int64(16))
	f.Add([]byte{1, 16, 0, 0, 0}, int64(32))
	f.Fuzz(func(t *testing.T, b []byte, end int64) {
		table, err := parseTable(b, end)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		// What is accepted reads to its end, lies where it must, and has one form.
		var again Table
		off, n := int64(headerSize), uint32(0)
		for f, chunks := range table.All() {
			sum := uint32(0)
			for _, c := range chunks {
				if c.Start != sum || c.Length == 0 {
					t.Fatalf("frame %d: a chunk of %d bytes at %d, not %d", n, c.Length, c.Start, sum)
				}
				sum += c.Length
			}
			if f.Number != n || int64(f.Offset) != off || f.Plain != sum || f.Plain > maxPlain || f.Sealed > maxSealed {
				t.Fatalf("frame %d: %+v", n, f)
			}
			again.add(int(f.Sealed), int(f.Plain), f.Method, chunks)
			off += int64(f.Sealed)
			n++
		}
		if off != end || !bytes.Equal(again.encode(n), b) {
			t.Errorf("%d frames to %d; it has another form too", n, off)
		}
	})
}

func FuzzParseTrailer(f *testing.F) {
	good := trailer{table: 1000, tableLen: 100, wrapR: 200, wrapM: 201}
	f.Add(good.encode(), int64(1000+100+200+201+trailerSize))
	f.Add(make([]byte, trailerSize), int64(100))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) != trailerSize {
			return
		}
		got, err := parseTrailer(b, size)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if !bytes.Equal(got.encode(), b) || got.tableLen > maxTable+tagSize || got.wrapR > maxWrap || got.wrapM > maxWrap || got.table > size {
			t.Errorf("%+v", got)
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, class := range both {
		b, err := os.ReadFile("testdata/" + string(class) + ".pack")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[len(b)-1000:])
	}
	f.Add([]byte(magicHead))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, keys := range []Keys{{}, {Recovery: recoveryKey}, {Machine: machineKey}} {
			for _, class := range both {
				if _, err := readPack(b, class, keys); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrKey) {
					t.Error(err)
				}
			}
		}
	})
}

// Frames are decompressed only behind their seal, but a machine may be made to seal anything.
func FuzzDecompress(f *testing.F) {
	c := newCodec()
	stored, _, _ := compress(c, bytes.Repeat([]byte("text "), 1000), Fastest)
	f.Add(bytes.Clone(stored), uint32(5000), uint8(methodZstd))
	f.Add([]byte("stored"), uint32(6), uint8(methodStored))
	f.Fuzz(func(t *testing.T, b []byte, plain uint32, method uint8) {
		if plain > maxPlain || method > methodZstd {
			return
		}
		out, err := c.decompress(make([]byte, 0, plain), b, Frame{Plain: plain, Method: method})
		if err == nil && len(out) != int(plain) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes of %d, %v", len(out), plain, err)
		}
	})
}

func FuzzParseHeader(f *testing.F) {
	for _, class := range both {
		h := header(class)
		f.Add(h[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != headerSize {
			return
		}
		class, err := parseHeader(b)
		if h := header(class); err == nil && (!bytes.Equal(b, h[:]) || class != manifest.Data && class != manifest.Catalogue) {
			t.Errorf("%q is of class %s", b, class)
		}
	})
}
