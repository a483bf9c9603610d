package incremental_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"waybill/incremental"
	"waybill/ingest/vault"
	"waybill/internal/fault"
	"waybill/internal/save"
	"waybill/manifest"
)

// A line is a vault at the far end of a wire, whose Puts of packs do as they are told.
type line struct {
	incremental.Store
	put func(ctx context.Context, name string, store func() error) error

	mu       sync.Mutex
	packs    int      // begun
	at, top  int      // packs on their way now, and at most
	finished []string // in the order in which they were done
}

func (l *line) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	store := func() error { return l.Store.Put(ctx, name, body) }
	if !strings.Contains(name, "/packs/") {
		return l.done(name, store())
	}
	l.mu.Lock()
	l.packs++
	l.at++
	l.top = max(l.top, l.at)
	l.mu.Unlock()
	err := l.done(name, l.put(ctx, name, store))
	l.mu.Lock()
	l.at--
	l.mu.Unlock()
	return err
}

func (l *line) done(name string, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.finished = append(l.finished, name)
	}
	return err
}

func (l *line) onTheWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// wide is a machine with so many MiB to send, in packs of one.
func wide(t *testing.T, mib int) (*machine, string) {
	m, root := newMachine(t), t.TempDir()
	for i := range 4 * mib {
		write(t, fmt.Sprintf("%s/%d/f%04d", root, i%5, i), noise(256<<10, uint64(i)))
	}
	settle()
	m.change = func(c *save.Config) { c.DataPack = 1 << 20 }
	return m, root
}

// While four packs are on their way the next is filled: whatever a round trip takes, the line has something to do. No more are held in
// memory, and the signature and the manifest are sent last, when all packs are there.
func TestPacksAreSentAtOnce(t *testing.T) {
	m, root := wide(t, 30)
	full := make(chan struct{})
	l := &line{Store: m.vault}
	l.put = func(ctx context.Context, _ string, store func() error) error {
		if l.onTheWay() == 4 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-full // the first wait for the fourth: one after the other they would wait for ever
		return store()
	}
	m.store = l
	r := m.backup(root)
	if l.top < 4 || l.top > 5 { // four of data and one of the catalogue
		t.Errorf("%d packs were on their way at once", l.top)
	}
	for i, name := range l.finished {
		if last := i - (len(l.finished) - 2); (last >= 0) == strings.Contains(name, "/packs/") || last == 1 && !strings.HasSuffix(name, ".json") {
			t.Errorf("%d of %d: %s", i, len(l.finished), name)
		}
	}
	if len(r.Packs) != l.packs || l.packs < 12 {
		t.Errorf("%d packs were sent, %d are listed", l.packs, len(r.Packs))
	}
	m.same("latest", root)
}

// The first pack that can't be sent ends the run with its error, and what else is on its way is given up. Nothing is committed.
func TestFirstErrorEndsTheRun(t *testing.T) {
	m, root := wide(t, 30)
	l := &line{Store: m.vault}
	refused := errors.New("refused")
	l.put = func(ctx context.Context, _ string, store func() error) error {
		if l.onTheWay() >= 4 {
			return refused
		}
		<-ctx.Done() // a line that is silent, and a store that is patient
		return ctx.Err()
	}
	m.store = l
	if r, err := m.try(t.Context(), root); r != nil || !errors.Is(err, refused) || errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
	if l.onTheWay() != 0 || len(l.finished) != 0 {
		t.Errorf("%d are on their way, done are %v", l.onTheWay(), l.finished)
	}
}

// A run that is cancelled sends what it has, unless there is no use in trying.
func TestSendingEnds(t *testing.T) {
	m, root := wide(t, 30)
	ctx, cancel := context.WithCancel(t.Context())
	sending, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	away := errors.New("the vault is away")
	m.store = &line{Store: m.vault, put: func(ctx context.Context, _ string, _ func() error) error {
		cancel()
		stop(away)
		<-ctx.Done()
		return ctx.Err()
	}}
	m.options.Sending = sending
	if r, err := m.try(ctx, root); r != nil || !errors.Is(err, away) && !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A manifest that is there when it is sent is this run's, another's, or can't be read: only another's is a fork.
func TestManifestIsThere(t *testing.T) {
	away := errors.New("the vault is away")
	for name, c := range map[string]struct {
		content func(body []byte) []byte
		read    error
		want    error
	}{
		"this run's": {func(b []byte) []byte { return b }, nil, nil},
		"another's":  {func(b []byte) []byte { return []byte("{}\n") }, nil, incremental.ErrForked},
		"longer":     {func(b []byte) []byte { return append(b, '\n') }, nil, incremental.ErrForked},
		"no telling": {func(b []byte) []byte { return b }, away, away},
	} {
		t.Run(name, func(t *testing.T) {
			m, root := newMachine(t), t.TempDir()
			write(t, root+"/f", noise(1000, 1))
			settle()
			m.store = &taken{Store: m.vault, content: c.content, read: c.read}
			r, err := m.try(t.Context(), root)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || c.want != incremental.ErrForked && errors.Is(err, incremental.ErrForked) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// A taken vault has every manifest already, with that content, when it is sent.
type taken struct {
	incremental.Store
	content func([]byte) []byte
	read    error
	sent    atomic.Bool
}

func (s *taken) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if _, _, ok := manifest.ParseManifestName(name); !ok {
		return s.Store.Put(ctx, name, body)
	}
	b, err := io.ReadAll(body)
	if err == nil {
		err = s.Store.Put(ctx, name, bytes.NewReader(s.content(b)))
	}
	s.sent.Store(true)
	return errors.Join(err, fs.ErrExist)
}

func (s *taken) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if s.sent.Load() && s.read != nil {
		return 0, s.read
	}
	return s.Store.ReadAt(ctx, name, p, off)
}

// A book is a ledger in memory.
type book struct {
	mu    sync.Mutex
	packs []manifest.Pack
}

func (b *book) Add(p manifest.Pack) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.packs = append(b.packs, p)
	return nil
}

func (b *book) Packs() ([]manifest.Pack, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]manifest.Pack(nil), b.packs...), nil
}

