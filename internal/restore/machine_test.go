package restore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/incremental"
	"waybill/ingest/vault"
	"waybill/internal/domain"
	"waybill/internal/fault"
	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/restore"
	"waybill/internal/save"
	"waybill/internal/treetest"
	"waybill/manifest"
)

// A machine with a vault in a directory.
type machine struct {
	testing.TB
	dir    string // of the vault
	vault  *vault.Dir
	index  string
	doc    *manifest.Machine
	writer save.Writer
	keys   pack.Keys
	change func(*save.Config)
	line   *fault.Line // by which the vault is read; nil: it is at hand
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{TB: t, dir: temp(t), index: temp(t)}
	var err error
	if m.vault, err = vault.Open(m.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.vault.Close() })
	recovery, _ := age.GenerateX25519Identity()
	catalogue, _ := age.GenerateX25519Identity()
	m.keys = pack.Keys{Recovery: recovery, Machine: catalogue}
	m.writer = save.Writer{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002",
		Recovery: recovery.Recipient(), Catalogue: catalogue.Recipient(), Dedupe: [32]byte{1}}
	if m.writer.Signer, err = manifest.NewSigner(); err != nil {
		t.Fatal(err)
	}
	if m.writer.Cutter, err = cut.New([32]byte{2}, cut.Params{}); err != nil {
		t.Fatal(err)
	}
	m.doc = &manifest.Machine{Vault: m.writer.Vault, Machine: m.writer.Machine, Name: "test", SigningKey: m.writer.Signer.Public()}
	return m
}

// temp is a directory on tmpfs where there is one, which may be deeper than paths can say.
func temp(t testing.TB) string {
	t.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "waybill-restore-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { treetest.RemoveAll(dir) })
	return dir
}

// open opens the domain; with an index of its own when fresh.
func (m *machine) open(fresh bool) *domain.Domain {
	m.Helper()
	opts := domain.Options{Keys: m.keys, Dedupe: m.writer.Dedupe, IndexDir: m.index}
	if fresh {
		opts.IndexDir = ""
	}
	var store domain.Store = m.vault
	if m.line != nil {
		store = m.line
	}
	d, err := domain.Open(m.Context(), []domain.Store{store}, m.doc, opts)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { d.Close() })
	return d
}

func (m *machine) backup(roots ...string) *save.Result {
	m.Helper()
	cfg := save.Config{Roots: roots, Writer: m.writer, Tool: "test", Host: "host"}
	if m.change != nil {
		m.change(&cfg)
	}
	d := m.open(false)
	defer d.Close()
	r, err := incremental.Run(m.Context(), m.vault, d, cfg, incremental.Options{})
	if err != nil {
		m.Fatal(err)
	}
	return r
}

func (m *machine) point(d *domain.Domain, spec string) *domain.Point {
	m.Helper()
	p, err := d.Resolve(m.Context(), spec)
	if err != nil {
		m.Fatal(err)
	}
	return p
}

func (m *machine) try(ctx context.Context, opts restore.Options) (*restore.Report, error) {
	m.Helper()
	d := m.open(true)
	return restore.Run(ctx, d, m.point(d, "latest"), opts)
}

func (m *machine) restore(opts restore.Options) *restore.Report {
	m.Helper()
	r, err := m.try(m.Context(), opts)
	if err != nil {
		m.Fatalf("restoring: %v %+v", err, r)
	}
	return r
}

// same checks that a directory came back below the target.
func (m *machine) same(to, root string, ignore ...treetest.Aspect) {
	m.Helper()
	for i, d := range treetest.Compare(root, filepath.Join(to, root), ignore...) {
		if m.Error(d); i == 20 {
			m.Fatal("and more")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(to, ".waybill*")); len(left) > 0 {
		m.Errorf("left behind: %q", left)
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, b, 0o666)); err != nil {
		t.Fatal(err)
	}
}

func has(t testing.TB, path string, want []byte) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, want) {
		t.Errorf("%s: %d bytes, %v; want %d", path, len(b), err, len(want))
	}
}

func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// settle waits until what was written before is older than any clock tick.
func settle() { time.Sleep(20 * time.Millisecond) }

func isErr(err, want error) bool { return errors.Is(err, want) }
