package save_test

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/internal/save"
	"waybill/internal/save/savetest"
	"waybill/manifest"
)

// A memory is a vault in memory, with hooks that are called on the way, some by several goroutines.
type memory struct {
	*savetest.Memory
	t    *testing.T
	last *save.Result // of the last commit

	creating   func(manifest.Class) error
	publishing func(save.Commit) error
	asked      func(manifest.Class) // whether a chunk is known
}

func newMemory(t *testing.T) *memory {
	t.Helper()
	m, err := savetest.New()
	if err != nil {
		t.Fatal(err)
	}
	return &memory{Memory: m, t: t}
}

// Create implements save.Destination.
func (m *memory) Create(class manifest.Class) (pack.Target, error) {
	if m.creating != nil {
		if err := m.creating(class); err != nil {
			return nil, err
		}
	}
	return m.Memory.Create(class)
}

// Publish implements save.Destination.
func (m *memory) Publish(ctx context.Context, c save.Commit) error {
	if m.publishing != nil {
		if err := m.publishing(c); err != nil {
			return err
		}
	}
	return m.Memory.Publish(ctx, c)
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
	return k.memory.Memory.Of(k.class).Has(prefix)
}

// try saves, based on the last commit; the configuration may be changed before.
func (m *memory) try(ctx context.Context, change func(*save.Config), roots ...string) (*save.Result, error) {
	m.t.Helper()
	cfg := m.Config(m.last, roots...)
	cfg.Destination, cfg.Known = m, m
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
		data, err := m.Chunk(manifest.Data, it.ID)
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
