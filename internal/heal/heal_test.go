package heal

import (
	"context"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/manifest"
)

const (
	vaultID   manifest.ID = "6f1a2b3c-0000-4000-8000-000000000001"
	machineID manifest.ID = "6f1a2b3c-0000-4000-8000-000000000002"
	setA      manifest.ID = "6f1a2b3c-0000-4000-8000-00000000000a"
	setB      manifest.ID = "6f1a2b3c-0000-4000-8000-00000000000b"
)

// objects is a vault in memory.
type objects map[string][]byte

func (o objects) ReadAt(_ context.Context, name string, p []byte, off int64) (int, error) {
	b, ok := o[name]
	if !ok {
		return 0, fs.ErrNotExist
	}
	if n := copy(p, b[off:]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

func (o objects) Size(_ context.Context, name string) (int64, error) {
	if b, ok := o[name]; ok {
		return int64(len(b)), nil
	}
	return 0, fs.ErrNotExist
}

func (o objects) List(_ context.Context, prefix string, each func(string, int64) error) error {
	for name, b := range o {
		if strings.HasPrefix(name, prefix) {
			if err := each(name, int64(len(b))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o objects) put(p ...byte) {
	for _, b := range p {
		o[manifest.PackName(machineID, manifest.Digest{b})] = []byte{b}
	}
}

// receipt writes a signed receipt.
func (o objects) receipt(t *testing.T, s *manifest.Signer, r manifest.Receipt) {
	t.Helper()
	r.Vault, r.Machine, r.Time = vaultID, machineID, time.Unix(int64(len(o)), 0)
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	o[manifest.ReceiptName(machineID, manifest.Sum(b))] = b
	o[manifest.ReceiptSignatureName(machineID, manifest.Sum(b))] = sig
}

// link is a commit of packs, each a byte of its name and its disk.
func link(set manifest.ID, packs ...[2]byte) manifest.Link {
	m := &manifest.Manifest{Set: set}
	for _, p := range packs {
		m.Packs = append(m.Packs, manifest.Pack{Name: manifest.Digest{p[0]}, Class: manifest.Data, Size: 1, Disk: int(p[1])})
	}
	return manifest.Link{Manifest: m}
}

// miss is a receipt's line about a pack.
func miss(reason string, disk int, names ...byte) (list []manifest.WantPack) {
	for _, n := range names {
		list = append(list, manifest.WantPack{Name: manifest.Digest{n}, Size: 1, Disk: disk, Reason: reason})
	}
	return list
}

// seeded is a chain of a seed on two disks of three packs each, and of a backup.
func seeded() manifest.Chain {
	return manifest.Chain{Links: []manifest.Link{
		link(setA, [2]byte{1, 1}, [2]byte{2, 1}, [2]byte{3, 1}, [2]byte{4, 2}, [2]byte{5, 2}, [2]byte{6, 2}), link("", [2]byte{7, 0}),
	}}
}

func TestWants(t *testing.T) {
	signer, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	other, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		there   []byte // in the vault
		receipt manifest.Receipt
		by      *manifest.Signer
		settled []byte
		want    []byte
	}{
		"disk 2 travels":            {[]byte{1, 2, 3}, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 2, 4, 5, 6)}, signer, nil, nil},
		"disk 2 is being imported":  {[]byte{1, 2, 3, 4}, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 2, 5, 6)}, signer, nil, nil},
		"a pack of disk 1 is gone":  {[]byte{1, 3}, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 1, 2)}, signer, nil, []byte{2}},
		"it came after":             {[]byte{1, 2, 3}, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 1, 2)}, signer, nil, nil},
		"it was settled":            {[]byte{1, 3}, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 1, 2)}, signer, []byte{2}, nil},
		"a pack is damaged":         {[]byte{1, 3}, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.DamagedPack, 1, 2)}, signer, nil, []byte{2}},
		"all of disk 1 is gone":     {nil, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 1, 1, 2, 3)}, signer, nil, []byte{1, 2, 3}},
		"of another set's disk 1":   {[]byte{1, 3}, manifest.Receipt{Set: setB, Arrived: []int{1}, Missing: miss(manifest.Absent, 1, 2)}, signer, nil, nil},
		"no disks, part is there":   {[]byte{1, 2, 3, 4}, manifest.Receipt{Missing: miss(manifest.Absent, 2, 5, 6)}, signer, nil, []byte{5, 6}},
		"no disks, nothing of it":   {[]byte{1, 2, 3}, manifest.Receipt{Missing: miss(manifest.Absent, 2, 4, 5, 6)}, signer, nil, nil},
		"disk 1 was pulled out":     {[]byte{1, 2}, manifest.Receipt{Set: setA, Missing: miss(manifest.Absent, 1, 3)}, signer, nil, nil},
		"a pack is cut short":       {[]byte{1, 2, 3}, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.DamagedPack, 1, 2)}, signer, nil, []byte{2}},
		"a pack of no disk":         {nil, manifest.Receipt{Missing: miss(manifest.Absent, 0, 7)}, signer, nil, []byte{7}},
		"no pack of this machine":   {nil, manifest.Receipt{Missing: miss(manifest.DamagedPack, 1, 99)}, signer, nil, nil},
		"signed by somebody else":   {nil, manifest.Receipt{Missing: miss(manifest.DamagedPack, 1, 1)}, other, nil, nil},
		"nothing is missing":        {nil, manifest.Receipt{Set: setA, Arrived: []int{1, 2}}, signer, nil, nil},
		"damaged though it travels": {nil, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.DamagedPack, 2, 5)}, signer, nil, []byte{5}},
	} {
		vault := objects{}
		vault.put(test.there...)
		if name == "a pack is cut short" {
			vault[manifest.PackName(machineID, manifest.Digest{2})] = nil
		}
		vault.receipt(t, test.by, test.receipt)
		d := &domain.Domain{Machine: &manifest.Machine{Vault: vaultID, Machine: machineID}, Chain: seeded()}
		for _, n := range test.settled {
			d.Chain.Links[1].Manifest.Lost = append(d.Chain.Links[1].Manifest.Lost, manifest.Digest{n})
		}
		list, err := Wants(t.Context(), vault, d, signer.Public())
		var got []byte
		for _, p := range list.Now {
			got = append(got, p.Name[0])
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v; %v", name, got, test.want, err)
		}
	}
}

