package save_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/pack/index"
	"waybill/internal/save"
	"waybill/manifest"
)

// A memory is a vault in memory: a destination, what is known of it, and the way to read it back. Hooks
// are called on the way, some by several goroutines.
type memory struct {
	t    *testing.T
	keys pack.Keys
	me   save.Writer
	last *save.Result // of the last commit

	creating   func(manifest.Class) error
	publishing func(save.Commit) error
	asked      func(manifest.Class) // whether a chunk is known
	listed     []save.Commit

	mu     sync.Mutex
	packs  map[manifest.Digest][]byte
	chunks map[manifest.Class]map[index.Key]place
	frames map[frameOf][]byte // opened by what reads back
}

type frameOf struct {
	pack   manifest.Digest
	number uint32
}

// A place is where a chunk is.
type place struct {
	pack  manifest.Digest
	frame pack.Frame
	chunk pack.Chunk
}

func newMemory(t *testing.T) *memory {
	t.Helper()
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{t: t, keys: pack.Keys{Recovery: recovery, Machine: catalogue}, packs: map[manifest.Digest][]byte{}, frames: map[frameOf][]byte{},
		chunks: map[manifest.Class]map[index.Key]place{manifest.Data: {}, manifest.Catalogue: {}}}
	m.me = save.Writer{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002",
		Recovery: recovery.Recipient(), Catalogue: catalogue.Recipient(), Dedupe: [32]byte{1}}
	if m.me.Signer, err = manifest.NewSigner(); err != nil {
		t.Fatal(err)
	}
	if m.me.Cutter, err = cut.New([32]byte{2}, cut.Params{}); err != nil {
		t.Fatal(err)
	}
	return m
}

// Create implements save.Destination.
func (m *memory) Create(class manifest.Class) (pack.Target, error) {
	if m.creating != nil {
		if err := m.creating(class); err != nil {
			return nil, err
		}
	}
	return &target{memory: m}, nil
}

// A target is a pack on its way.
type target struct {
	bytes.Buffer
	memory *memory
}

func (t *target) Commit(p manifest.Pack) error {
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	t.memory.packs[p.Name] = t.Bytes()
	return nil
}

func (t *target) Abort() {}

// Publish implements save.Destination.
func (m *memory) Publish(_ context.Context, c save.Commit) error {
	if m.publishing != nil {
		if err := m.publishing(c); err != nil {
			return err
		}
	}
	m.listed = append(m.listed, c)
	return nil
}

// Of implements save.Known.
func (m *memory) Of(class manifest.Class) pack.Known { return known{m, class} }

type known struct {
	memory *memory
	class  manifest.Class
}

func (k known) Has(prefix index.Key) bool {
	if k.memory.asked != nil {
		k.memory.asked(k.class)
	}
	k.memory.mu.Lock()
	defer k.memory.mu.Unlock()
	_, ok := k.memory.chunks[k.class][prefix]
	return ok
}

// Committed implements save.Known.
func (m *memory) Committed(_ manifest.Digest, packs []pack.Finished) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range packs {
		for f, chunks := range p.Table.All() {
			for _, c := range chunks {
				m.chunks[p.Class][index.Key(c.Prefix)] = place{p.Name, f, c}
			}
		}
	}
	return nil
}

// chunk reads a chunk of a committed pack.
func (m *memory) chunk(class manifest.Class, id pack.ID) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.chunks[class][id.Prefix()]
	if !ok {
		return nil, fmt.Errorf("%s chunk %v is in no commit", class, id)
	}
	frame, ok := m.frames[frameOf{at.pack, at.frame.Number}]
	if !ok {
		b := m.packs[at.pack]
		r, err := pack.Open(bytes.NewReader(b), int64(len(b)), m.keys)
		if err != nil {
			return nil, err
		}
		if frame, err = r.Frame(pack.NewDecoder(), at.frame, nil); err != nil {
			return nil, err
		}
		m.frames[frameOf{at.pack, at.frame.Number}] = frame
	}
	b := frame[at.chunk.Start:][:at.chunk.Length]
	if pack.NewHasher(m.me.Dedupe).Sum(b) != id {
		return nil, fmt.Errorf("%s chunk %v is not what it should be", class, id)
	}
	return b, nil
}

// Load implements catalog.Loader.
func (m *memory) Load(_ context.Context, id pack.ID) ([]byte, error) {
	return m.chunk(manifest.Catalogue, id)
}

// try saves, based on the last commit; the configuration may be changed before.
func (m *memory) try(ctx context.Context, change func(*save.Config), roots ...string) (*save.Result, error) {
	m.t.Helper()
	cfg := save.Config{Roots: roots, Writer: m.me, Destination: m, Known: m, Tool: "test", Host: "host", Progress: &save.Progress{}}
	if m.last != nil {
		cfg.Base = &save.Base{ID: m.last.ID, Point: m.last.Point, Loader: m}
		cfg.Writer.Sequence, cfg.Writer.Head = m.last.Manifest.Sequence, m.last.ID
	}
	if change != nil {
		change(&cfg)
	}
	r, err := save.Run(ctx, cfg)
	if r != nil {
		m.last = r
	}
	return r, err
}

// save is try, and must succeed.
func (m *memory) save(change func(*save.Config), roots ...string) *save.Result {
	m.t.Helper()
	r, err := m.try(m.t.Context(), change, roots...)
	if err != nil {
		m.t.Fatal(err)
	}
	if r.Point.State != catalog.Complete {
		m.t.Fatalf("a run that succeeded ended with a %s point", r.Point.State)
	}
	return r
}

// An item is what a point has under a path.
type item struct {
	catalog.Entry
	content string
	holes   int64
}

// files reads all of a point below a directory.
func (m *memory) files(p *catalog.Point, root string) map[string]item {
	m.t.Helper()
	top, err := p.RootEntry()
	if err != nil {
		m.t.Fatal(err)
	}
	all := map[string]item{}
	err = catalog.Walk(m.t.Context(), m, top, nil, func(path []byte, e catalog.Entry) (bool, error) {
		it := item{Entry: e}
		var err error
		if e.Kind == catalog.File {
			it.content, it.holes, err = m.content(e)
		}
		if rel, ok := strings.CutPrefix(string(path), root+"/"); ok {
			it.Name = nil
			all[rel] = it
		}
		return true, err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

func (m *memory) content(e catalog.Entry) (string, int64, error) {
	var b strings.Builder
	holes := int64(0)
	for it, err := range catalog.Content(m.t.Context(), m, e) {
		if err != nil {
			return "", 0, err
		}
		if it.IsHole() {
			b.Write(make([]byte, it.Length))
			holes += it.Length
			continue
		}
		data, err := m.chunk(manifest.Data, it.ID)
		if err != nil {
			return "", 0, err
		}
		b.Write(data)
	}
	return b.String(), holes, nil
}

// same compares a point with the directory it is of.
func (m *memory) same(p *catalog.Point, root string) {
	m.t.Helper()
	saved := m.files(p, root)
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel := path[len(root)+1:]
		it, ok := saved[rel]
		delete(saved, rel)
		if !ok {
			m.t.Errorf("%s was not saved", rel)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		want, err := os.ReadFile(path)
		if it.content != string(want) || it.Size != int64(len(want)) {
			m.t.Errorf("%s: saved with %d bytes, %x, not those it has", rel, len(it.content), sha256.Sum256([]byte(it.content)))
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	for rel := range saved {
		m.t.Errorf("%s was saved and is not there", rel)
	}
}

// noise is n bytes that don't compress.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1}).Read(b)
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}
