package ingest

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/ingest/vault"
	"waybill/manifest"
	"waybill/seed/disk"
)

const (
	vaultID   manifest.ID = "6f1c9a52-3c1e-4a7b-9d55-0f2f8c1e7a01"
	machineID manifest.ID = "0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02"
	setID     manifest.ID = "d2c4b8a0-1f3e-4c6d-8a9b-7e5f3d1c0b03"
	otherID   manifest.ID = "11111111-2222-4333-8444-555555555555"
	recipient             = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
)

var when = time.Date(2026, 11, 24, 12, 30, 5, 0, time.UTC)

// A world is a vault with a registered machine, and two disks of its seed.
type world struct {
	t        testing.TB
	vaultKey *manifest.Signer
	signer   *manifest.Signer // the machine's
	vault    *vault.Dir
	disks    []*disk.Disk
	packs    []manifest.Pack
	head     manifest.Digest
	sequence int
	random   *rand.ChaCha8
}

// newWorld has a seed of two commits.
func newWorld(t testing.TB) *world {
	w := newEmptyWorld(t)
	w.commit(3, 1000)
	w.commit(4, 3<<19)
	return w
}

func newEmptyWorld(t testing.TB) *world {
	w := &world{t: t, random: rand.NewChaCha8([32]byte{1})}
	var err error
	w.vaultKey, err = manifest.NewSigner()
	w.must(err)
	w.signer, err = manifest.NewSigner()
	w.must(err)
	w.vault, err = vault.Open(tempDir(t))
	w.must(err)
	t.Cleanup(func() { w.vault.Close() })
	w.register(w.vault, w.signer)
	secret, err := w.vaultKey.MarshalText()
	w.must(err)
	w.put(w.vault, manifest.ReceiptKeyName, secret)
	for n := 1; n <= 2; n++ {
		d, err := disk.Create(tempDir(t), disk.Label{Vault: vaultID, Machine: machineID, Set: setID, Disk: n, Time: when})
		w.must(err)
		t.Cleanup(func() { d.Close() })
		w.register(d, w.signer)
		w.disks = append(w.disks, d)
	}
	return w
}

// tempDir is in memory where that can be had: many worlds are made, and each file is synced.
func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "waybill-ingest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(s Store, name string, b []byte) {
	w.t.Helper()
	w.must(s.Put(context.Background(), name, bytes.NewReader(b)))
}

func (w *world) sign(s *manifest.Signer, b []byte) []byte {
	w.t.Helper()
	sig, err := s.Sign(b)
	w.must(err)
	return sig
}

// register writes the documents that vault and disks share.
func (w *world) register(s Store, key *manifest.Signer) {
	w.t.Helper()
	b, err := manifest.Vault{Vault: vaultID, Created: when, RecoveryRecipient: recipient, ReceiptKey: w.vaultKey.Public()}.Encode()
	w.must(err)
	w.put(s, manifest.VaultName, b)
	b, err = manifest.Machine{Vault: vaultID, Machine: machineID, Name: "db1", Created: when, SigningKey: key.Public(),
		CatalogueRecipient: recipient, Cutter: manifest.Cutter{Algorithm: "x", Min: 1, Mean: 2, Max: 3}}.Encode()
	w.must(err)
	w.put(s, manifest.MachineName(machineID), b)
	w.put(s, manifest.MachineSignatureName(machineID), w.sign(key, b))
	w.put(s, manifest.RecoveryName, []byte("{}"))
	w.put(s, manifest.MachineKeyName(machineID), []byte("sealed"))
}

// newPack makes a pack of random bytes.
func (w *world) newPack(size, disk int) (manifest.Pack, []byte) {
	b := make([]byte, size)
	w.random.Read(b)
	return manifest.Pack{Name: manifest.Sum(b), Class: manifest.Data, Size: int64(size), MD5: md5.Sum(b), Disk: disk}, b
}

// commit writes packs to the disks in turn, and the manifest to all of them.
func (w *world) commit(n, size int) {
	w.t.Helper()
	m := w.next()
	for i := range n {
		d := i % len(w.disks)
		p, b := w.newPack(size+i, d+1)
		m.Packs = append(m.Packs, p)
		w.put(w.disks[d], manifest.PackName(machineID, p.Name), b)
	}
	w.packs = append(w.packs, m.Packs...)
	for _, d := range w.disks {
		w.publish(d, m)
	}
}

