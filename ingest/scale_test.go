package ingest

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"waybill/ingest/vault"
	"waybill/ingest/vault/vaultsim"
	"waybill/internal/fault"
	"waybill/manifest"
	"waybill/seed/disk"
)

// A vast vault is simulated, and counts its requests and, while it is listed, what the process keeps in memory.
type vast struct {
	*fault.Line
	sim   *vaultsim.Vault
	level func(prefix string) // told of what is listed level by level; may be nil

	base, peak uint64
	mu         sync.Mutex // guards reads
	reads      int
}

func newVast(t testing.TB, shape vaultsim.Shape) *vast {
	t.Helper()
	sim, err := vaultsim.New(shape)
	if err != nil {
		t.Fatal(err)
	}
	return &vast{Line: &fault.Line{Inner: sim}, sim: sim, base: live()}
}

// live is how many bytes are reachable.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// List implements manifest.Reader.
func (v *vast) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	return v.Line.List(ctx, prefix, v.watched(each))
}

// Level implements vault.Hierarchy.
func (v *vast) Level(ctx context.Context, prefix string, each func(string, int64) error) error {
	if v.level != nil {
		v.level(prefix)
	}
	return v.Line.Level(ctx, prefix, v.watched(each))
}

// ReadAt implements manifest.Reader.
func (v *vast) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	v.mu.Lock()
	if v.reads++; v.reads%2000 == 0 {
		v.peak = max(v.peak, live())
	}
	v.mu.Unlock()
	return v.Line.ReadAt(ctx, name, p, off)
}

func (v *vast) watched(each func(string, int64) error) func(string, int64) error {
	n := 0
	return func(name string, size int64) error {
		if n++; n%20_000 == 0 {
			v.peak = max(v.peak, live())
		}
		return each(name, size)
	}
}

// held is the most that was reachable beyond what was at the beginning, in bytes.
func (v *vast) held() int64 { return int64(max(v.peak, live())) - int64(v.base) }

// disk is a disk with a machine's next commit, of so many packs.
func (v *vast) disk(t testing.TB, machine, packs int) Source {
	t.Helper()
	id := v.sim.Machine(machine)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	doc, err := manifest.OpenVault(t.Context(), v.sim)
	must(err)
	d, err := disk.Create(tempDir(t), disk.Label{Vault: doc.Vault, Machine: id, Set: setID, Disk: 1, Disks: 1, Time: when})
	must(err)
	t.Cleanup(func() { d.Close() })
	for _, name := range []string{manifest.VaultName, manifest.RecoveryName, manifest.MachineKeyName(id), manifest.MachineName(id), manifest.MachineSignatureName(id)} {
		b, err := manifest.ReadObject(t.Context(), v.sim, name, 64<<10)
		must(err)
		must(d.Put(t.Context(), name, bytes.NewReader(b)))
	}
	seq, head, err := v.sim.Last(machine)
	must(err)
	m := &manifest.Manifest{Vault: doc.Vault, Machine: id, Set: setID, Disks: 1, Sequence: seq + 1, Previous: head, Time: when, Tool: "test", Record: []byte("sealed")}
	for i := range packs {
		b := fmt.Appendf(nil, "pack %d", i)
		p := manifest.Pack{Name: manifest.Sum(b), Class: manifest.Data, Size: int64(len(b)), MD5: md5.Sum(b), Disk: 1}
		m.Packs = append(m.Packs, p)
		must(d.Put(t.Context(), manifest.PackName(id, p.Name), bytes.NewReader(b)))
	}
	slices.SortFunc(m.Packs, func(a, b manifest.Pack) int { return bytes.Compare(a.Name[:], b.Name[:]) })
	b, err := m.Encode()
	must(err)
	sig, err := v.sim.Signer.Sign(b)
	must(err)
	must(d.Put(t.Context(), manifest.SignatureName(id, m.Sequence, manifest.Sum(b)), bytes.NewReader(sig)))
	must(d.Put(t.Context(), manifest.ManifestName(id, m.Sequence), bytes.NewReader(b)))
	return Source{"disk", d}
}

var _ vault.Hierarchy = (*vast)(nil)

// A disk with a few packs costs what a few packs cost, into whatever vault: beside creating what it brings, about 50 requests
// and no more than two for each pack, or for each page of the machine's packs; and no memory for what the vault has.
func TestScaleIngest(t *testing.T) {
	for _, packs := range []int{3, 300} {
		v := newVast(t, vaultsim.Vast)
		s := v.disk(t, 500, packs)
		v.base = live()
		r, err := Import(t.Context(), v, []Source{s}, options())
		if err != nil || r.Machines[0].Receipt.Imported != packs || len(r.Machines[0].Gaps) > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		n := v.Requests()
		pages := int64(vaultsim.Vast.Packs / page)
		if looking := n.By["list"] + n.By["size"]; looking > 10+2*min(int64(packs), pages) || n.By["read"] > 25 || n.By["put"] > int64(packs)+10 {
			t.Errorf("%d packs: %v", packs, n.By)
		}
		if held := v.held(); held > 4<<20 {
			t.Errorf("%d packs: %d bytes are kept in memory", packs, held)
		}
	}
}

