package vaultsim

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"waybill/ingest/vault"
	"waybill/manifest"
)

var (
	_ vault.Store     = (*Vault)(nil)
	_ vault.Hierarchy = (*Vault)(nil)
)

func small(t *testing.T) *Vault {
	t.Helper()
	v, err := New(Shape{Machines: 3, Commits: 4, Packs: 10})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What is listed is there, in its size, and ascends; what is a valid chain is one.
func TestVault(t *testing.T) {
	v := small(t)
	extra := manifest.MachinePrefix(v.Machine(1)) + "receipts/x.json"
	if err := v.Put(t.Context(), extra, bytes.NewReader([]byte("hello"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{extra, manifest.VaultName, manifest.PackName(v.Machine(2), v.Pack(2, 7).Name)} {
		if err := v.Put(t.Context(), name, bytes.NewReader(nil)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("put %s again: %v", name, err)
		}
	}
	var names []string
	err := v.List(t.Context(), "", func(name string, size int64) error {
		names = append(names, name)
		n, err := v.Size(t.Context(), name)
		if n != size {
			t.Errorf("%s: %d bytes are listed, it has %d", name, size, n)
		}
		return err
	})
	if want := 3 + 3*(1+2+2*4+10) + 1; err != nil || len(names) != want || !slices.IsSorted(names) {
		t.Fatalf("%d names, want %d, sorted: %v, %v", len(names), want, slices.IsSorted(names), err)
	}
	for _, prefix := range []string{"keys/", "machines/", manifest.PacksPrefix(v.Machine(1)), manifest.ManifestsPrefix(v.Machine(2)), "w", "x"} {
		var got, want []string
		err := v.List(t.Context(), prefix, func(name string, _ int64) error { got = append(got, name); return nil })
		for _, name := range names {
			if len(name) >= len(prefix) && name[:len(prefix)] == prefix {
				want = append(want, name)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", prefix, got, err)
		}
	}
	packs := 0
	for i := range v.Machines {
		m, err := manifest.OpenMachine(t.Context(), v, v.Machine(i))
		if err != nil {
			t.Fatal(err)
		}
		c, err := manifest.ReadChain(t.Context(), v, m)
		if err != nil || len(c.Links) != 4 {
			t.Errorf("%d links, %v", len(c.Links), err)
		}
		for _, l := range c.Links {
			packs += len(l.Manifest.Packs)
		}
	}
	if packs != 30 {
		t.Errorf("%d packs", packs)
	}
}

func TestLevel(t *testing.T) {
	v := small(t)
	for prefix, want := range map[string]int{"": 3, "machines/": 3, "keys/": 5, manifest.MachinePrefix(v.Machine(0)): 4, manifest.PacksPrefix(v.Machine(0)): 10} {
		var got, expect []string
		err := v.Level(t.Context(), prefix, func(name string, _ int64) error { got = append(got, name); return nil })
		_ = manifest.Level(t.Context(), flat{v}, prefix, func(name string, _ int64) error { expect = append(expect, name); return nil })
		if err != nil || len(got) != want || !slices.Equal(got, expect) {
			t.Errorf("%q: %q, %v, want %q", prefix, got, err, expect)
		}
	}
}
