package seed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/ingest/vault"
	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/save"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
)

// A machine that is seeded: its cache, its index, and disks.
type machine struct {
	t      *testing.T
	doc    *manifest.Machine
	copies map[string][]byte
	cache  *vault.Dir
	index  string
	keys   pack.Keys
	writer save.Writer
	sets   int
	change func(*seed.Options) // applied to every run
	medium func(path string) (disk.Medium, error)
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, index: t.TempDir()}
	var err error
	m.cache, err = vault.Open(t.TempDir())
	m.must(err)
	t.Cleanup(func() { m.cache.Close() })
	recovery, err := age.GenerateX25519Identity()
	m.must(err)
	own, err := age.GenerateX25519Identity()
	m.must(err)
	m.keys = pack.Keys{Recovery: recovery, Machine: own}
	m.writer = save.Writer{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002",
		Recovery: recovery.Recipient(), Catalogue: own.Recipient(), Dedupe: [32]byte{1}}
	m.writer.Signer, err = manifest.NewSigner()
	m.must(err)
	m.writer.Cutter, err = cut.New([32]byte{2}, cut.Params{})
	m.must(err)
	m.doc = &manifest.Machine{Vault: m.writer.Vault, Machine: m.writer.Machine, Name: "test", Created: time.Unix(1e9, 0).UTC(),
		SigningKey: m.writer.Signer.Public(), CatalogueRecipient: own.Recipient().String(),
		Cutter: manifest.Cutter{Algorithm: cut.Name, Min: 1, Mean: 2, Max: 3}}
	body, err := m.doc.Encode()
	m.must(err)
	signature, err := m.writer.Signer.Sign(body)
	m.must(err)
	m.copies = map[string][]byte{manifest.MachineName(m.doc.Machine): body, manifest.MachineSignatureName(m.doc.Machine): signature}
	return m
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// open opens the domain in the cache and those of the disks that were begun.
func (m *machine) open(disks ...string) *domain.Domain {
	m.t.Helper()
	stores := []domain.Store{m.cache}
	for _, path := range disks {
		if d, err := disk.Open(path); err == nil {
			m.t.Cleanup(func() { d.Close() })
			stores = append(stores, d)
		}
	}
	d, err := domain.Open(m.t.Context(), stores, m.doc, domain.Options{Keys: m.keys, Dedupe: m.writer.Dedupe, IndexDir: m.index})
	m.must(err)
	m.t.Cleanup(func() { d.Close() })
	return d
}

// options are those of a run.
func (m *machine) options(d *domain.Domain, disks []string, roots ...string) *seed.Options {
	o := &seed.Options{Disks: disks, Medium: m.medium, Domain: d, Cache: m.cache, Copies: m.copies, Key: m.doc.SigningKey,
		NewSet: func() manifest.ID {
			m.sets++
			return manifest.ID(fmt.Sprintf("0c000000-0000-4000-8000-%012d", m.sets))
		},
		Save: save.Config{Roots: roots, Writer: m.writer, Tool: "test", Host: "host", Readers: 1, DataPack: 1 << 20}}
	if m.change != nil {
		m.change(o)
	}
	return o
}

// try seeds roots onto disks.
func (m *machine) try(ctx context.Context, disks []string, roots ...string) (*seed.Report, error) {
	m.t.Helper()
	d := m.open(disks...)
	defer d.Close()
	return seed.Run(ctx, m.options(d, disks, roots...))
}

// stopped seeds until the nth pack of data is begun, and leaves a partial point.
func (m *machine) stopped(n int, disks []string, roots ...string) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	m.change = func(o *seed.Options) {
		o.Save.Progress = &save.Progress{}
		o.Save.CheckpointBytes = 1 << 20
		o.Cache = stopping{m.cache, func() {
			if n--; n == 0 {
				cancel()
			}
		}}
	}
	r, err := m.try(ctx, disks, roots...)
	m.change = nil
	if !errors.Is(err, context.Canceled) || r == nil || r.Point.State != catalog.PartialState {
		m.t.Fatalf("a seed that was to be stopped: %+v, %v", r, err)
	}
}

// stopping tells of each object that is kept.
type stopping struct {
	seed.Cache
	kept func()
}

func (s stopping) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if strings.HasSuffix(name, ".json") {
		s.kept()
	}
	return s.Cache.Put(ctx, name, body)
}