// next is the beginning of the next commit.
func (w *world) next() *manifest.Manifest {
	w.sequence++
	return &manifest.Manifest{Vault: vaultID, Machine: machineID, Set: setID, Disks: len(w.disks), Sequence: w.sequence, Previous: w.head,
		Time: when, Tool: "test", Record: []byte("sealed")}
}

func (w *world) publish(s Store, m *manifest.Manifest) {
	w.t.Helper()
	slices.SortFunc(m.Packs, func(a, b manifest.Pack) int { return bytes.Compare(a.Name[:], b.Name[:]) })
	b, err := m.Encode()
	w.must(err)
	w.head = manifest.Sum(b)
	w.put(s, manifest.SignatureName(machineID, m.Sequence, w.head), w.sign(w.signer, b))
	w.put(s, manifest.ManifestName(machineID, m.Sequence), b)
}

func (w *world) sources(numbers ...int) (s []Source) {
	for _, n := range numbers {
		s = append(s, Source{fmt.Sprintf("disk%d", n), w.disks[n-1]})
	}
	return s
}

func options() Options {
	return Options{Host: "vault1", Tool: "waybill-ingest test", Now: func() time.Time { return when }}
}

// pack is one pack of the given disk, and where it is in the file system.
func (w *world) pack(disk int) (manifest.Pack, string) {
	for _, p := range w.packs {
		if p.Disk == disk {
			return p, filepath.Join(w.disks[disk-1].Path(), filepath.FromSlash(manifest.PackName(machineID, p.Name)))
		}
	}
	w.t.Fatalf("disk %d has no packs", disk)
	return manifest.Pack{}, ""
}

// flip changes one byte of a file.
func (w *world) flip(path string) {
	w.t.Helper()
	b, err := os.ReadFile(path)
	w.must(err)
	b[len(b)/2] ^= 0x10
	w.must(os.WriteFile(path, b, 0o644))
}

// checkVault verifies that the vault has everything but what is missing, and a good receipt that says so.
func (w *world) checkVault(missing int) *VerifyReport {
	w.t.Helper()
	r, err := Verify(context.Background(), Source{"vault", w.vault}, Options{})
	if r == nil || len(r.Damaged) != 0 || len(r.Extra) != 0 || len(r.Missing) != missing || r.Packs != len(w.packs)-missing {
		w.t.Fatalf("the vault: %+v, %v", r, err)
	}
	var incomplete *IncompleteError
	if missing == 0 && err != nil || missing > 0 && !errors.As(err, &incomplete) {
		w.t.Fatalf("the vault: %v", err)
	}
	return r
}

func TestImport(t *testing.T) {
	w := newWorld(t)
	o := options()
	o.Progress = &Progress{}
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), o)
	if err != nil {
		t.Fatal(err)
	}
	m := r.Machines[0]
	if m.Receipt.Imported != 7 || m.Receipt.Verified != 7 || m.Receipt.Present != 0 || m.Commits != 2 || m.Name != "db1" || m.Receipt.Set != setID {
		t.Errorf("%+v", m)
	}
	if p := o.Progress; p.Packs.Load() != 7 || p.TotalPacks.Load() != 7 || p.Bytes.Load() != p.TotalBytes.Load() || p.Bytes.Load() != m.Receipt.Bytes {
		t.Errorf("progress: %d of %d packs, %d of %d bytes", p.Packs.Load(), p.TotalPacks.Load(), p.Bytes.Load(), p.TotalBytes.Load())
	}
	w.checkVault(0)

	r, err = Import(t.Context(), w.vault, w.sources(2, 1), options())
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Machines[0]; m.Receipt.Imported != 0 || m.Receipt.Present != 7 || m.Commits != 0 {
		t.Errorf("a second time: %+v", m)
	}
	if v := w.checkVault(0); v.Machines[0].Commits != 2 || v.Machines[0].Newest != w.head {
		t.Errorf("the vault's chain: %+v", v.Machines[0])
	}
}

func TestImportDiskByDisk(t *testing.T) {
	w := newWorld(t)
	_, err := Import(t.Context(), w.vault, w.sources(2), options())
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || len(incomplete.Missing) != 4 || incomplete.Missing[0].Disk != 1 || incomplete.Missing[0].Reason != manifest.Absent {
		t.Fatalf("disk 2 alone: %v", err)
	}
	if want := "4 packs of 3147732 bytes are missing, 4 of them from disk 1; not here: disk 1 of the set"; !strings.HasSuffix(err.Error(), want) {
		t.Errorf("it says %q", err)
	}
	w.checkVault(4)
	if _, err := Import(t.Context(), w.vault, w.sources(1), options()); err != nil {
		t.Fatalf("disk 1 after it: %v", err)
	}
	w.checkVault(0)
}

