package pack

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"waybill/internal/pack/index"
	"waybill/manifest"
)

// both are the classes, in a fixed order.
var both = []manifest.Class{manifest.Data, manifest.Catalogue}

// A session is chunks that several producers added at once.
type session struct {
	mu     sync.Mutex
	chunks map[manifest.Class]map[ID][]byte
	isNew  map[ID]int
}

// produce adds n random chunks, many of them seen before, by way of Add or of Reserve and Take.
func (s *session) produce(w *Writer, class manifest.Class, seed uint64, n int) error {
	r := rand.New(rand.NewPCG(seed, 1))
	stream := w.Stream(class)
	for range n {
		k := r.Uint64N(uint64(n))
		b := chunk(k, 1+int(k*2654435761%(1<<(k%17))))
		var id ID
		var isNew bool
		space, err := []byte(nil), error(nil)
		if r.IntN(2) == 0 {
			id, isNew, err = stream.Add(b)
		} else if space, err = stream.Reserve(len(b) + r.IntN(100)); err == nil {
			id, isNew, err = stream.Take(space[:copy(space, b)])
		}
		if err != nil {
			return err
		}
		s.note(class, id, b, isNew)
	}
	return stream.Flush()
}

func (s *session) note(class manifest.Class, id ID, b []byte, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks[class][id] = bytes.Clone(b)
	if isNew {
		s.isNew[id]++
	}
}

func newSession() *session {
	return &session{chunks: map[manifest.Class]map[ID][]byte{manifest.Data: {}, manifest.Catalogue: {}}, isNew: map[ID]int{}}
}

