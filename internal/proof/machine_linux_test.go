package proof

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/incremental"
	"waybill/incremental/volumes"
	"waybill/ingest"
	"waybill/ingest/vault"
	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/keys"
	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/save"
	"waybill/manifest"
)

// A machine with a vault in a directory, in this process.
type machine struct {
	t       *testing.T
	id      *identity
	vault   *vault.Dir
	index   string
	change  func(*save.Config) // of every run, may be nil
	volumes volumes.Options
	receipt *manifest.Signer
	frames  map[place][]byte // opened by what reads the points just now
}

// An identity is what a machine has before its first backup.
type identity struct {
	recovery *age.X25519Identity
	secrets  *keys.Secrets
	doc      *manifest.Machine
}

const (
	vaultID   = manifest.ID("0a000000-0000-4000-8000-000000000001")
	machineID = manifest.ID("0b000000-0000-4000-8000-000000000002")
)

var when = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func now() time.Time { return when }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// scratch is a new directory in memory where there is such a file system, so that waiting for disks takes no time.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "waybill-proof-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newIdentity(t *testing.T) *identity {
	t.Helper()
	recovery := must[*age.X25519Identity](t)(age.GenerateX25519Identity())
	return identityOf(recovery, must[*keys.Secrets](t)(keys.NewSecrets(vaultID, machineID)))
}

func identityOf(recovery *age.X25519Identity, secrets *keys.Secrets) *identity {
	cutter := manifest.Cutter{Algorithm: cut.Name, Min: 4 << 10, Mean: 8 << 10, Max: 12 << 10}
	return &identity{recovery, secrets, &manifest.Machine{Vault: vaultID, Machine: machineID, Name: "proof", Created: when, SigningKey: secrets.Signer.Public(),
		CatalogueRecipient: secrets.Catalogue.Recipient().String(), Cutter: cutter}}
}

// newMachine makes a machine and registers it in a new vault.
func newMachine(t *testing.T, id *identity) *machine {
	t.Helper()
	m := &machine{t: t, id: id, index: scratch(t), vault: must[*vault.Dir](t)(vault.Open(scratch(t)))}
	t.Cleanup(func() { m.vault.Close() })
	m.receipt = must[*manifest.Signer](t)(manifest.NewSigner())
	for name, b := range m.documents() {
		if err := m.vault.Put(t.Context(), name, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// documents are what a vault has before the first backup, but for the wrapped recovery key, which nothing here opens.
func (m *machine) documents() map[string][]byte {
	m.t.Helper()
	doc := must[[]byte](m.t)(m.id.doc.Encode())
	return map[string][]byte{
		manifest.VaultName: must[[]byte](m.t)(manifest.Vault{Vault: vaultID, Created: when,
			RecoveryRecipient: m.id.recovery.Recipient().String(), ReceiptKey: m.receipt.Public()}.Encode()),
		manifest.ReceiptKeyName:                  must[[]byte](m.t)(m.receipt.MarshalText()),
		manifest.RecoveryName:                    []byte("{}\n"), // locked by no passphrase: the tests have the key itself
		manifest.MachineName(machineID):          doc,
		manifest.MachineSignatureName(machineID): must[[]byte](m.t)(m.id.secrets.Signer.Sign(doc)),
		manifest.MachineKeyName(machineID):       must[[]byte](m.t)(m.id.secrets.Seal(m.id.recovery.Recipient())),
	}
}

// A store is what backup and domain want of a vault together.
type store interface {
	incremental.Store
	domain.Store
}

// open opens the domain with all keys, and with the given directory as its index; a new one when that is empty.
func (m *machine) open(ctx context.Context, index string, stores ...domain.Store) (*domain.Domain, error) {
	if index == "" {
		index = scratch(m.t)
	}
	return domain.Open(ctx, stores, m.id.doc, domain.Options{IndexDir: index, Dedupe: m.id.secrets.DedupeKey(),
		Keys: pack.Keys{Recovery: m.id.recovery, Machine: m.id.secrets.Catalogue}})
}

// config is a run's configuration: small packs and many checkpoints.
func (m *machine) config(roots ...string) save.Config {
	m.t.Helper()
	s, c := m.id.secrets, m.id.doc.Cutter
	cfg := save.Config{Roots: roots, Tool: "proof", Host: "host", DataPack: 256 << 10, CataPack: 64 << 10, CheckpointBytes: 128 << 10,
		Progress: &save.Progress{},
		Writer: save.Writer{Vault: vaultID, Machine: machineID, Signer: s.Signer, Recovery: m.id.recovery.Recipient(), Catalogue: s.Catalogue.Recipient(),
			Dedupe: s.DedupeKey(), Cutter: must[*cut.Cutter](m.t)(cut.New(s.CutterKey(), cut.Params{Min: c.Min, Mean: c.Mean, Max: c.Max}))}}
	if m.change != nil {
		m.change(&cfg)
	}
	return cfg
}

// try makes a backup through a store.
func (m *machine) try(s store, cfg save.Config) (*save.Result, error) {
	m.t.Helper()
	d, err := m.open(m.t.Context(), m.index, s)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return incremental.Run(m.t.Context(), s, d, cfg, incremental.Options{Volumes: m.volumes})
}

// backup makes a backup that must succeed.
func (m *machine) backup(roots ...string) *save.Result {
	m.t.Helper()
	r, err := m.try(m.vault, m.config(roots...))
	if err != nil {
		m.t.Fatalf("backup: %v", err)
	}
	return r
}

// verified checks the vault without keys, and that no file in it is strange.
func (m *machine) verified(extra bool) *ingest.VerifyReport {
	m.t.Helper()
	r, err := ingest.Verify(m.t.Context(), ingest.Source{Name: "the vault", Reader: m.vault}, ingest.Options{})
	if err != nil {
		m.t.Fatalf("verify: %v", err)
	}
	if len(r.Machines) != 1 {
		m.t.Fatalf("verify saw %d machines", len(r.Machines))
	}
	if len(r.Extra) > 0 && !extra {
		m.t.Fatalf("the vault has files that nothing refers to: %q", r.Extra)
	}
	return r
}

// points opens the vault with an index of its own and hands over every point, oldest first.
func (m *machine) points(each func(d *domain.Domain, p domain.Point)) {
	m.t.Helper()
	d, err := m.open(m.t.Context(), "", m.vault)
	if err != nil {
		m.t.Fatalf("opening the vault: %v", err)
	}
	defer d.Close()
	if missing, err := d.CoverData(m.t.Context()); err != nil || len(missing) > 0 {
		m.t.Fatalf("packs are missing: %v %v", missing, err)
	}
	m.frames = map[place][]byte{}
	for _, p := range d.Points(m.t.Context()) {
		if p.Err != nil {
			m.t.Fatalf("point %d: %v", p.Manifest.Sequence, p.Err)
		}
		each(d, p)
	}
}

// entry is the entry of a path in a point.
func (m *machine) entry(d *domain.Domain, p domain.Point, path string) (catalog.Entry, error) {
	m.t.Helper()
	return catalog.Resolve(m.t.Context(), d, must[catalog.Entry](m.t)(p.RootEntry()), []byte(path))
}

// settle waits until what was written before is older than any clock tick.
func settle() { time.Sleep(30 * time.Millisecond) }
