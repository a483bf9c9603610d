package restore_test

import (
	"context"
	"fmt"
	"testing"

	"waybill/internal/domain"
	"waybill/internal/fault"
	"waybill/internal/restore"
	"waybill/internal/save"
	"waybill/internal/treetest"
	"waybill/manifest"
)

const stretch = 4 << 20 // as package domain has it

// bytesOf is how many packs of a class there are, and how large they are together.
func bytesOf(saved *save.Result, class manifest.Class) (packs, bytes int64) {
	for _, p := range saved.Packs {
		if p.Class == class {
			packs++
			bytes += p.Size
		}
	}
	return packs, bytes
}

// Whatever the tree, it comes back over a wire as it does from a directory.
func TestFarTreesComeBack(t *testing.T) {
	for seed := range 3 {
		m, src := newMachine(t), temp(t)
		m.change = func(c *save.Config) { c.DataPack = 1 << 20 }
		if err := treetest.Make(src, uint64(seed), treetest.Options{Entries: 500}); err != nil {
			t.Fatal(err)
		}
		m.backup(src)
		m.line = &fault.Line{Inner: m.vault}
		to := temp(t)
		m.restore(restore.Options{To: to})
		m.same(to, src)
		if _, err := m.check(t); err != nil {
			t.Error(err)
		}
	}
}

// A restore takes a request a pack to open it, one for what is in a stretch of neighbours, and one for each pack of the catalogue; what is
// restored is wherever it is. So does a check, and a few more.
func TestFarRequests(t *testing.T) {
	m, src := newMachine(t), temp(t)
	m.change = func(c *save.Config) { c.DataPack, c.Readers = 10<<20, 1 }
	for i := range 400 {
		write(t, fmt.Sprintf("%s/d%02d/f%03d", src, i%7, i), noise(100<<10, byte(i)))
	}
	saved := m.backup(src)
	data, bytes := bytesOf(saved, manifest.Data)
	cata, _ := bytesOf(saved, manifest.Catalogue)
	stretches := bytes/(stretch/2) + data // at the least half full, but for a pack's last
	if data < 3 || cata != 1 {
		t.Fatalf("%d and %d packs", data, cata)
	}
	m.line = &fault.Line{Inner: m.vault}
	count := func(what string, exact, more int64, f func(d *domain.Domain, p *domain.Point) error) {
		t.Helper()
		m.line.Reset()
		d := m.open(true)
		if err := f(d, m.point(d, "latest")); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := m.line.Requests()
		n := got.For("/packs/")
		if n < exact || n > exact+more {
			t.Errorf("%s takes %d requests for packs, not %d and up to %d more", what, n, exact, more)
		}
		t.Logf("%s: %d requests for packs, %d at once", what, n, got.Top)
	}
	count("restoring", cata+1+data, stretches, func(d *domain.Domain, p *domain.Point) error {
		_, err := restore.Run(t.Context(), d, p, restore.Options{To: temp(t)})
		return err
	})
	count("restoring one file", cata+data+2, 1, func(d *domain.Domain, p *domain.Point) error {
		_, err := restore.Run(t.Context(), d, p, restore.Options{To: temp(t), Paths: [][]byte{[]byte(src + "/d03/f003")}})
		return err
	})
	count("checking", cata*2+1+data*2, stretches+2*data+cata, func(d *domain.Domain, p *domain.Point) error {
		_, err := restore.Check(t.Context(), d, []domain.Point{*p}, restore.CheckOptions{Dedupe: m.writer.Dedupe})
		return err
	})
}

// A line that is cut ends a restore, and nothing is taken for damaged. It goes on when the line is back.
func TestFarLineIsCut(t *testing.T) {
	m, src, _ := spread(t)
	to := temp(t)
	for k := 1; ; k++ {
		script := &fault.Script{At: k, Down: true, Counts: func(_, name string) bool { _, _, ok := manifest.ParsePackName(name); return ok }}
		m.line = &fault.Line{Inner: fault.Store{Inner: m.vault, Script: script}}
		r, err := m.tryFar(t.Context(), restore.Options{To: to})
		if !script.Tripped() {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if !isErr(err, fault.Err) || r != nil && r.DamagedCount > 0 {
			t.Fatalf("cut at request %d: %v %+v", k, err, r)
		}
	}
	m.same(to, src)
}

// tryFar is try for when the point can't be read either.
func (m *machine) tryFar(ctx context.Context, opts restore.Options) (*restore.Report, error) {
	d, err := domain.Open(ctx, []domain.Store{m.line}, m.doc, domain.Options{Keys: m.keys, Dedupe: m.writer.Dedupe})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	p, err := d.Resolve(ctx, "latest")
	if err != nil {
		return nil, err
	}
	return restore.Run(ctx, d, p, opts)
}