// What a killed import left in the vault is cleared away by the next one.
func TestImportSweeps(t *testing.T) {
	w := newWorld(t)
	left := filepath.Join(w.vault.Path(), ".tmp-0123")
	w.must(os.WriteFile(left, []byte("half a pack"), 0o644))
	if _, err := Import(t.Context(), w.vault, w.sources(1, 2), options()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", left, err)
	}
}

// Several hosts import at once, each its own disks and in its own order, and each twice. The vault is the same in the end, and no pack was stored twice.
func TestImportTwiceAtOnce(t *testing.T) {
	w := newWorld(t)
	p, b := w.newPack(10, 1) // a pack that both disks have
	m := w.next()
	m.Packs = append(m.Packs, p)
	w.packs = append(w.packs, p)
	for _, d := range w.disks {
		w.put(d, manifest.PackName(machineID, p.Name), b)
		w.publish(d, m)
	}
	stored := &recorder{Store: w.vault}
	var group sync.WaitGroup
	for i, numbers := range [][]int{{1, 2}, {2, 1}, {1}, {2}} {
		group.Go(func() {
			o := options()
			o.Host = fmt.Sprint("host", i)
			for range 2 {
				_, err := Import(t.Context(), stored, w.sources(numbers...), o)
				var incomplete *IncompleteError // of one disk, while the other's packs are not there yet
				if err != nil && (len(numbers) == 2 || !errors.As(err, &incomplete)) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	w.checkVault(0)
	if n := strings.Count(stored.log.String(), "/packs/"); n != len(w.packs) {
		t.Errorf("%d packs were stored, there are %d", n, len(w.packs))
	}
	for disk := 1; disk <= 2; disk++ {
		if log := w.log(w.vault, disk); log[0] != "received" || !slices.Contains(log, "imported") {
			t.Errorf("the log of disk %d: %v", disk, log)
		}
	}
}

func TestImportDamaged(t *testing.T) {
	for name, test := range map[string]struct {
		damage  func(w *world) error
		reason  string
		damaged int
	}{
		"a byte changed":   {func(w *world) error { _, path := w.pack(1); w.flip(path); return nil }, manifest.DamagedPack, 1},
		"cut":              {func(w *world) error { _, path := w.pack(1); return os.Truncate(path, 10) }, manifest.DamagedPack, 1},
		"empty":            {func(w *world) error { _, path := w.pack(1); return os.Truncate(path, 0) }, manifest.DamagedPack, 1},
		"gone":             {func(w *world) error { _, path := w.pack(1); return os.Remove(path) }, manifest.Absent, 0},
		"a directory":      {func(w *world) error { _, path := w.pack(1); os.Remove(path); return os.Mkdir(path, 0o755) }, manifest.Absent, 0},
		"a link elsewhere": {func(w *world) error { _, path := w.pack(1); os.Remove(path); return os.Symlink("/etc/passwd", path) }, manifest.Absent, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := test.damage(w); err != nil {
				t.Skipf("can't be made here: %v", err)
			}
			p, _ := w.pack(1)
			r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
			var damaged *DamagedError
			var incomplete *IncompleteError
			if !errors.As(err, &incomplete) || errors.As(err, &damaged) != (test.damaged > 0) {
				t.Fatalf("the error: %v", err)
			}
			m := r.Machines[0]
			if len(m.Damaged) != test.damaged || len(m.Receipt.Missing) != 1 || m.Receipt.Missing[0] != (manifest.WantPack{Name: p.Name, Size: p.Size, Disk: 1, Reason: test.reason}) {
				t.Errorf("damaged %v, missing %v", m.Damaged, m.Receipt.Missing)
			}
			if m.Commits != 2 {
				t.Errorf("%d commits imported", m.Commits)
			}
			w.checkVault(1)
		})
	}
}

// A copy of a damaged pack on another disk, or in the vault, makes up for it.
func TestImportFromTheGoodCopy(t *testing.T) {
	w := newWorld(t)
	p, path := w.pack(1)
	b, err := os.ReadFile(path)
	w.must(err)
	w.flip(path)
	w.put(w.disks[1], manifest.PackName(machineID, p.Name), b)
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Machines[0]; len(m.Damaged) != 1 || m.Damaged[0].Where != "disk1" || !m.Damaged[0].Mended || len(m.Receipt.Missing) != 0 {
		t.Errorf("%+v", m)
	}
	w.checkVault(0)
	if _, err := Import(t.Context(), w.vault, w.sources(1, 2), options()); err != nil {
		t.Errorf("with the vault's copy there: %v", err)
	}
}

// replace changes what is on a disk under a name.
func (w *world) replace(s *disk.Disk, name string, b []byte) {
	w.t.Helper()
	w.must(os.WriteFile(filepath.Join(s.Path(), filepath.FromSlash(name)), b, 0o644))
}

func TestImportRefused(t *testing.T) {
	other, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	read := func(w *world, name string) string {
		b, err := manifest.ReadObject(context.Background(), w.disks[0], name, 1<<20)
		w.must(err)
		return string(b)
	}
	for name, test := range map[string]struct {
		change func(w *world)
		want   error
	}{
		"another vault's disk": {func(w *world) {
			w.replace(w.disks[0], manifest.VaultName, []byte(strings.Replace(read(w, manifest.VaultName), string(vaultID), string(otherID), 1)))
			w.replace(w.disks[0], disk.LabelName, []byte(strings.Replace(read(w, disk.LabelName), string(vaultID), string(otherID), 1)))
		}, ErrForeign},
		"no disk": {func(w *world) { os.Remove(filepath.Join(w.disks[0].Path(), manifest.VaultName)) }, fs.ErrNotExist},
		"a machine that is not registered": {func(w *world) {
			os.RemoveAll(filepath.Join(w.vault.Path(), "machines"))
		}, ErrUnregistered},
		"another machine's key": {func(w *world) {
			b := strings.Replace(read(w, manifest.MachineName(machineID)), string(w.signer.Public()), string(other.Public()), 1)
			w.replace(w.disks[0], manifest.MachineName(machineID), []byte(b))
			w.replace(w.disks[0], manifest.MachineSignatureName(machineID), w.sign(other, []byte(b)))
		}, ErrUnregistered},
		"machine.json changed": {func(w *world) {
			w.replace(w.disks[0], manifest.MachineName(machineID), []byte(strings.Replace(read(w, manifest.MachineName(machineID)), "db1", "db2", 1)))
		}, manifest.ErrSignature},
		"label of another vault": {func(w *world) {
			w.replace(w.disks[0], disk.LabelName, []byte(strings.Replace(read(w, disk.LabelName), string(vaultID), string(otherID), 1)))
		}, manifest.ErrFormat},
		"label cut": {func(w *world) { w.replace(w.disks[0], disk.LabelName, []byte(`{"format":`)) }, manifest.ErrFormat},
		"another commit in the vault": {func(w *world) {
			w.head, w.sequence = manifest.Digest{}, 0
			m := w.next()
			m.Tool = "a copy of the machine"
			w.publish(w.vault, m)
		}, manifest.ErrChain},
		"the disks' chain goes on from another": {func(w *world) {
			m := w.next()
			m.Sequence, m.Previous = 3, manifest.Sum([]byte("another"))
			w.publish(w.vault, m)
		}, manifest.ErrChain},
		"no key for receipts": {func(w *world) { os.Remove(filepath.Join(w.vault.Path(), manifest.ReceiptKeyName)) }, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			_, err := Import(t.Context(), w.vault, w.sources(1), options())
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			w.must(w.vault.List(t.Context(), "", func(name string, _ int64) error {
				if strings.Contains(name, "/packs/") || strings.Contains(name, "/receipts/") {
					t.Errorf("%s was imported all the same", name)
				}
				return nil
			}))
		})
	}
}

// A bad manifest is left out; what the good ones list is imported.
func TestImportBadManifest(t *testing.T) {
	w := newWorld(t)
	for _, d := range w.disks {
		w.flip(filepath.Join(d.Path(), filepath.FromSlash(manifest.ManifestName(machineID, 2))))
	}
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	if !errors.Is(err, manifest.ErrSignature) {
		t.Fatal(err)
	}
	if m := r.Machines[0]; m.Commits != 1 || m.Receipt.Imported != 3 || len(m.Receipt.Manifests) != 1 {
		t.Errorf("%+v", m)
	}
}

// Packs that no commit lists are not imported: whoever put them there didn't sign for them.
func TestImportLeavesUnlisted(t *testing.T) {
	w := newWorld(t)
	p, b := w.newPack(100, 1)
	w.put(w.disks[0], manifest.PackName(machineID, p.Name), b)
	if _, err := Import(t.Context(), w.vault, w.sources(1, 2), options()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.vault.Size(t.Context(), manifest.PackName(machineID, p.Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unlisted pack: %v", err)
	}
}

func TestImportCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Import(ctx, w.vault, w.sources(1, 2), options()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestVerifyDisk(t *testing.T) {
	w := newWorld(t)
	r, err := Verify(t.Context(), w.sources(1)[0], Options{})
	if err != nil || r.Packs != 4 || r.Elsewhere != 3 || len(r.Extra) != 0 || r.Label.Disk != 1 || r.Machines[0].Commits != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	_, path := w.pack(1)
	w.flip(path)
	stray, b := w.newPack(100, 1)
	w.put(w.disks[0], manifest.PackName(machineID, stray.Name), b)
	w.put(w.disks[0], "notes.txt", []byte("hello"))
	r, err = Verify(t.Context(), w.sources(1)[0], Options{})
	var damaged *DamagedError
	if !errors.As(err, &damaged) || r.Packs != 3 || len(r.Damaged) != 1 || !slices.Equal(r.Extra, []string{manifest.PackName(machineID, stray.Name), "notes.txt"}) {
		t.Errorf("%+v, %v", r, err)
	}
	w.must(os.Remove(path))
	var incomplete *IncompleteError
	if _, err = Verify(t.Context(), w.sources(1)[0], Options{}); !errors.As(err, &incomplete) || len(incomplete.Missing) != 1 {
		t.Errorf("%v", err)
	}
}

// The keys on a sealed disk are checked against its SHA256SUMS.
func TestVerifySealed(t *testing.T) {
	w := newWorld(t)
	d := w.disks[0]
	w.must(disk.Seal(t.Context(), []*disk.Disk{d}, disk.SealOptions{Key: w.signer.Public(), Disks: 2, Host: "db1", Now: when}))
	if r, err := Verify(t.Context(), w.sources(1)[0], Options{}); err != nil || r.Label.State != disk.Sealed || len(r.Extra) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.flip(filepath.Join(d.Path(), filepath.FromSlash(manifest.MachineKeyName(machineID))))
	w.must(d.Remove(t.Context(), manifest.RecoveryName))
	var damaged *DamagedError
	if _, err := Verify(t.Context(), w.sources(1)[0], Options{}); !errors.As(err, &damaged) || len(damaged.Damaged) != 2 {
		t.Errorf("changed keys: %v", err)
	}
	p, _ := w.pack(1)
	sums, err := os.ReadFile(filepath.Join(d.Path(), disk.SumsName))
	w.must(err)
	other := strings.Replace(string(sums), p.Name.String()+"  ", manifest.Digest{1}.String()+"  ", 1)
	w.replace(d, disk.SumsName, []byte(other))
	if _, err := Verify(t.Context(), w.sources(1)[0], Options{}); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("another digest of a pack: %v", err)
	}
	w.replace(d, disk.SumsName, nil)
	if _, err := Verify(t.Context(), w.sources(1)[0], Options{}); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("empty sums: %v", err)
	}
	w.replace(d, disk.SumsName, []byte("x\n"))
	if _, err := Verify(t.Context(), w.sources(1)[0], Options{}); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("changed sums: %v", err)
	}
}

// A vault without the keys is found to be, and all else in it is checked nevertheless.
func TestVerifyKeysGone(t *testing.T) {
	w := newWorld(t)
	_, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	w.must(err)
	w.must(os.RemoveAll(filepath.Join(w.vault.Path(), "keys")))
	var damaged *DamagedError
	r, err := Verify(t.Context(), Source{"vault", w.vault}, Options{})
	if !errors.As(err, &damaged) || len(damaged.Damaged) != 2 || damaged.Damaged[0].Name != manifest.MachineKeyName(machineID) ||
		damaged.Damaged[1].Name != manifest.RecoveryName || r.Packs != len(w.packs) || len(r.Extra) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestVerifyReceipt(t *testing.T) {
	w := newWorld(t)
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	w.must(err)
	w.flip(filepath.Join(w.vault.Path(), filepath.FromSlash(r.Machines[0].ReceiptName)))
	var damaged *DamagedError
	if _, err := Verify(t.Context(), Source{"vault", w.vault}, Options{}); !errors.As(err, &damaged) || damaged.Damaged[0].Name != r.Machines[0].ReceiptName {
		t.Errorf("a changed receipt: %v", err)
	}
}
