package pack

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"waybill/manifest"
)

// store1 packs what add puts into one stream, and returns the one pack and its table.
func store1(t *testing.T, class manifest.Class, add func(*Stream)) ([]byte, *Table) {
	t.Helper()
	st := newStore(t)
	cfg := st.config()
	cfg.CataPack = 64 << 20
	w := NewWriter(t.Context(), cfg)
	stream := w.Stream(class)
	add(stream)
	if err := stream.Flush(); err != nil {
		t.Fatal(err)
	}
	done, err := w.Flush()
	if err != nil || len(done) != 1 {
		t.Fatalf("%d packs, %v", len(done), err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return st.packs[done[0].Name], done[0].Table
}

func TestReserveAndTake(t *testing.T) {
	var want [][]byte
	b, table := store1(t, manifest.Data, func(s *Stream) {
		take := func(b []byte, wantNew bool) {
			t.Helper()
			if _, isNew, err := s.Take(b); err != nil || isNew != wantNew {
				t.Errorf("new %v, %v", isNew, err)
			}
		}
		old := noise(1, 700)
		s.Add(old)
		want = append(want, old)

		// A known part in the middle leaves no gap: what follows moves up.
		space, _ := s.Reserve(3000)
		parts := [][]byte{noise(2, 1000), old, noise(3, 1000)}
		n := copy(space, slices.Concat(parts...))
		if n != 2700 || cap(space) != 3000 {
			t.Errorf("reserved %d bytes with capacity %d", len(space), cap(space))
		}
		take(space[:1000], true)
		take(space[1000:1700], false)
		take(space[1700:2700], true)
		want = append(want, parts[0], parts[2])

		// What isn't taken is dropped, in the middle too.
		space, _ = s.Reserve(500)
		copy(space, noise(4, 500))
		take(space[100:300], true)
		want = append(want, noise(4, 500)[100:300])
		space, _ = s.Reserve(500)
		copy(space, old)
		s.Reserve(10)
		last := noise(5, 10)
		s.Add(last)
		want = append(want, last)
	})
	for f, chunks := range table.All() {
		if f.Number != 0 || len(chunks) != len(want) {
			t.Fatalf("frame %d with %d chunks", f.Number, len(chunks))
		}
		start := uint32(0)
		for _, c := range chunks {
			if c.Start != start {
				t.Errorf("a chunk starts at %d, the one before ended at %d", c.Start, start)
			}
			start += c.Length
		}
	}
	found, err := readPack(b, manifest.Data, Keys{Recovery: recoveryKey})
	h := NewHasher(dedupeKey)
	for i, b := range want {
		if !bytes.Equal(found[h.Sum(b).Prefix()], b) {
			t.Errorf("chunk %d came back as something else, %v", i, err)
		}
	}
}

// More chunks than a frame may list go into several.
func TestTinyChunks(t *testing.T) {
	const n = 150_000
	b, table := store1(t, manifest.Data, func(s *Stream) {
		for i := range uint32(n) {
			if _, isNew, err := s.Add(binary.BigEndian.AppendUint32(nil, i)[1:]); err != nil || !isNew {
				t.Fatalf("chunk %d: new %v, %v", i, isNew, err)
			}
		}
		for i := range 256 {
			s.Add([]byte{byte(i)})
		}
	})
	total, frames := 0, 0
	for _, chunks := range table.All() {
		total += len(chunks)
		frames++
	}
	if total != n+256 || frames < 3 {
		t.Errorf("%d chunks in %d frames", total, frames)
	}
	found, err := readPack(b, manifest.Data, Keys{Recovery: recoveryKey})
	if err != nil || len(found) != n+256 {
		t.Errorf("%d chunks came back, %v", len(found), err)
	}
}

func TestTooManyTaken(t *testing.T) {
	w := NewWriter(t.Context(), newStore(t).config())
	defer w.Close()
	s := w.Stream(manifest.Data)
	space, err := s.Reserve(3 * (maxPerFrame + 1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxPerFrame + 1 {
		b := space[3*i : 3*i+3]
		b[0], b[1], b[2] = byte(i), byte(i>>8), byte(i>>16)
		if _, _, err = s.Take(b); err != nil && i < maxPerFrame {
			t.Fatal(err)
		}
	}
	if err == nil {
		t.Error("a frame takes more chunks than a reader accepts")
	}
}

func TestChunkSizes(t *testing.T) {
	for _, test := range []struct {
		class manifest.Class
		n     int
		ok    bool
	}{
		{manifest.Data, 0, false}, {manifest.Data, 1, true}, {manifest.Data, MaxDataChunk, true}, {manifest.Data, MaxDataChunk + 1, false},
		{manifest.Catalogue, 0, false}, {manifest.Catalogue, MaxDataChunk + 1, true},
		{manifest.Catalogue, MaxCatalogueChunk, true}, {manifest.Catalogue, MaxCatalogueChunk + 1, false},
	} {
		for _, fill := range []func(uint64, int) []byte{noise, func(_ uint64, n int) []byte { return bytes.Repeat([]byte("waybill "), n/8+1)[:n] }} {
			c := fill(1, test.n)
			var err error
			b, _ := store1(t, test.class, func(s *Stream) {
				s.Add([]byte("before"))
				_, _, err = s.Add(c)
				s.Add([]byte("behind"))
			})
			if (err == nil) != test.ok {
				t.Errorf("%s: adding %d bytes: %v", test.class, test.n, err)
			}
			found, rerr := readPack(b, test.class, Keys{Recovery: recoveryKey})
			if rerr != nil || test.ok && !bytes.Equal(found[NewHasher(dedupeKey).Sum(c).Prefix()], c) {
				t.Errorf("%s: %d bytes do not come back: %v", test.class, test.n, rerr)
			}
		}
	}
}

// Frames are as many as promised, whatever is added, and none stays large.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		gate := make(chan struct{})
		cfg := st.config()
		cfg.Workers, cfg.Producers = 1, 3
		cfg.Create = func(c manifest.Class) (Target, error) {
			<-gate
			return st.create(c)
		}
		w := NewWriter(t.Context(), cfg)
		stop := make(chan struct{})
		ended := make(chan error)
		for i := range 3 {
			go func() {
				s := w.Stream(manifest.Catalogue)
				for n := 0; ; n++ {
					select {
					case <-stop:
						ended <- s.Flush()
						return
					default:
						s.Add(noise(uint64(i<<16|n), 4<<20*(n%2)+100))
					}
				}
			}()
		}
		synctest.Wait() // the targets do not open, so the producers wait for frames
		c := w.classes[manifest.Catalogue]
		if cap(c.free) != 3+2*1+1 || len(c.free) != 0 {
			t.Errorf("%d of %d frames are free", len(c.free), cap(c.free))
		}
		close(stop)
		close(gate)
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if _, err := w.Flush(); err != nil {
			t.Error(err)
		}
		if len(c.free) != cap(c.free) {
			t.Errorf("%d of %d frames are free at the end", len(c.free), cap(c.free))
		}
		for range cap(c.free) {
			if f := <-c.free; f != nil && cap(f.plain) > c.target+slack {
				t.Errorf("a frame of %d bytes is kept", cap(f.plain))
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Streams that end without a chunk take no frame with them: there are as many streams as one likes, one after the other.
func TestFlushedStreamsHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := newStore(t).config()
		cfg.Workers, cfg.Producers = 1, 1
		w := NewWriter(t.Context(), cfg)
		for range 10 {
			s := w.Stream(manifest.Data)
			space, err := s.Reserve(100)
			if err != nil {
				t.Fatal(err)
			}
			s.Take(space[:copy(space, "always the same")])
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
	})
}

func TestPackSizes(t *testing.T) {
	st := newStore(t)
	cfg := st.config()
	cfg.Workers, cfg.DataPack = 1, 3*dataFrame
	w := NewWriter(t.Context(), cfg)
	s := w.Stream(manifest.Data)
	for i := range 6 * dataFrame / (256 << 10) {
		s.Add(noise(uint64(i), 256<<10))
	}
	s.Flush()
	done, err := w.Flush()
	if err != nil || len(done) != 3 { // two frames each: with a third, header and tags exceed the limit
		t.Fatalf("%d packs, %v", len(done), err)
	}
	for _, f := range done {
		if f.Size > cfg.DataPack {
			t.Errorf("a pack of %d bytes", f.Size)
		}
	}
	w.Close()

	cfg.DataPack, cfg.CataPack = 1<<40, 1<<40
	cfg.defaults()
	if cfg.DataPack+maxTable > MaxPack || cfg.CataPack+maxTable > MaxPack {
		t.Errorf("packs of %d and %d bytes leave no room for a table", cfg.DataPack, cfg.CataPack)
	}
}

func TestParseLevel(t *testing.T) {
	for i, name := range []string{"auto", "fastest", "default", "better", "best"} {
		if l, err := ParseLevel(name); err != nil || l != Level(i) {
			t.Errorf("%s is %d, %v", name, l, err)
		}
	}
	if _, err := ParseLevel("zip"); err == nil || !strings.Contains(err.Error(), "better") {
		t.Errorf("an unknown level: %v", err)
	}
}