// What a disk of parity can still mend waits until that has arrived.
func TestWantsWaitForParity(t *testing.T) {
	signer, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	d := &domain.Domain{Machine: &manifest.Machine{Vault: vaultID, Machine: machineID}, Chain: seeded()}
	d.Chain.Links[0].Manifest.Disks = 3
	vault := objects{}
	vault.put(1, 3)
	vault.receipt(t, signer, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 1, 2)})
	l, err := Wants(t.Context(), vault, d, signer.Public())
	if err != nil || len(l.Now) != 0 || len(l.Later) != 1 || l.Later[0].Name != (manifest.Digest{2}) || !slices.Equal(l.Disks, []int{3}) {
		t.Errorf("while disk 3 travels: %+v, %v", l, err)
	}
	vault.receipt(t, signer, manifest.Receipt{Set: setA, Arrived: []int{3}}) // it came alone, and did not help
	if l, err = Wants(t.Context(), vault, d, signer.Public()); err != nil || len(l.Now) != 1 || len(l.Later) != 0 || len(l.Disks) != 0 {
		t.Errorf("when it is there: %+v, %v", l, err)
	}
}

// What a carrier put into the vault in a pack's place is there, and yet the pack is wanted, until a later receipt says otherwise.
func TestWantsSpoiled(t *testing.T) {
	signer, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	d := &domain.Domain{Machine: &manifest.Machine{Vault: vaultID, Machine: machineID}, Chain: seeded()}
	vault := objects{}
	vault.put(1, 2, 3, 4, 5, 6)
	for i := range d.Chain.Links {
		d.Chain.Links[i].Manifest.Sequence = i + 1
	}
	covers := []manifest.Covered{{Sequence: 1, Digest: manifest.Digest{1}}}
	vault.receipt(t, signer, manifest.Receipt{Set: setA, Arrived: []int{1}, Manifests: covers, Missing: miss(manifest.Spoiled, 1, 2)})
	if l, err := Wants(t.Context(), vault, d, signer.Public()); err != nil || len(l.Now) != 1 || l.Now[0].Name != (manifest.Digest{2}) {
		t.Errorf("spoiled: %+v, %v", l, err)
	}
	vault.receipt(t, signer, manifest.Receipt{Set: setA, Arrived: []int{1}, Manifests: covers})
	if l, err := Wants(t.Context(), vault, d, signer.Public()); err != nil || len(l.Now) != 0 {
		t.Errorf("replaced: %+v, %v", l, err)
	}
}