// What is looked for is found, by at most twice the requests of the better way, and one more.
func TestLookUp(t *testing.T) {
	for _, test := range []struct{ there, present, absent, worst int }{
		{0, 0, 3, 1}, {10, 10, 0, 1}, {10, 3, 3, 1}, {100_000, 1, 0, 2}, {100_000, 0, 1, 2}, {100_000, 3, 2, 10}, {100_000, 10, 5, 30},
		{100_000, 30, 30, 20 + 20}, {100_000, 50_000, 0, 20}, {5000, 1, 1, 2}, {100_000, 0, 0, 0},
	} {
		v := newVast(t, vaultsim.Shape{Machines: 2, Commits: 1, Packs: test.there})
		var wants []*want
		for i := range test.present {
			wants = append(wants, &want{Pack: v.sim.Pack(1, i*test.there/test.present)})
		}
		for i := range test.absent {
			wants = append(wants, &want{Pack: manifest.Pack{Name: manifest.Sum([]byte{byte(i)})}})
		}
		slices.SortFunc(wants, func(a, b *want) int { return bytes.Compare(a.Name[:], b.Name[:]) })
		found := 0
		err := lookUp(t.Context(), v, v.sim.Machine(1), wants, func(w *want, size int64) {
			if found++; size != w.Size || size == 0 {
				t.Errorf("%v: pack %v is found with %d bytes", test, w.Pack, size)
			}
		})
		if n := v.Requests(); err != nil || found != test.present || n.Total > int64(test.worst) {
			t.Errorf("%v: %d found, %v, %v", test, found, n.By, err)
		}
	}
	// A store that can't tell is an error, and not a pack that is missing.
	sim := newVast(t, vaultsim.Shape{Machines: 1, Commits: 1, Packs: 20_000}).sim
	for _, operation := range []string{"list", "size"} {
		script := &fault.Script{At: 1, Counts: func(o, _ string) bool { return o == operation }}
		err := lookUp(t.Context(), fault.Store{Inner: sim, Script: script}, sim.Machine(0), []*want{{Pack: sim.Pack(0, 19_000)}}, func(*want, int64) {})
		if !errors.Is(err, fault.Err) {
			t.Errorf("when %s fails: %v", operation, err)
		}
	}
}

// A vault of 100 million packs is verified by its lists within the memory that one machine's list takes, and with two reads a commit and a request for
// 5,000 names. Two of its thousand machines are looked at, or as many as WAYBILL_MACHINES says.
func TestScaleVerify(t *testing.T) {
	machines := 2
	if n, err := strconv.Atoi(os.Getenv("WAYBILL_MACHINES")); err == nil {
		machines = n
	}
	v := newVast(t, vaultsim.Vast)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var before int64
	v.level = func(prefix string) {
		if prefix == manifest.MachinePrefix(v.sim.Machine(0)) {
			before = v.Requests().Total
		} else if machines < v.sim.Machines && prefix == manifest.MachinePrefix(v.sim.Machine(machines)) {
			cancel()
		}
	}
	r, err := Verify(ctx, Source{"vault", v}, Options{ListOnly: true})
	if stopped := machines < v.sim.Machines; stopped != errors.Is(err, context.Canceled) || !stopped && err != nil {
		t.Fatal(err)
	}
	if len(r.Machines) != machines || r.Packs != machines*v.sim.Packs || len(r.Damaged)+len(r.Missing)+len(r.Extra) > 0 {
		t.Errorf("%d machines, %d packs, damaged %v, missing %v, %d extra", len(r.Machines), r.Packs, r.Damaged, r.Missing, len(r.Extra))
	}
	if before > 10 {
		t.Errorf("%d requests before the first machine", before)
	}
	n := v.Requests()
	each := int64(2*v.sim.Commits + 2 + v.sim.Packs/page + 5) // manifests and signatures; machine.json; packs; all else that is listed
	if got := n.Total - before; got > int64(machines)*each+2 {
		t.Errorf("%d requests for %d machines, %d each at most: %v", got, machines, each, n.By)
	}
	if held := v.held(); held > 32<<20 {
		t.Errorf("%d bytes are kept in memory", held)
	}
	t.Logf("%d machines, %d packs: %v requests, %d before the first; at most %d bytes in memory", machines, r.Packs, n.By, before, v.held())
}
