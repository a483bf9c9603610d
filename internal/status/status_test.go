package status

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/ingest/vault/vaultsim"
	"waybill/internal/heal"
	"waybill/manifest"
)

// A thin vault lacks some packs.
type thin struct {
	*vaultsim.Vault
	lacks func(d manifest.Digest) bool
}

func (v thin) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	return v.Vault.List(ctx, prefix, func(name string, size int64) error {
		if _, d, ok := manifest.ParsePackName(name); ok && v.lacks(d) {
			return nil
		}
		return each(name, size)
	})
}

func (v thin) Level(ctx context.Context, prefix string, each func(string, int64) error) error {
	return manifest.Level(ctx, struct{ manifest.Reader }{v}, prefix, each)
}

func simulated(t *testing.T, shape vaultsim.Shape) (*vaultsim.Vault, *manifest.Vault) {
	t.Helper()
	v, err := vaultsim.New(shape)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := manifest.OpenVault(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	return v, doc
}

func machines(t *testing.T, v manifest.Reader, doc *manifest.Vault) (all []*Machine) {
	t.Helper()
	if err := Machines(t.Context(), v, doc, func(m *Machine) error { all = append(all, m); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMachines(t *testing.T) {
	v, doc := simulated(t, vaultsim.Shape{Machines: 3, Commits: 10, Packs: 40})
	ctx := t.Context()
	put := func(name string, b []byte) {
		t.Helper()
		if err := v.Put(ctx, name, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	ends := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, d := range []time.Duration{-240 * time.Hour, 0, -time.Hour} {
		put(manifest.AccessName(v.Machine(1), ends.Add(d)), []byte("sealed"))
	}
	lost, missing := v.Pack(0, 7), v.Pack(2, 3)
	chain, err := manifest.ReadChain(ctx, v, must(manifest.OpenMachine(ctx, v, v.Machine(0))))
	if err != nil {
		t.Fatal(err)
	}
	r := manifest.Receipt{Vault: doc.Vault, Machine: v.Machine(0), Time: ends, Missing: []manifest.WantPack{{Name: lost.Name, Size: lost.Size, Reason: manifest.DamagedPack}}}
	for _, l := range chain.Links {
		r.Manifests = append(r.Manifests, manifest.Covered{Sequence: l.Manifest.Sequence, Digest: l.Digest})
	}
	body := must(r.Encode())
	put(manifest.ReceiptName(v.Machine(0), manifest.Sum(body)), body)
	put(manifest.ReceiptSignatureName(v.Machine(0), manifest.Sum(body)), must(v.Signer.Sign(body)))

	all := machines(t, thin{v, func(d manifest.Digest) bool { return d == lost.Name || d == missing.Name }}, doc)
	if len(all) != 3 {
		t.Fatalf("%d machines", len(all))
	}
	if m := all[0]; m.Points != 10 || m.Packs != 39 || m.Lost != 1 || m.Missing != 0 || m.Restorable >= 10 || m.Err != nil || !m.Access.IsZero() {
		t.Errorf("the one that lost a pack: %+v", m)
	}
	if m := all[1]; m.Points != 10 || m.Restorable != 10 || m.Packs != 40 || m.Lost+m.Missing != 0 || !m.Access.Equal(ends) || m.Last.IsZero() {
		t.Errorf("the good one: %+v", m)
	}
	if m := all[2]; m.Packs != 39 || m.Lost != 0 || m.Missing != 1 {
		t.Errorf("the one that misses a pack: %+v", m)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A failing vault is no damaged one.
func TestMachinesUnreadable(t *testing.T) {
	v, doc := simulated(t, vaultsim.Shape{Machines: 1, Commits: 3, Packs: 6})
	for _, what := range []string{"/manifests/0", "/machine.json", "/packs/", "/manifests/", "/access/", "/receipts/", "keys/"} {
		err := Machines(t.Context(), &broken{v, what}, doc, func(m *Machine) error {
			t.Errorf("%s can't be read, and it says %+v", what, m)
			return nil
		})
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	all := machines(t, &gone{v, manifest.ManifestName(v.Machine(0), 2)}, doc)
	if m := all[0]; m.Err == nil || m.Points != 2 || !slices.Equal(m.Gaps, []int{2}) {
		t.Errorf("a manifest that is gone when it is read: %+v", m)
	}
}

var errBroken = errors.New("the line is broken")

// A broken vault fails where names have something in them.
type broken struct {
	*vaultsim.Vault
	what string
}

func (v *broken) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if strings.Contains(name, v.what) {
		return 0, errBroken
	}
	return v.Vault.ReadAt(ctx, name, p, off)
}

func (v *broken) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	if strings.Contains(prefix, v.what) {
		return errBroken
	}
	return v.Vault.List(ctx, prefix, each)
}

// A gone object was listed, and isn't there.
type gone struct {
	*vaultsim.Vault
	name string
}

func (v *gone) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if name == v.name {
		return 0, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return v.Vault.ReadAt(ctx, name, p, off)
}

// Seeds are told of while any disk is away.
func TestSeeds(t *testing.T) {
	m := &Machine{}
	const set = manifest.ID("7d1a3c7e-5a0e-4b52-9d53-6f0e6f1f3a01")
	pack := func(n byte, disk int) manifest.Pack {
		return manifest.Pack{Name: manifest.Sum([]byte{n}), Class: manifest.Data, Size: 1, Disk: disk}
	}
	chain := &manifest.Chain{Links: []manifest.Link{
		{Manifest: &manifest.Manifest{Set: set, Sequence: 1, Packs: []manifest.Pack{pack(1, 1), pack(2, 2)}}},
		{Manifest: &manifest.Manifest{Set: set, Sequence: 2, Packs: []manifest.Pack{pack(3, 3), pack(4, 3)}}},
		{Manifest: &manifest.Manifest{Sequence: 3, Packs: []manifest.Pack{pack(5, 0)}, Lost: []manifest.Digest{pack(4, 3).Name}}},
	}}
	m.count(chain, map[manifest.Digest]int64{pack(1, 1).Name: 1, pack(5, 0).Name: 1}, heal.List{Now: []manifest.Pack{pack(3, 3)}})
	if len(m.Seeds) != 1 || m.Seeds[0].Disks != 3 || m.Seeds[0].Imported != 2 || m.Seeds[0].Packs != 1 || m.Lost != 1 || m.Missing != 0 {
		t.Errorf("got %+v", m)
	}
}

func TestWarnings(t *testing.T) {
	now := time.Date(2026, 7, 11, 12, 0, 0, 0, time.UTC)
	ago := func(days float64) time.Time { return now.Add(-time.Duration(days * 24 * float64(time.Hour))) }
	for _, tt := range []struct {
		name string
		m    Machine
		want string
	}{
		{"all is well", Machine{Registered: ago(100), Last: ago(1), Access: ago(-10)}, ""},
		{"just registered", Machine{Registered: ago(1)}, ""},
		{"never", Machine{Registered: ago(9)}, "no backup, 9 days after it was registered"},
		{"not for long", Machine{Registered: ago(100), Last: ago(8)}, "no backup for 8 days"},
		{"travels", Machine{Last: ago(1), Seeds: []Seed{{Time: ago(1), Disks: 3, Imported: 1}}}, "a seed of 24 hours ago is in transit, 1 of 3 disks imported"},
		{"lost", Machine{Last: ago(1), Lost: 1, Missing: 2, Gaps: []int{3}}, "1 commit is not there; 1 pack is lost, by the vault's receipts; the machine's next backup stores again what was in them; 2 packs are missing, and no disk carries them"},
		{"ends", Machine{Last: ago(1), Access: ago(-2.5)}, "its access to the vault ends in 2 days"},
		{"ends soon", Machine{Last: ago(1), Access: ago(-0.01)}, "its access to the vault ends in less than an hour"},
		{"ended", Machine{Last: ago(1), Access: ago(0.5)}, "its access to the vault ended 12 hours ago"},
		{"bad", Machine{Err: manifest.ErrSignature}, "its documents are not as they should be: " + manifest.ErrSignature.Error()},
	} {
		if got := strings.Join(tt.m.Warnings(now, 7*24*time.Hour), "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// In a vault of 100 million packs memory is bound by what is looked at, which is the largest machine.
func TestScale(t *testing.T) {
	v, doc := simulated(t, vaultsim.Vast)
	stop := errors.New("enough")
	base := live()
	w := &watched{Vault: v}
	err := Machines(t.Context(), w, doc, func(m *Machine) error {
		if m.Packs != v.Packs || m.Restorable != v.Commits || m.Missing+m.Lost != 0 || m.Err != nil {
			t.Errorf("got %+v", m)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if held := int64(w.peak) - int64(base); held > 64<<20 {
		t.Errorf("%d bytes are kept in memory", held)
	} else {
		t.Logf("%d bytes are kept in memory", held)
	}
}

// A watched vault notes what the process keeps in memory while it is read.
type watched struct {
	*vaultsim.Vault
	mu    sync.Mutex // guards what follows
	reads int
	peak  uint64
}

func (w *watched) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	w.mu.Lock()
	if w.reads++; w.reads%2000 == 0 {
		w.peak = max(w.peak, live())
	}
	w.mu.Unlock()
	return w.Vault.ReadAt(ctx, name, p, off)
}

func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