func (b *book) Clear() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.packs = nil
	return nil
}

// A run that dies between checkpoints leaves packs that no commit lists. The next takes them over, also those whose Put
// did not answer; those that did not get there it sends.
func TestSentPacksAreAdopted(t *testing.T) {
	for _, when := range fault.Moments {
		t.Run("a Put fails "+when.String(), func(t *testing.T) {
			m, root := wide(t, 20)
			m.store = fault.Store{Inner: m.vault, Script: &fault.Script{At: 12, When: when, Down: true, Counts: fault.Writes}}
			m.adopts(root)
		})
	}
	t.Run("of those that grew in the vault", func(t *testing.T) {
		m, root := wide(t, 20)
		m.store = refusing{m.vault}
		m.adopts(root)
	})
}

// adopts has a run fail, and looks at what the next one sends.
func (m *machine) adopts(root string) {
	t, ledger := m.t, &book{}
	m.options.Ledger = ledger
	if r, err := m.try(t.Context(), root); r != nil || !errors.Is(err, fault.Err) {
		t.Fatalf("%+v, %v", r, err)
	}
	before := m.packsThere()
	if len(before) < 11 {
		t.Fatalf("only %d packs were sent", len(before))
	}
	count := &line{Store: m.vault, put: func(_ context.Context, _ string, store func() error) error { return store() }}
	m.store = count
	r := m.backup(root)
	if len(r.Packs) != len(before)+count.packs {
		t.Errorf("%d packs were there, %d were sent, %d are listed", len(before), count.packs, len(r.Packs))
	}
	if n := r.Point.Stats.NewBytes; n > int64(20-len(before)+1)<<20 {
		t.Errorf("%d packs were there, and %d bytes were new", len(before), n)
	}
	for _, p := range r.Packs {
		delete(before, p.Name)
	}
	if left, _ := ledger.Packs(); len(before) != 0 || len(left) != 0 {
		t.Errorf("%d packs are in no commit, %d are still noted", len(before), len(left))
	}
	m.same("latest", root)
}

// refusing is a vault in a directory that takes packs and no commit.
type refusing struct{ *vault.Dir }

func (refusing) Put(context.Context, string, io.ReadSeeker) error { return fault.Err }

// packsThere is the packs in the vault, and their sizes.
func (m *machine) packsThere() map[manifest.Digest]int64 {
	m.t.Helper()
	there := map[manifest.Digest]int64{}
	err := m.vault.List(m.t.Context(), manifest.PacksPrefix(m.doc.Machine), func(name string, size int64) error {
		_, digest, ok := manifest.ParsePackName(name)
		if !ok {
			return fmt.Errorf("%s is no pack", name)
		}
		there[digest] = size
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return there
}

// A stuck ledger forgets nothing that was noted in it: its disk is full.
type stuck struct{ book }

func (s *stuck) Clear() error {
	if len(s.packs) > 0 {
		return errors.New("no space left")
	}
	return nil
}

// A backup that the vault has is made, whatever becomes of the note of what was sent for it; and what that goes on naming is not taken for a failed run's.
func TestLedgerThatForgetsNothing(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	ledger := &stuck{}
	write(t, root+"/a", noise(1000, 1))
	m.options.Ledger = ledger
	if r := m.backup(root); len(r.Packs) == 0 {
		t.Fatal("nothing was sent")
	}
	m.options.Ledger = &ledger.book
	write(t, root+"/b", noise(1000, 2))
	settle()
	m.backup(root)
	for _, l := range m.open().Chain.Links {
		seen := map[manifest.Digest]bool{}
		for _, p := range l.Manifest.Packs {
			if seen[p.Name] {
				t.Errorf("commit %d lists a pack twice", l.Manifest.Sequence)
			}
			seen[p.Name] = true
		}
	}
}