// check reads everything of the newest point, from the disks alone.
func (m *machine) check(root string, disks ...string) {
	m.t.Helper()
	var stores []domain.Store
	for _, path := range disks {
		d, err := disk.Open(path)
		m.must(err)
		defer d.Close()
		if l := d.Label(); l.State != disk.Sealed || l.Disks != len(disks) {
			m.t.Errorf("%s: %+v", path, l)
		}
		stores = append(stores, d)
	}
	d, err := domain.Open(m.t.Context(), stores, m.doc, domain.Options{Keys: m.keys, Dedupe: m.writer.Dedupe})
	m.must(err)
	defer d.Close()
	missing, err := d.CoverData(m.t.Context())
	if err != nil || len(missing) > 0 {
		m.t.Fatal(missing, err)
	}
	p, err := d.Resolve(m.t.Context(), "latest")
	m.must(err)
	top, err := p.RootEntry()
	m.must(err)
	files := 0
	m.must(catalog.Walk(m.t.Context(), d, top, nil, func(path []byte, e catalog.Entry) (bool, error) {
		if e.Kind == catalog.File {
			files++
			want, err := os.ReadFile(string(path))
			if got := m.content(d, e); err != nil || !bytes.Equal(got, want) {
				m.t.Errorf("%s: %d bytes that are not those of the file (%v)", path, len(got), err)
			}
		}
		return true, nil
	}))
	want, err := filepath.Glob(root + "/*")
	if err != nil || files != len(want) {
		m.t.Errorf("%d files, there are %d (%v)", files, len(want), err)
	}
}

func (m *machine) content(d *domain.Domain, e catalog.Entry) (all []byte) {
	m.t.Helper()
	for c, err := range catalog.Content(m.t.Context(), d, e) {
		m.must(err)
		loc, ok := d.Locate(c.ID)
		if !ok {
			m.t.Fatalf("%s: chunk %v is nowhere", e.Name, c.ID)
		}
		frame, err := d.Frame(m.t.Context(), loc, nil)
		m.must(err)
		b, err := d.Chunk(c.ID, frame, loc)
		m.must(err)
		all = append(all, b...)
	}
	return all
}