// A receipt that is no receipt asks for nothing, and hides nothing that others ask for.
func TestWantsOfBadReceipts(t *testing.T) {
	signer, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	vault := objects{manifest.ReceiptsPrefix(machineID) + "0.json": []byte("{}"), manifest.ReceiptsPrefix(machineID) + "1.json": nil}
	vault.receipt(t, signer, manifest.Receipt{Set: setA, Arrived: []int{1}, Missing: miss(manifest.Absent, 1, 2)})
	d := &domain.Domain{Machine: &manifest.Machine{Vault: vaultID, Machine: machineID}, Chain: seeded()}
	if list, err := Wants(t.Context(), vault, d, signer.Public()); err != nil || len(list.Now) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestOfDisk(t *testing.T) {
	c := seeded()
	c.Links[1].Manifest.Lost = []manifest.Digest{{5}}
	list := OfDisk(&c, setA, 2)
	if len(list) != 2 || list[0].Name != (manifest.Digest{4}) || list[1].Name != (manifest.Digest{6}) || OfDisk(&c, setB, 2) != nil {
		t.Errorf("%v", list)
	}
	vault := objects{}
	vault.put(4)
	if list, err := Absent(t.Context(), vault, machineID, list); err != nil || len(list) != 1 || list[0].Name[0] != 6 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestArrivals(t *testing.T) {
	c := seeded()
	// The third commit settles 5 and stores 8; the fourth is another backup.
	c.Links = append(c.Links, link("", [2]byte{8, 0}), link("", [2]byte{9, 0}))
	c.Links[2].Manifest.Lost = []manifest.Digest{{5}}
	for name, test := range map[string]struct {
		there  string // digits
		wanted byte
		want   [4]Arrival
	}{
		"all":                 {"123456789", 0, [4]Arrival{{6, 0, 0, 2, 2}, {7, 0, 0, 2, 2}, {7, 0, 0, 2, 2}, {8, 0, 0, 2, 2}}},
		"without what's lost": {"12346789", 0, [4]Arrival{{6, 0, 0, 2, 2}, {7, 0, 0, 2, 2}, {7, 0, 0, 2, 2}, {8, 0, 0, 2, 2}}},
		"disks travel":        {"789", 0, [4]Arrival{{6, 5, 0, 2, 0}, {7, 5, 0, 2, 0}, {7, 5, 0, 2, 0}, {8, 5, 0, 2, 0}}},
		"one came":            {"123789", 0, [4]Arrival{{6, 2, 0, 2, 1}, {7, 2, 0, 2, 1}, {7, 2, 0, 2, 1}, {8, 2, 0, 2, 1}}},
		"one is wanted":       {"12346", 9, [4]Arrival{{6, 1, 0, 2, 2}, {7, 2, 0, 2, 2}, {7, 2, 0, 2, 2}, {8, 3, 1, 2, 2}}},
	} {
		there := func(d manifest.Digest) bool { return strings.ContainsRune(test.there, rune('0'+d[0])) }
		got := Arrivals(&c, there, map[manifest.Digest]bool{{test.wanted}: true})
		if !slices.Equal(got, test.want[:]) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, test.want)
		}
	}
}

// What is said of a healed point's base is true of the point, and of the one that heals on it.
func TestLacks(t *testing.T) {
	id := func(n byte) manifest.Digest { return manifest.Digest{n} }
	point := func(n byte, mode string, base byte, damaged ...catalog.DamagedPoint) domain.Point {
		b := id(base)
		return domain.Point{Link: manifest.Link{Digest: id(n)}, Point: &catalog.Point{Mode: mode, Base: &b, Damaged: damaged}}
	}
	lacks := func(n byte, files int64) catalog.DamagedPoint {
		return catalog.DamagedPoint{Point: id(n), Files: files}
	}
	got := Lacks([]domain.Point{
		point(1, "first", 0),
		point(2, "scan", 1),
		point(3, catalog.Healed, 2, lacks(1, 5), lacks(2, 7)),
		point(4, catalog.Healed, 3, lacks(1, 1)),
		{Link: manifest.Link{Digest: id(5)}, Err: fs.ErrNotExist},
		point(6, "scan", 4),
	})
	for n, want := range []int64{1: 6, 2: 7, 3: 7, 4: 7, 5: 0, 6: 0} {
		if got[id(byte(n))] != want {
			t.Errorf("point %d lacks %d, want %d", n, got[id(byte(n))], want)
		}
	}
}

// Many packs are healed in several commits: the smaller the chunks, the fewer at once.
func TestRound(t *testing.T) {
	packs := make([]manifest.Pack, 1000)
	for i := range packs {
		packs[i].Size = 512 << 20
	}
	for name, test := range map[string]struct {
		files, bytes int64
		want         int
	}{
		"large files": {10, 1 << 40, 256}, "small files": {1 << 20, 8 << 30, 32}, "tiny files": {1 << 20, 1 << 20, 4}, "none": {0, 0, 4},
	} {
		if n := round(packs, &catalog.Point{Stats: catalog.Stats{Files: test.files, Bytes: test.bytes}}); n != test.want {
			t.Errorf("%s: %d packs at once, want %d", name, n, test.want)
		}
	}
	if n := round([]manifest.Pack{{Size: 1 << 32}, {Size: 1}}, &catalog.Point{}); n != 1 {
		t.Errorf("a huge pack: %d", n)
	}
}
