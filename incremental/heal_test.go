package incremental_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/incremental"
	"waybill/ingest/vault"
	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/manifest"
)

// drop removes the n-th data pack of a run from the vault.
func (m *machine) drop(r *save.Result, n int) manifest.Pack {
	m.t.Helper()
	for _, p := range r.Packs {
		if p.Class != manifest.Data {
			continue
		}
		if n--; n < 0 {
			if err := os.Remove(m.packFile(p.Name)); err != nil {
				m.t.Fatal(err)
			}
			return p
		}
	}
	m.t.Fatal("there are not so many data packs")
	return manifest.Pack{}
}

func (m *machine) packFile(name manifest.Digest) string {
	return filepath.Join(m.vault.Path(), manifest.PackName(m.doc.Machine, name))
}

// heal heals packs, in the one commit that so few make.
func (m *machine) heal(packs ...manifest.Pack) *save.Result {
	m.t.Helper()
	cfg := save.Config{Writer: m.writer, Tool: "test", Host: "host"}
	var told int
	r, err := incremental.Heal(m.t.Context(), m.vault, m.open(), cfg, incremental.Options{}, packs, func(*save.Result) error { told++; return nil })
	if err != nil || len(r.Commits) != 1 || told != 1 || len(r.Left) > 0 || len(r.Settled) != len(packs) {
		m.t.Fatalf("%+v, %v", r, err)
	}
	return r.Commits[0]
}

// names are the files of damage.
func names(list []catalog.Damage) (all []string) {
	for _, d := range list {
		all = append(all, fmt.Sprintf("%.4s %s", d.Point, filepath.Base(d.Path)))
	}
	return all
}

// smallPacks makes a run write many.
func smallPacks(c *save.Config) { c.DataPack = 256 << 10 }

// What the files still have is stored again; nothing is missed any more.
func TestHealAll(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	m.change = smallPacks
	for i := range 60 {
		write(t, fmt.Sprintf("%s/d%d/f%02d", root, i%5, i), noise(30<<10, uint64(i)))
	}
	write(t, root+"/large", noise(3<<20, 99))
	settle()
	first := m.backup(root)
	write(t, root+"/d1/new", noise(10<<10, 1000))
	settle()
	m.backup()
	a, b := m.drop(first, 0), m.drop(first, 1)
	h := m.heal(a, b)
	if len(h.Manifest.Lost) != 2 || h.Point.Mode != catalog.Healed || h.Point.State != catalog.Complete || h.Point.Damage != nil ||
		!strings.HasPrefix(h.Point.Reason, "healed: 2 packs of ") || h.Manifest.Sequence != 3 {
		t.Errorf("%+v", h.Point)
	}
	if n := h.Point.Stats.ReadBytes; n > a.Size+b.Size || n < (a.Size+b.Size)*9/10 {
		t.Errorf("%d bytes were read for packs of %d and %d", n, a.Size, b.Size)
	}
	for _, spec := range []string{"latest", first.ID.String()} {
		if saved := m.read(spec, root); len(saved) < 66 {
			t.Errorf("%d entries", len(saved))
		}
	}
	m.same("latest", root)
	if r := m.backup(); r.Point.Stats.ReadBytes != 0 || r.Point.Stats.NewBytes != 0 || *r.Point.Base != h.ID {
		t.Errorf("the backup after it: %+v", r.Point)
	}
	m.index = t.TempDir() // and so without what the index knew
	m.same("latest", root)
	m.read(first.ID.String(), root)
	if missing, err := m.open().Rebuild(t.Context()); err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}

