package domain

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/manifest"
)

// What was verified once is not read again from the vault, whatever becomes of the file that remembers it.
func TestChainRemembered(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 3)
	dir := t.TempDir()
	path := filepath.Join(dir, chainName)
	reads := func() int {
		t.Helper()
		n := 0
		vault.fails = func(name string) error {
			if strings.Contains(name, "/manifests/") {
				vault.mu.Lock()
				n++
				vault.mu.Unlock()
			}
			return nil
		}
		d := m.open(dir, vault)
		if got := len(d.Chain.Links); got != len(all) || d.Flaw != nil || d.Chain.Last().Digest != all[len(all)-1].id {
			t.Errorf("%d links, %v", got, d.Flaw)
		}
		m.check(d.Close())
		return n
	}
	change := func(f func([]byte) []byte) {
		t.Helper()
		b, err := os.ReadFile(path)
		m.check(err)
		m.check(os.WriteFile(path, f(b), 0o600))
	}
	for _, step := range []struct {
		name   string
		change func()
		want   int
	}{
		{"new", func() {}, 6},
		{"known", func() {}, 0},
		{"one more", func() { all = append(all, m.days(vault, 1)...) }, 2},
		{"known again", func() {}, 0},
		{"cut short", func() { change(func(b []byte) []byte { return b[:len(b)-10] }) }, 2},
		{"mended", func() {}, 0},
		{"damaged", func() {
			change(func(b []byte) []byte { return bytes.Replace(b, []byte(`"tool":"`), []byte(`"tool":"x`), 1) })
		}, 2},
		{"mended again", func() {}, 0},
		{"rubbish", func() { change(func([]byte) []byte { return []byte("\x00\n\n{}\n") }) }, 8},
		{"removed", func() { m.check(os.Remove(path)) }, 8},
	} {
		step.change()
		if n := reads(); n != step.want {
			t.Errorf("%s: %d reads, want %d", step.name, n, step.want)
		}
	}
}

// A vault that was set back, or in which another commit took a place, is seen; what was damaged in place is seen by those who read it all.
func TestChainRememberedIsNotBelieved(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 3)
	dir := t.TempDir()
	m.check(m.open(dir, vault).Close())
	id := m.doc.Machine

	third := manifest.ManifestName(id, 3)
	b := vault.m[third]
	delete(vault.m, third)
	if d := m.open(dir, vault); len(d.Chain.Links) != 2 || d.Chain.Last().Digest != all[1].id || d.Flaw != nil {
		t.Errorf("set back: %d links, %v", len(d.Chain.Links), d.Flaw)
	} else {
		m.check(d.Close())
	}
	vault.m[third] = b

	second := manifest.ManifestName(id, 2)
	vault.m[second] = slices.Clone(vault.m[second])
	vault.m[second][100] ^= 1
	d := m.open(dir, vault)
	if len(d.Chain.Links) != 3 || d.Flaw != nil {
		t.Errorf("damaged in place: %d links, %v", len(d.Chain.Links), d.Flaw)
	}
	m.check(d.Close())
	if d := m.open("", vault); len(d.Chain.Links) != 2 || !errors.Is(d.Flaw, manifest.ErrSignature) {
		t.Errorf("damaged in place, all read: %d links, %v", len(d.Chain.Links), d.Flaw)
	}
}
