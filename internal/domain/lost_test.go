package domain

import (
	"bytes"
	"testing"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/manifest"
)

// digest is the name of a pack's file.
func digest(t *testing.T, file string) manifest.Digest {
	t.Helper()
	_, d, ok := manifest.ParsePackName(file)
	if !ok {
		t.Fatal(file)
	}
	return d
}

// A chunk that was stored again is found where it is now, whatever has become of the pack that was lost; what that alone
// had is not known, and found when the pack turns up after all.
func TestLostPack(t *testing.T) {
	for name, become := range map[string]func(vault *objects, file string){
		"gone":     func(vault *objects, file string) { delete(vault.m, file) },
		"turns up": func(*objects, string) {},
		"damaged":  func(vault *objects, file string) { clear(vault.m[file][16:60]) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			vault := newObjects()
			again := bytes.Repeat([]byte("stored again"), 100)
			first := m.commit(vault, catalog.Complete, map[string][]byte{"again": again, "only": []byte("what only the lost pack had")})
			dir := t.TempDir()
			d := m.open(dir, vault) // and so knows the pack
			if _, err := d.CoverData(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.Close()
			file := first.packs[manifest.Data][0]
			lost := digest(t, file)
			become(vault, file)
			m.lost = []manifest.Digest{lost}
			second := m.commit(vault, catalog.Complete, map[string][]byte{"again": again})
			for _, index := range []string{dir, t.TempDir()} {
				d := m.open(index, vault)
				missing, err := d.CoverData(t.Context())
				if err != nil || len(missing) > 0 {
					t.Errorf("missing %v, %v", missing, err)
				}
				if err := second.read(t.Context(), d); err != nil {
					t.Error(err)
				}
				id := func(s []byte) pack.ID { return pack.NewHasher(m.dedupe).Sum(s) }
				only := id([]byte("what only the lost pack had"))
				known := d.Of(manifest.Data)
				if !known.Has(id(again).Prefix()) || known.Has(only.Prefix()) {
					t.Error("what counts as stored is not what is")
				}
				missing, err = d.Rebuild(t.Context())
				if err != nil || len(missing) > 0 {
					t.Errorf("rebuilt: missing %v, %v", missing, err)
				}
				if loc, ok := d.Locate(id(again)); !ok || loc.Pack == lost {
					t.Errorf("rebuilt: it is in %x", loc.Pack)
				}
				if _, ok := d.Locate(only); ok != (name != "gone") {
					t.Errorf("rebuilt: what was lost is there: %v", ok)
				}
				if known.Has(only.Prefix()) {
					t.Error("rebuilt: what is in a lost pack counts as stored")
				}
				if name == "turns up" {
					if err := first.read(t.Context(), d); err != nil {
						t.Error(err)
					}
				}
				d.Close()
			}
		})
	}
}

// What Shun names doesn't count as stored, and what a commit settles while the domain is open neither.
func TestShun(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	c := m.commit(vault, catalog.Complete, map[string][]byte{"a": []byte("content")})
	d := m.open("", vault)
	if _, err := d.CoverData(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := pack.NewHasher(m.dedupe).Sum([]byte("content"))
	name := digest(t, c.packs[manifest.Data][0])
	known := d.Of(manifest.Data)
	if !known.Has(id.Prefix()) || d.Only(id, map[manifest.Digest]bool{name: true}) {
		t.Error("it is not known to begin with")
	}
	packs := d.Chain.Links[0].Manifest.Packs
	d.Shun(packs)
	if known.Has(id.Prefix()) || d.Of(manifest.Catalogue).Has(c.root.Prefix()) {
		t.Error("shunned, it counts as stored")
	}
	if !d.Only(id, map[manifest.Digest]bool{name: true}) || d.Only(id, map[manifest.Digest]bool{{1}: true}) || !d.Knows(id) {
		t.Error("it is not said to be in the shunned pack only")
	}
	if err := c.read(t.Context(), d); err != nil {
		t.Errorf("shunned packs are there, and not read: %v", err)
	}
	b, err := d.Whole(t.Context(), packs[0])
	if err != nil || manifest.Sum(b) != packs[0].Name {
		t.Errorf("%d bytes of the pack, %v", len(b), err)
	}
	vault.m[manifest.PackName(m.doc.Machine, packs[0].Name)][30] ^= 1
	if _, err := d.Whole(t.Context(), packs[0]); err == nil {
		t.Error("a damaged pack counts as whole")
	}
}