// run has the producers add chunks of both classes at once, and flushes.
func (s *session) run(t *testing.T, w *Writer, producers, n int) []Finished {
	t.Helper()
	var wg sync.WaitGroup
	for i := range producers {
		for c, class := range both {
			wg.Go(func() {
				if err := s.produce(w, class, uint64(i%2+10*c), n); err != nil { // every second producer has the same chunks
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	done, err := w.Flush()
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestRoundTrip(t *testing.T) {
	st := newStore(t)
	cfg := st.config()
	cfg.Producers, cfg.Workers, cfg.DataPack, cfg.CataPack = 4, 8, 300<<10, 200<<10
	w := NewWriter(t.Context(), cfg)
	s := newSession()
	done := s.run(t, w, 4, 400)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if st.open != 0 || len(done) != len(st.packs) || len(done) < 6 {
		t.Fatalf("%d packs are told of, %d committed, %d left open", len(done), len(st.packs), st.open)
	}
	found := map[manifest.Class]map[[16]byte][]byte{manifest.Data: {}, manifest.Catalogue: {}}
	for i, f := range done {
		if i > 0 && bytes.Compare(done[i-1].Name[:], f.Name[:]) >= 0 {
			t.Error("packs are not in the order of their names")
		}
		if f.Pack != st.listed[f.Name] {
			t.Errorf("told of %+v, committed %+v", f.Pack, st.listed[f.Name])
		}
		chunks, err := readPack(st.packs[f.Name], f.Class, Keys{Recovery: recoveryKey})
		if err != nil {
			t.Fatal(err)
		}
		for prefix, b := range chunks {
			if _, twice := found[f.Class][prefix]; twice {
				t.Errorf("chunk %x is stored twice", prefix)
			}
			if !f.Table.Has(prefix) {
				t.Errorf("chunk %x is not in the table that Flush returned", prefix)
			}
			found[f.Class][prefix] = b
		}
	}
	h := NewHasher(dedupeKey)
	for _, class := range both {
		if len(found[class]) != len(s.chunks[class]) {
			t.Errorf("%s: %d chunks went in, %d came out", class, len(s.chunks[class]), len(found[class]))
		}
		for id, b := range s.chunks[class] {
			if !bytes.Equal(found[class][id.Prefix()], b) || h.Sum(b) != id {
				t.Errorf("%s: chunk %.12s came back as something else", class, id)
			}
		}
	}
}

// Every chunk is new once a class, however many add it at once.
func TestDedupe(t *testing.T) {
	w := NewWriter(t.Context(), newStore(t).config())
	defer w.Close()
	s := newSession()
	s.run(t, w, 2, 300)
	for id, n := range s.isNew {
		_, inData := s.chunks[manifest.Data][id]
		_, inCata := s.chunks[manifest.Catalogue][id]
		if n != 1 && !(inData && inCata && n == 2) {
			t.Errorf("chunk %.12s was new %d times", id, n)
		}
	}
	if got := w.NewChunks(); got != len(s.chunks[manifest.Data])+len(s.chunks[manifest.Catalogue]) {
		t.Errorf("NewChunks is %d", got)
	}
	// Before Forget the writer knows them still, after it nobody does.
	b := chunk(1, 100)
	stream := w.Stream(manifest.Data)
	for i, want := range []bool{true, false, true} {
		if i == 2 {
			w.Forget()
		}
		if _, isNew, err := stream.Add(b); err != nil || isNew != want {
			t.Errorf("adding it again, %d: new %v, %v", i, isNew, err)
		}
	}
}

// A known is a set of prefixes.
type known map[index.Key]bool

func (k known) Has(p index.Key) bool { return k[p] }

func TestKnown(t *testing.T) {
	st := newStore(t)
	cfg := st.config()
	here, there := noise(1, 1000), noise(2, 1000)
	h := NewHasher(dedupeKey)
	cfg.Data = known{h.Sum(here).Prefix(): true}
	cfg.Catalogue = known{h.Sum(there).Prefix(): true}
	w := NewWriter(t.Context(), cfg)
	defer w.Close()
	for _, class := range both {
		stream := w.Stream(class)
		for _, b := range [][]byte{here, there} {
			_, isNew, err := stream.Add(b)
			if want := (class == manifest.Data) != bytes.Equal(b, here); err != nil || isNew != want {
				t.Errorf("%s: new %v where %v was due, %v", class, isNew, want, err)
			}
		}
		if err := stream.Flush(); err != nil {
			t.Error(err)
		}
	}
	if done, err := w.Flush(); err != nil || len(done) != 2 {
		t.Errorf("%d packs, %v", len(done), err)
	}
	if done, err := w.Flush(); err != nil || len(done) != 0 || len(st.packs) != 2 {
		t.Errorf("a second Flush returned %d packs, %v", len(done), err)
	}
}

func TestNothingToPack(t *testing.T) {
	st := newStore(t)
	w := NewWriter(t.Context(), st.config())
	if done, err := w.Flush(); err != nil || len(done) != 0 || st.calls["create"] != 0 {
		t.Errorf("an empty session made %d packs, %v", len(done), err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnflushedPackIsAborted(t *testing.T) {
	st := newStore(t)
	w := NewWriter(t.Context(), st.config())
	stream := w.Stream(manifest.Data)
	stream.Add(noise(1, 1000))
	stream.Flush()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if len(st.packs) != 0 || st.open != 0 || st.calls["create"] != 1 {
		t.Errorf("%d packs committed, %d left open", len(st.packs), st.open)
	}
}

func TestCancelled(t *testing.T) {
	st := newStore(t)
	why := errors.New("the user has had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := NewWriter(ctx, st.config())
	stream := w.Stream(manifest.Data)
	stream.Add(noise(1, 1000))
	cancel(why)
	if err := stream.Flush(); !errors.Is(err, why) {
		t.Errorf("Stream.Flush: %v", err)
	}
	if _, err := w.Flush(); !errors.Is(err, why) {
		t.Errorf("Flush: %v", err)
	}
	if err := w.Close(); !errors.Is(err, why) || len(st.packs) != 0 {
		t.Errorf("Close: %v, and %d packs are committed", err, len(st.packs))
	}
}

// What a failed writer has finished, the next one takes over: it stores none of it again, and its Flush returns it.
func TestAdopted(t *testing.T) {
	st := newStore(t)
	w := NewWriter(t.Context(), st.config())
	s := w.Stream(manifest.Data)
	for i := range 10 {
		s.Add(noise(uint64(i), 1000))
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	done, err := w.Flush() // and then the run fails: nothing commits them
	if err != nil || len(done) != 1 || w.Close() != nil {
		t.Fatal(done, err)
	}
	cfg := st.config()
	cfg.Adopted = done
	w = NewWriter(t.Context(), cfg)
	s = w.Stream(manifest.Data)
	for i := range 11 {
		if _, isNew, err := s.Add(noise(uint64(i), 1000)); isNew != (i == 10) || err != nil {
			t.Errorf("chunk %d is new: %v, %v", i, isNew, err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	all, err := w.Flush()
	if err != nil || len(all) != 2 || len(st.packs) != 2 || w.Close() != nil {
		t.Errorf("%d packs, %d in the store, %v", len(all), len(st.packs), err)
	}
}

// A disk that hangs holds up nobody but its own lane.
func TestLanesDontWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		gate := make(chan struct{})
		first := true
		cfg := st.config()
		cfg.Lanes, cfg.DataPack = 2, 4<<20
		cfg.Create = func(c manifest.Class) (Target, error) {
			st.mu.Lock()
			hangs := first
			first = false
			st.mu.Unlock()
			if hangs {
				<-gate
			}
			return st.create(c)
		}
		w := NewWriter(t.Context(), cfg)
		s := w.Stream(manifest.Data)
		for i := range 40 {
			if _, _, err := s.Add(noise(uint64(i), 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		st.mu.Lock()
		done := len(st.packs)
		st.mu.Unlock()
		if done < 5 {
			t.Errorf("only %d packs are done while one disk hangs", done)
		}
		close(gate)
		if err := s.Flush(); err != nil {
			t.Error(err)
		}
		if _, err := w.Flush(); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// So many packs of a lane are committed at once, while the next is filled; and no more, for they are held in memory.
func TestCommitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		gate := make(chan struct{})
		var committing, open atomic.Int32
		cfg := st.config()
		cfg.Lanes, cfg.Commits, cfg.DataPack = 1, 3, 4<<20
		cfg.Create = func(c manifest.Class) (Target, error) {
			target, err := st.create(c)
			open.Add(1)
			return &slow{target, gate, &committing}, err
		}
		w := NewWriter(t.Context(), cfg)
		var added atomic.Int32
		done := make(chan error)
		go func() {
			s := w.Stream(manifest.Data)
			for i := range 60 {
				if _, _, err := s.Add(noise(uint64(i), 1<<20)); err != nil {
					done <- err
					return
				}
				added.Add(1)
			}
			done <- s.Flush()
		}()
		synctest.Wait() // the line takes nothing, and all frames are in use
		if n, m := committing.Load(), open.Load(); n != 3 || m != 4 {
			t.Errorf("%d packs are being committed, and %d were begun", n, m)
		}
		if n := added.Load(); n < 16 || n == 60 {
			t.Errorf("%d MiB were added: those of four packs, and of what frames there are", n)
		}
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if packs, err := w.Flush(); err != nil || len(packs) < 15 || committing.Load() != 0 {
			t.Errorf("%d packs, %d of them not durable, %v", len(packs), committing.Load(), err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A slow target is one whose commits wait.
type slow struct {
	Target
	gate       chan struct{}
	committing *atomic.Int32
}

func (s *slow) Commit(p manifest.Pack) error {
	s.committing.Add(1)
	defer s.committing.Add(-1)
	<-s.gate
	return s.Target.Commit(p)
}
