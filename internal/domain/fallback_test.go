package domain

import (
	"bytes"
	"errors"
	"testing"

	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// An index that leads to packs that are not there, or to frames that are not, is made anew.
func TestMisleadingIndex(t *testing.T) {
	for name, mislead := range map[string]func(*index.Loc){
		"to no pack":            func(l *index.Loc) { l.Pack[5] ^= 1 },
		"to another frame":      func(l *index.Loc) { l.Frame++ },
		"to another place":      func(l *index.Loc) { l.Offset++ },
		"beyond the pack":       func(l *index.Loc) { l.Offset = 1 << 30 },
		"beyond the frame":      func(l *index.Loc) { l.Plain += 10; l.Start += 10 },
		"to another part of it": func(l *index.Loc) { l.Length-- },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			vault := newObjects()
			all := m.days(vault, 2)
			dir := t.TempDir()
			d := m.open(dir, vault)
			for i, c := range all {
				tables := map[manifest.Digest]*pack.Table{}
				_, err := d.eachTable(t.Context(), d.Chain.Links[i].Manifest.Packs, manifest.Catalogue, func(name manifest.Digest, t *pack.Table) error {
					tables[name] = t
					return nil
				})
				m.check(err)
				d.cata.Retain(func(tag string) bool { return tag != c.id.String() })
				m.check(d.cata.Add(c.id.String(), func(put func(index.Key, index.Loc) error) error {
					for name, table := range tables {
						if err := addTable(name, table, func(k index.Key, l index.Loc) error { mislead(&l); return put(k, l) }); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			d.Close()
			d = m.open(dir, vault)
			for i, c := range all {
				if err := c.read(t.Context(), d); err != nil {
					t.Errorf("point %d: %v", i, err)
				}
			}
		})
	}
}

// A pack that is damaged in one store is read from another.
func TestDamagedInOneStore(t *testing.T) {
	m := newMachine(t)
	good := newObjects()
	c := m.days(good, 1)[0]
	for _, class := range []manifest.Class{manifest.Data, manifest.Catalogue} {
		name := c.packs[class][0]
		for what, damage := range map[string]func(b []byte) []byte{
			"cut":       func(b []byte) []byte { return b[:len(b)/2] },
			"empty":     func([]byte) []byte { return nil },
			"header":    func(b []byte) []byte { b[0] ^= 1; return b },
			"frame":     func(b []byte) []byte { b[100] ^= 1; return b },
			"trailer":   func(b []byte) []byte { b[len(b)-10] ^= 1; return b },
			"all zeros": func(b []byte) []byte { clear(b); return b },
		} {
			bad := newObjects()
			for k, v := range good.m {
				bad.m[k] = bytes.Clone(v)
			}
			bad.m[name] = damage(bad.m[name])
			if err := c.read(t.Context(), m.open("", bad, good)); err != nil {
				t.Errorf("%s pack, %s: %v", class, what, err)
			}
		}
	}
}

// A pack that is damaged in one store may be whole in another that gives no answer: then it is the line that failed.
func TestDamagedAndOutOfReach(t *testing.T) {
	m := newMachine(t)
	good := newObjects()
	c := m.days(good, 1)[0]
	for _, class := range []manifest.Class{manifest.Data, manifest.Catalogue} {
		name := c.packs[class][0]
		for what, damage := range map[string]func(b []byte){"frame": func(b []byte) { b[100] ^= 1 }, "trailer": func(b []byte) { b[len(b)-10] ^= 1 }} {
			bad, far := newObjects(), away{newObjects()}
			for k, v := range good.m {
				bad.m[k], far.m[k] = bytes.Clone(v), v
			}
			damage(bad.m[name])
			far.fails = func(n string) error {
				if n == name {
					return errBoom
				}
				return nil
			}
			for order, stores := range map[string][]Store{"damaged first": {bad, far}, "out of reach first": {far, bad}} {
				opts := Options{Keys: pack.Keys{Recovery: m.recovery, Machine: m.cata}, Dedupe: m.dedupe}
				d, err := Open(t.Context(), stores, m.doc, opts)
				if err == nil {
					err = c.read(t.Context(), d)
					d.Close()
				}
				if !errors.Is(err, errBoom) || Lost(err) {
					t.Errorf("%s pack, %s, %s: %v", class, what, order, err)
				}
			}
		}
	}
}

// An away store is remote.
type away struct{ *objects }

func (away) Remote() bool { return true }
