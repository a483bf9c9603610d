package incremental_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/incremental"
	"waybill/ingest/vault"
	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/save"
	"waybill/manifest"
)

// A machine with a vault in a directory, and the recovery key to read back what was saved.
type machine struct {
	t        *testing.T
	doc      *manifest.Machine
	vault    *vault.Dir
	index    string
	recovery *age.X25519Identity
	writer   save.Writer
	keys     pack.Keys
	change   func(*save.Config) // applied to every backup
	store    incremental.Store
	options  incremental.Options
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, index: t.TempDir()}
	var err error
	if m.vault, err = vault.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.vault.Close() })
	m.store = m.vault
	m.recovery, _ = age.GenerateX25519Identity()
	catalogue, _ := age.GenerateX25519Identity()
	m.keys = pack.Keys{Recovery: m.recovery, Machine: catalogue}
	m.writer = save.Writer{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002",
		Recovery: m.recovery.Recipient(), Catalogue: catalogue.Recipient(), Dedupe: [32]byte{1}}
	if m.writer.Signer, err = manifest.NewSigner(); err != nil {
		t.Fatal(err)
	}
	if m.writer.Cutter, err = cut.New([32]byte{2}, cut.Params{}); err != nil {
		t.Fatal(err)
	}
	m.doc = &manifest.Machine{Vault: m.writer.Vault, Machine: m.writer.Machine, Name: "test", SigningKey: m.writer.Signer.Public()}
	return m
}

// open opens the domain in the vault, and in other stores before it.
func (m *machine) open(more ...domain.Store) *domain.Domain {
	m.t.Helper()
	d, err := domain.Open(m.t.Context(), append(more, m.vault), m.doc, domain.Options{Keys: m.keys, Dedupe: m.writer.Dedupe, IndexDir: m.index})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { d.Close() })
	return d
}

func (m *machine) try(ctx context.Context, roots ...string) (*save.Result, error) {
	m.t.Helper()
	cfg := save.Config{Roots: roots, Writer: m.writer, Tool: "test", Host: "host"}
	if m.change != nil {
		m.change(&cfg)
	}
	return incremental.Run(ctx, m.store, m.open(), cfg, m.options)
}

