package incremental_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/save"
	"waybill/manifest"
)

// catalogue are the files of a point's catalogue packs.
func (m *machine) catalogue(r *save.Result) (files []string) {
	for _, p := range r.Packs {
		if p.Class == manifest.Catalogue {
			files = append(files, filepath.Join(m.vault.Path(), manifest.PackName(m.doc.Machine, p.Name)))
		}
	}
	return files
}

// The last points are there to save work. When they are damaged, the machine is still to be protected: what they
// can't tell is read again, and what was in them is stored again.
func TestDamagedBase(t *testing.T) {
	for name, damage := range map[string]func(path string, b []byte) error{
		"lost":       func(path string, _ []byte) error { return os.Remove(path) },
		"first byte": func(path string, b []byte) error { b[20] ^= 1; return os.WriteFile(path, b, 0o600) },
		"frames":     func(path string, b []byte) error { clear(b[16 : len(b)*2/3]); return os.WriteFile(path, b, 0o600) },
		"cut":        func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o600) },
	} {
		for _, which := range []string{"first", "last", "both"} {
			t.Run(name+" "+which, func(t *testing.T) {
				m, root := newMachine(t), t.TempDir()
				for i := range 400 {
					write(t, fmt.Sprintf("%s/d%02d/f%04d", root, i%20, i), noise(100+i, uint64(i)))
				}
				settle()
				first := m.backup(root)
				write(t, root+"/d07/new", []byte("new"))
				settle()
				last := m.backup()
				var packs []string
				if which != "last" {
					packs = m.catalogue(first)
				}
				if which != "first" {
					packs = append(packs, m.catalogue(last)...)
				}
				for _, path := range packs {
					b, err := os.ReadFile(path)
					if err == nil {
						err = damage(path, b)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				r := m.backup(root)
				m.same("latest", root)
				// One frame may be that of a record which nobody needs any more.
				if name != "first byte" && !strings.Contains(r.Point.Reason, "can't be read") {
					t.Errorf("nothing is said of the damage: %q", r.Point.Reason)
				}
				r = m.backup()
				m.same("latest", root)
				if strings.Contains(r.Point.Reason, "can't be read") || r.Point.Stats.Unchanged != 401 {
					t.Errorf("the damage is still there: %+v", r.Point)
				}
			})
		}
	}
}