// tree is n files of a MiB each.
func tree(t *testing.T, n int) string {
	t.Helper()
	root := t.TempDir()
	for i := range n {
		b := make([]byte, 1<<20)
		rand.NewChaCha8([32]byte{byte(i), 7}).Read(b)
		if err := os.WriteFile(fmt.Sprintf("%s/f%02d", root, i), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(30 * time.Millisecond) // older than any clock tick
	return root
}

func TestResume(t *testing.T) {
	m, root := newMachine(t), tree(t, 12)
	disks := []string{t.TempDir(), t.TempDir()}
	m.stopped(3, disks, root)
	r, err := m.try(t.Context(), disks)
	m.must(err)
	if !r.Resumed || r.Point.Stats.ReadBytes > 11<<20 || len(r.Disks) != 2 {
		t.Errorf("%+v of %+v", r, r.Point)
	}
	m.check(root, disks...)
}

// A disk that is full need not be there when the seed goes on, with a new one.
func TestResumeWithoutOneDisk(t *testing.T) {
	m, root := newMachine(t), tree(t, 12)
	disks := []string{t.TempDir(), t.TempDir()}
	m.stopped(3, disks, root)
	before := packs(t, disks[0])
	disks = append(disks, t.TempDir())
	r, err := m.try(t.Context(), disks[1:], root)
	m.must(err)
	if after := packs(t, disks[0]); before != after || len(r.Disks) != 2 || fmt.Sprint(r.Absent) != "[1]" {
		t.Errorf("%d packs were on the disk that is away, now %d; %+v", before, after, r)
	}
	r, err = m.try(t.Context(), disks[:1])
	m.must(err)
	if len(r.Disks) != 1 || fmt.Sprint(r.Absent) != "[2 3]" {
		t.Errorf("sealing the disk that was away: %+v", r)
	}
	m.check(root, disks...)
}

func packs(t *testing.T, path string) int {
	t.Helper()
	all, err := filepath.Glob(path + "/machines/*/packs/*/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Reading disks back takes hours, so it is interrupted, too.
func TestResumeSealing(t *testing.T) {
	m, root := newMachine(t), tree(t, 6)
	disks := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	m.change = func(o *seed.Options) { o.Sealing = cancel }
	if r, err := m.try(ctx, disks, root); !errors.Is(err, context.Canceled) || r == nil || len(r.Disks) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	m.change = nil
	if _, err := m.try(t.Context(), append(disks, t.TempDir()), root); !errors.Is(err, seed.ErrSeeded) {
		t.Errorf("with a new disk: %v", err)
	}
	r, err := m.try(t.Context(), disks[:2], root)
	if err != nil || len(r.Disks) != 2 || r.Disks[0].Disk != 1 || r.Point.State != catalog.Complete {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err = m.try(t.Context(), disks[2:], root)
	m.must(err)
	m.check(root, disks...)
	if _, err := m.try(t.Context(), disks, root); !errors.Is(err, seed.ErrSeeded) {
		t.Errorf("all sealed: %v", err)
	}
}

// A seed that is resumed without a selection takes what the interrupted one took.
func TestResumeSelection(t *testing.T) {
	m, root := newMachine(t), tree(t, 8)
	disks := []string{t.TempDir()}
	n := 2
	ctx, cancel := context.WithCancel(t.Context())
	m.change = func(o *seed.Options) {
		o.Save.Excludes, o.Save.OneFileSystem, o.Save.CheckpointBytes = []string{"f07"}, true, 1<<20
		o.Cache = stopping{m.cache, func() {
			if n--; n == 0 {
				cancel()
			}
		}}
	}
	if _, err := m.try(ctx, disks, root); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m.change = nil
	r, err := m.try(t.Context(), disks)
	m.must(err)
	if len(r.Point.Excludes) != 1 || !r.Point.OneFileSystem || r.Point.Stats.Files != 7 {
		t.Errorf("%+v", r.Point)
	}
}

// Disks that nothing was committed to are numbered anew.
func TestDisksWithoutACommit(t *testing.T) {
	m, root := newMachine(t), tree(t, 3)
	disks := []string{t.TempDir(), t.TempDir()}
	m.change = func(o *seed.Options) { o.Save.Roots = []string{root + "/nowhere"} }
	if _, err := m.try(t.Context(), disks); err == nil {
		t.Fatal("a root that isn't there")
	}
	m.change = nil
	_, err := m.try(t.Context(), disks[1:], root)
	m.must(err)
	m.check(root, disks[1])
}

// A path given twice would count as two disks.
func TestDiskGivenTwice(t *testing.T) {
	m, root := newMachine(t), tree(t, 2)
	path := t.TempDir()
	for range 2 {
		if _, err := m.try(t.Context(), []string{path, path}, root); !errors.Is(err, disk.ErrForeign) {
			t.Error(err)
		}
	}
	_, err := m.try(t.Context(), []string{path}, root)
	m.must(err)
	m.check(root, path)
}

// A disk that only got packs of the catalogue again is counted, too: the next one has a number of its own.
func TestReissuedCatalogue(t *testing.T) {
	m, root := newMachine(t), tree(t, 2)
	disks := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	_, err := m.try(t.Context(), disks[:1], root)
	m.must(err)
	for i, path := range disks[1:] {
		d := m.open()
		var packs []manifest.Pack
		for _, link := range d.Chain.Links {
			for _, p := range link.Manifest.Packs {
				if p.Class == manifest.Catalogue && p.Disk == 1 {
					packs = append(packs, p)
				}
			}
		}
		r, h, err := seed.Reissue(t.Context(), m.options(d, []string{path}), packs)
		m.must(err)
		m.must(d.Close())
		if len(h.Again) != len(packs) || len(h.Settled) != 0 || len(r.Disks) != 1 || r.Disks[0].Disk != i+2 {
			t.Fatalf("%+v, %+v", r, h)
		}
	}
}

// A disk of parity takes no packs again, and nobody says that it did.
func TestReissueToParity(t *testing.T) {
	m, root := newMachine(t), tree(t, 1)
	r, err := m.try(t.Context(), []string{t.TempDir()}, root)
	m.must(err)
	path := t.TempDir()
	p, err := disk.Create(path, disk.Label{Vault: m.doc.Vault, Machine: m.doc.Machine, Set: r.Set, Disk: 2, Role: disk.RoleParity, Time: time.Unix(1e9, 0)})
	m.must(err)
	m.must(p.Close())
	for _, class := range []manifest.Class{manifest.Catalogue, manifest.Data} {
		d, packs := m.open(), slices.DeleteFunc(slices.Clone(r.Packs), func(p manifest.Pack) bool { return p.Class != class })
		if _, h, err := seed.Reissue(t.Context(), m.options(d, []string{path}), packs); !errors.Is(err, seed.ErrNoData) || len(h.Again) != 0 {
			t.Errorf("%s: %+v, %v", class, h, err)
		}
		m.must(d.Close())
	}
}