func (m *machine) backup(roots ...string) *save.Result {
	m.t.Helper()
	r, err := m.try(m.t.Context(), roots...)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// A saved item as the vault has it.
type item struct {
	catalog.Entry
	content []byte
	holes   int64
}

// read reads the latest complete point back, by path below root.
func (m *machine) read(spec, root string) map[string]item {
	m.t.Helper()
	ctx, d := m.t.Context(), m.open()
	p, err := d.Resolve(ctx, spec)
	if err != nil {
		m.t.Fatal(err)
	}
	top, err := p.RootEntry()
	if err != nil {
		m.t.Fatal(err)
	}
	if missing, err := d.CoverData(ctx); err != nil || len(missing) > 0 {
		m.t.Fatal(missing, err)
	}
	all := map[string]item{}
	err = catalog.Walk(ctx, d, top, nil, func(path []byte, e catalog.Entry) (bool, error) {
		if rel, ok := strings.CutPrefix(string(path), root+"/"); ok {
			all[rel] = m.content(d, e)
		}
		return true, nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

func (m *machine) content(d *domain.Domain, e catalog.Entry) item {
	m.t.Helper()
	it := item{Entry: e}
	if e.Kind != catalog.File {
		return it
	}
	for c, err := range catalog.Content(m.t.Context(), d, e) {
		if err != nil {
			m.t.Fatal(err)
		}
		if c.IsHole() {
			it.content = append(it.content, make([]byte, c.Length)...)
			it.holes += c.Length
			continue
		}
		loc, ok := d.Locate(c.ID)
		if !ok {
			m.t.Fatalf("%s: chunk %v is nowhere", e.Name, c.ID)
		}
		frame, err := d.Frame(m.t.Context(), loc, nil)
		if err != nil {
			m.t.Fatal(err)
		}
		b, err := d.Chunk(c.ID, frame, loc)
		if err != nil {
			m.t.Fatal(err)
		}
		it.content = append(it.content, b...)
	}
	return it
}

// node is the id of a directory in a point.
func (m *machine) node(r *save.Result, path string) pack.ID {
	m.t.Helper()
	top, err := r.Point.RootEntry()
	if err == nil {
		top, err = catalog.Resolve(m.t.Context(), m.open(), top, []byte(path))
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return top.Node
}

// same compares what was saved with the directory it was saved from.
func (m *machine) same(spec, root string) {
	m.t.Helper()
	saved := m.read(spec, root)
	filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if path == root {
			return err
		}
		rel := path[len(root)+1:]
		got, ok := saved[rel]
		delete(saved, rel)
		if !ok {
			m.t.Errorf("%s was not saved", rel)
			return nil
		}
		if e.Type().IsRegular() {
			if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got.content, want) || got.Size != int64(len(want)) {
				m.t.Errorf("%s: %d bytes saved, not those of the %d bytes it has (%v)", rel, len(got.content), len(want), err)
			}
		}
		return nil
	})
	for rel := range saved {
		m.t.Errorf("%s was saved and does not exist", rel)
	}
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	r.Read(b)
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

// settle waits until what was written before is older than any clock tick.
func settle() { time.Sleep(30 * time.Millisecond) }

func TestOnlyChangesAreReadAndStored(t *testing.T) {
	t.Run("into a directory", func(t *testing.T) { testChanges(t, newMachine(t)) })
	t.Run("by whole objects", func(t *testing.T) {
		m := newMachine(t)
		m.store = plain{m.vault}
		testChanges(t, m)
	})
}

func testChanges(t *testing.T, m *machine) {
	root := t.TempDir()
	for i := range 1500 {
		write(t, fmt.Sprintf("%s/d%02d/wide/f%04d", root, i%3, i), noise(100+i, uint64(i)))
	}
	write(t, root+"/large", noise(5<<20, 7))
	settle()
	first := m.backup(root)
	if s := first.Point.Stats; s.Files != 1501 || s.NewBytes == 0 || first.Point.Mode != "first" {
		t.Errorf("first: %+v", first.Point)
	}
	m.same("latest", root)

	again := m.backup()
	if s := again.Point.Stats; s.ReadBytes != 0 || s.Unchanged != 1501 || s.Bytes != first.Point.Stats.Bytes {
		t.Errorf("unchanged: %+v", s)
	}
	if a, b := m.node(first, root), m.node(again, root); a != b {
		t.Errorf("nothing changed, but the tree has another id: %v, then %v", a, b)
	}
	if again.StoredBytes() > 4096 {
		t.Errorf("nothing changed, but %d bytes were stored", again.StoredBytes())
	}

	write(t, root+"/d01/wide/f0001", []byte("changed"))
	write(t, root+"/d02/new/deep/er", []byte("new"))
	os.RemoveAll(root + "/d00/wide")
	os.Rename(root+"/large", root+"/renamed")
	third := m.backup()
	if s := third.Point.Stats; s.NewBytes > 20 {
		t.Errorf("a few small changes: %+v", s)
	}
	m.same("latest", root)
}

func TestLargeFileChangesInPlace(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	b := noise(20<<20, 3)
	write(t, root+"/db", b)
	settle()
	m.backup(root)
	copy(b[10<<20:], "changed in the middle")
	write(t, root+"/db", b)
	if s := m.backup().Point.Stats; s.NewBytes == 0 || s.NewBytes > 300<<10 {
		t.Errorf("one page changed: %+v", s)
	}
	m.same("latest", root)
}

func TestSelection(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	write(t, root+"/a/in/file", []byte("1"))
	write(t, root+"/a/out/file", []byte("2"))
	write(t, root+"/b/only", []byte("3"))
	write(t, root+"/b/beside", []byte("4"))
	os.Symlink("a/in", root+"/link")
	m.backup(root+"/link", root+"/b/only")
	got := m.read("latest", root)
	for _, want := range []string{"a", "a/in", "a/in/file", "b", "b/only"} {
		if _, ok := got[want]; !ok {
			t.Errorf("%s is missing", want)
		}
		delete(got, want)
	}
	for extra := range got {
		t.Errorf("%s was not selected", extra)
	}
	if _, err := m.try(t.Context(), root+"/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root that isn't there: %v", err)
	}
}

// Without roots, all of the last selection is taken again.
func TestSelectionAgain(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	write(t, root+"/in", []byte("1"))
	write(t, root+"/out", []byte("2"))
	m.change = func(c *save.Config) { c.Excludes, c.OneFileSystem = []string{"out"}, true }
	m.backup(root)
	m.change = nil
	for range 2 {
		if p := m.backup().Point; !p.OneFileSystem || len(p.Excludes) != 1 || p.Stats.Files != 1 {
			t.Errorf("%+v", p)
		}
	}
	if p := m.backup(root).Point; p.OneFileSystem || len(p.Excludes) != 0 || p.Stats.Files != 2 {
		t.Errorf("selected anew: %+v", p)
	}
}

// A root's name may be any bytes; the record has it escaped, and a backup without roots finds it again.
func TestRootOfAnyName(t *testing.T) {
	for _, name := range []string{`back\slash`, "\xff\xfe", "line\nbreak", `looks\x41escaped`} {
		m := newMachine(t)
		root := filepath.Join(t.TempDir(), name)
		write(t, root+"/file", []byte("1"))
		first := m.backup(root)
		if want := manifest.EscapePath([]byte(root)); len(first.Point.Roots) != 1 || first.Point.Roots[0] != want {
			t.Errorf("%q, want %q", first.Point.Roots, want)
		}
		for range 2 {
			if r, err := m.try(t.Context()); err != nil || r.Point.Stats.Files != 1 {
				t.Errorf("%q again: %v", name, err)
			}
		}
	}
}

func TestInterruptedBackupGoesOn(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	const size = 24 << 20
	write(t, root+"/a", noise(size, 1))
	for i := range 50 {
		write(t, fmt.Sprintf("%s/s/%d", root, i), noise(1<<16, uint64(100+i)))
	}
	settle()
	ctx, cancel := context.WithCancel(t.Context())
	m.change = func(c *save.Config) { c.Readers, c.DataPack = 1, 4<<20 }
	m.store = interrupting{plain{m.vault}, cancel}
	r, err := m.try(ctx, root)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	if r == nil || r.Point.State != catalog.PartialState {
		t.Fatalf("no checkpoint was made: %+v", r)
	}
	m.change, m.store = nil, m.vault
	r = m.backup(root)
	if s := r.Point.Stats; s.ReadBytes > size-4<<20+50<<16 { // at least the first pack was durable
		t.Errorf("of %d bytes %d were read again", size+50<<16, s.ReadBytes)
	}
	m.same("latest", root)
}

// plain is a vault that takes objects only whole, as those behind a network do.
type plain struct{ incremental.Store }

// interrupting cancels the backup when its first pack arrives. Until that Put returns, the reader gets no
// further than the packs and frames that memory is bounded to.
type interrupting struct {
	plain
	cancel context.CancelFunc
}

func (v interrupting) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	v.cancel()
	return v.plain.Put(ctx, name, body)
}

func TestCheckpointsOnTheWay(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	for i := range 40 {
		write(t, fmt.Sprintf("%s/d%d/f%d", root, i%5, i), noise(300<<10, uint64(i)))
	}
	write(t, root+"/big", noise(10<<20, 99))
	settle()
	m.change = func(c *save.Config) { c.CheckpointBytes = 2 << 20 }
	r := m.backup(root)
	if n := r.Manifest.Sequence; n < 5 {
		t.Errorf("%d commits, there should have been checkpoints", n)
	}
	m.same("latest", root)
	d := m.open()
	for _, p := range d.Points(t.Context()) {
		if partial := p.Manifest.Sequence < r.Manifest.Sequence; p.Err != nil || partial != (p.State == catalog.PartialState) {
			t.Errorf("point %d: %v %v", p.Manifest.Sequence, p.Point, p.Err)
		}
	}
}