// What the files do not have any more is named, for every point that lacks it, and the next scan does not rest on it.
func TestHealPart(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	m.change = func(c *save.Config) { c.Readers = 1 } // one pack
	for i, name := range []string{"changed", "gone", "kept", "moved", "dir/away", "twin"} {
		write(t, root+"/"+name, noise(20<<10, uint64(i)))
	}
	write(t, root+"/copied", noise(20<<10, 5)) // as twin
	link := root + "/of gone"
	if err := os.Link(root+"/gone", link); err != nil {
		t.Fatal(err)
	}
	settle()
	first := m.backup(root)
	write(t, root+"/later", noise(100, 1))
	settle()
	second := m.backup()
	pack := m.drop(first, 0)

	write(t, root+"/changed", noise(20<<10, 777))
	for _, name := range []string{"/gone", "/of gone", "/copied"} {
		if err := os.Remove(root + name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(root+"/moved", root+"/moved away"); err != nil {
		t.Fatal(err)
	}
	hide := func(from, to string) { // a directory, so that what is in it keeps all that stat tells
		if err := os.Rename(root+from, root+to); err != nil {
			t.Fatal(err)
		}
	}
	hide("/dir", "/elsewhere")
	h := m.heal(pack)
	hide("/elsewhere", "/dir")
	settle()
	var want []string
	for _, id := range []manifest.Digest{first.ID, second.ID} {
		for _, name := range []string{"changed", "away", "gone", "moved", "of gone"} {
			want = append(want, fmt.Sprintf("%.4s %s", id, name))
		}
	}
	if got := names(h.Point.Damage); !slices.Equal(got, want) {
		t.Errorf("damage:\n got %q\nwant %q", got, want)
	}
	if d := h.Point.Damaged; len(d) != 2 || d[0].Point != first.ID || d[1].Files != 5 || d[1].Bytes != 5*20<<10 {
		t.Errorf("%+v", d)
	}
	r := m.backup()
	m.same("latest", root)
	if r.Point.Stats.Unchanged != 3 { // kept, twin, later: that dir/away is as it was is not enough
		t.Errorf("%+v", r.Point.Stats)
	}
	if r = m.backup(); r.Point.Stats.Unchanged != 6 {
		t.Errorf("the one after: %+v", r.Point.Stats)
	}
}

// A cancelled run leaves nothing, and the next does all of it.
func TestHealCancelled(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	write(t, root+"/f", noise(100<<10, 1))
	settle()
	pack := m.drop(m.backup(root), 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := incremental.Heal(ctx, m.vault, m.open(), save.Config{Writer: m.writer, Tool: "test"}, incremental.Options{}, []manifest.Pack{pack}, nil)
	if err == nil || r != nil && len(r.Commits) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	m.heal(pack)
	m.same("latest", root)
}

// Without its index the machine can't tell what was in a pack. When nothing else is out of sight, what is in no pack at
// hand must have been in it; else it waits, rather than send what is on its way.
func TestHealWithoutIndex(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	m.change = smallPacks
	write(t, root+"/large", noise(5<<20, 3))
	write(t, root+"/small", noise(10, 4))
	settle()
	first := m.backup(root)
	a, b := m.drop(first, 0), m.drop(first, 1)
	m.index = t.TempDir()
	r, err := incremental.Heal(t.Context(), m.vault, m.open(), save.Config{Writer: m.writer, Tool: "test"}, incremental.Options{}, []manifest.Pack{a}, nil)
	if err != nil || len(r.Left) != 1 || len(r.Settled) != 0 || len(r.Commits) != 0 {
		t.Fatalf("with another pack in transit: %+v, %v", r, err)
	}
	h := m.heal(a, b)
	if h.Point.Damaged != nil {
		t.Errorf("%+v", h.Point.Damaged)
	}
	m.same("latest", root)
	m.read(first.ID.String(), root)
}

// cached is what a machine keeps of a point: its pack of the catalogue.
func (m *machine) cached(p *save.Result) (*vault.Dir, manifest.Pack) {
	m.t.Helper()
	cache, err := vault.Open(m.t.TempDir())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cache.Close() })
	pack := p.Packs[slices.IndexFunc(p.Packs, func(p manifest.Pack) bool { return p.Class == manifest.Catalogue })]
	body, err := os.ReadFile(m.packFile(pack.Name))
	if err == nil {
		err = cache.Put(m.t.Context(), manifest.PackName(m.doc.Machine, pack.Name), bytes.NewReader(body))
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return cache, pack
}

// A pack of the catalogue that is still at hand is put again as it was.
func TestHealCatalogueFromCache(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	write(t, root+"/f", noise(1000, 1))
	settle()
	first := m.backup(root)
	cache, pack := m.cached(first)
	if err := os.Remove(m.packFile(pack.Name)); err != nil {
		t.Fatal(err)
	}
	r, err := incremental.Heal(t.Context(), m.vault, m.open(cache), save.Config{Writer: m.writer, Tool: "test"}, incremental.Options{}, []manifest.Pack{pack}, nil)
	if err != nil || len(r.Again) != 1 || len(r.Commits)+len(r.Settled)+len(r.Left) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	m.same("latest", root)
}

// In the place of one that is there, and damaged, nothing can be put: it is settled.
func TestHealCatalogueInTheWay(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	write(t, root+"/f", noise(1000, 1))
	settle()
	first := m.backup(root)
	cache, pack := m.cached(first)
	if err := os.Truncate(m.packFile(pack.Name), 100); err != nil {
		t.Fatal(err)
	}
	r, err := incremental.Heal(t.Context(), m.vault, m.open(cache), save.Config{Writer: m.writer, Tool: "test"}, incremental.Options{}, []manifest.Pack{pack}, nil)
	if err != nil || len(r.Again) != 0 || len(r.Settled) != 1 || len(r.Commits) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	m.backup()
	m.same("latest", root)
}

// One that is nowhere is made again by the next scan, for older points too.
func TestHealCatalogueLost(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	for i := range 100 {
		write(t, fmt.Sprintf("%s/d%d/f%02d", root, i%5, i), noise(100, uint64(i)))
	}
	write(t, root+"/large", noise(2<<20, 3)) // its content is a node
	settle()
	first := m.backup(root)
	write(t, root+"/new", noise(100, 1000))
	settle()
	second := m.backup()
	pack := first.Packs[slices.IndexFunc(first.Packs, func(p manifest.Pack) bool { return p.Class == manifest.Catalogue })]
	if err := os.Remove(m.packFile(pack.Name)); err != nil {
		t.Fatal(err)
	}
	h := m.heal(pack)
	if got := names(h.Point.Damage); len(got) != 6 || !strings.HasSuffix(got[5], " large") || h.Point.Damaged[0].Point != second.ID {
		t.Errorf("%q", got)
	}
	m.backup()
	m.same("latest", root)
	if saved := m.read(second.ID.String(), root); len(saved) != 107 {
		t.Errorf("the point before has %d entries", len(saved))
	}
}
