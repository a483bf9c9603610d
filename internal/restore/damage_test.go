package restore_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/internal/domain"
	"waybill/internal/fault"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/internal/restore"
	"waybill/internal/save"
	"waybill/manifest"
)

// spread is a tree whose contents lie in several data packs.
func spread(t *testing.T) (m *machine, src string, saved *save.Result) {
	m, src = newMachine(t), temp(t)
	m.change = func(c *save.Config) { c.DataPack, c.Readers = 1<<20, 1 }
	for i := range 40 {
		write(t, fmt.Sprintf("%s/d%d/small%02d", src, i%4, i), noise(60<<10, byte(i)))
	}
	write(t, src+"/large", noise(5<<20, 99))
	return m, src, m.backup(src)
}

// dataPack is the path of a data pack of the vault, the largest first.
func dataPack(t *testing.T, m *machine, saved *save.Result) string {
	t.Helper()
	packs := slices.DeleteFunc(slices.Clone(saved.Packs), func(p manifest.Pack) bool { return p.Class != manifest.Data })
	slices.SortFunc(packs, func(a, b manifest.Pack) int { return int(b.Size - a.Size) })
	if len(packs) < 3 {
		t.Fatalf("only %d data packs", len(packs))
	}
	return filepath.Join(m.dir, manifest.PackName(m.writer.Machine, packs[0].Name))
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	os.Chmod(path, 0o600)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	f.ReadAt(b, at)
	b[0] ^= 0x40
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// compared tells which files below root are not in the target; those that are must be right.
func compared(t *testing.T, to, root string) (lost []string) {
	t.Helper()
	filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if !e.Type().IsRegular() {
			return err
		}
		want, _ := os.ReadFile(path)
		if _, err := os.Lstat(to + path); err != nil {
			lost = append(lost, path)
			return nil
		}
		has(t, to+path, want)
		return nil
	})
	return lost
}

func paths(list []restore.Problem) (all []string) {
	for _, p := range list {
		all = append(all, p.Path)
	}
	slices.Sort(all)
	return all
}

// nearAndFar runs a test with a vault that is at hand, and with one at the far end of a wire.
func nearAndFar(t *testing.T, name string, f func(t *testing.T, far bool)) {
	t.Run(name, func(t *testing.T) { f(t, false) })
	t.Run(name+", far", func(t *testing.T) { f(t, true) })
}

func TestDamagedPacksCostOnlyWhatIsInThem(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, path string){
		"a frame":   func(t *testing.T, path string) { flip(t, path, 1000) },
		"the table": func(t *testing.T, path string) { st, _ := os.Stat(path); flip(t, path, st.Size()-700) },
		"the end":   func(t *testing.T, path string) { st, _ := os.Stat(path); os.Truncate(path, st.Size()-10) },
		"all of it": func(t *testing.T, path string) { os.Remove(path) },
	} {
		nearAndFar(t, name, func(t *testing.T, far bool) {
			m, src, saved := spread(t)
			if far {
				m.line = &fault.Line{Inner: m.vault}
			}
			path := dataPack(t, m, saved)
			intact, _ := os.ReadFile(path)
			harm(t, path)
			to := temp(t)
			r, err := m.try(t.Context(), restore.Options{To: to})
			if !isErr(err, restore.ErrDamagedParts) {
				t.Fatalf("error is %v", err)
			}
			lost := compared(t, to, src)
			if len(lost) == 0 || !slices.Equal(lost, paths(r.Damaged)) || int(r.DamagedCount) != len(lost) {
				t.Errorf("lost %q, reported %q", lost, paths(r.Damaged))
			}
			checked, err := m.check(t)
			if !isErr(err, restore.ErrDamagedParts) || len(checked.Damaged)+len(checked.Missing) != 1 || int(checked.AffectedCount) != len(lost) {
				t.Errorf("check: %v: %+v", err, checked)
			}
			// With the pack back, the same restore gets the rest.
			if err := os.WriteFile(path, intact, 0o600); err != nil {
				t.Fatal(err)
			}
			again := m.restore(restore.Options{To: to})
			if int(again.Files) != len(lost) || int(again.Kept) != 41-len(lost) {
				t.Errorf("restored %d more and kept %d; %d were lost", again.Files, again.Kept, len(lost))
			}
			m.same(to, src)
		})
	}
}

func (m *machine) check(t *testing.T) (*restore.CheckReport, error) {
	t.Helper()
	d := m.open(true)
	return restore.Check(t.Context(), d, d.Points(t.Context()), restore.CheckOptions{Dedupe: m.writer.Dedupe})
}

func TestCheckFindsNothingWrong(t *testing.T) {
	m, src, saved := spread(t)
	r, err := m.check(t)
	if err != nil || r.Packs != int64(len(saved.Packs)) || r.PlainBytes < saved.Point.Stats.Bytes || r.Entries < 45 {
		t.Errorf("%v %+v", err, r)
	}
	write(t, src+"/later", noise(3<<20, 123))
	m.backup(src)
	d := m.open(true)
	first := m.point(d, saved.ID.String())
	one, err := restore.Check(t.Context(), d, []domain.Point{*first}, restore.CheckOptions{Dedupe: m.writer.Dedupe, Reachable: true})
	if err != nil || one.PlainBytes != saved.Point.Stats.NewBytes {
		t.Errorf("the first point alone: %v %+v", err, one)
	}
}

func TestAnyFlippedByteIsNoticed(t *testing.T) {
	m, src, saved := spread(t)
	dice := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		p := saved.Packs[dice.IntN(len(saved.Packs))]
		path := filepath.Join(m.dir, manifest.PackName(m.writer.Machine, p.Name))
		at := dice.Int64N(p.Size)
		flip(t, path, at)
		to := temp(t)
		d, err := domain.Open(t.Context(), []domain.Store{m.vault}, m.doc, domain.Options{Keys: m.keys, Dedupe: m.writer.Dedupe})
		if err != nil {
			t.Fatal(err)
		}
		if point, err := d.Resolve(t.Context(), "latest"); err == nil {
			r, err := restore.Run(t.Context(), d, point, restore.Options{To: to})
			if lost := compared(t, to, src); err == nil && len(lost) > 0 {
				t.Errorf("pack %v byte %d: %q lost, and no error: %+v", p.Name, at, lost, r)
			}
		}
		d.Close()
		flip(t, path, at)
	}
}

// A stale index costs time, not files.
func TestWrongIndex(t *testing.T) {
	m, src, _ := spread(t)
	d := m.open(false)
	to := temp(t)
	if _, err := restore.Run(t.Context(), &liar{Domain: d}, m.point(d, "latest"), restore.Options{To: to}); err != nil {
		t.Fatal(err)
	}
	m.same(to, src)
}

// A liar's index is wrong until it is made anew.
type liar struct {
	*domain.Domain
	honest bool
}

func (l *liar) Rebuild(ctx context.Context) ([]manifest.Digest, error) {
	l.honest = true
	return l.Domain.Rebuild(ctx)
}

func (l *liar) Locate(id pack.ID) (loc index.Loc, ok bool) {
	loc, ok = l.Domain.Locate(id)
	if l.honest {
		return loc, ok
	}
	switch id[0] % 8 {
	case 0:
		return loc, false
	case 1:
		loc.Frame++
	case 2:
		loc.Start++
	case 3:
		loc.Pack[0]++
	}
	return loc, ok
}

func TestReportStaysReadable(t *testing.T) {
	m, _, saved := spread(t)
	flip(t, dataPack(t, m, saved), 1000)
	r, _ := m.try(t.Context(), restore.Options{To: temp(t)})
	for _, p := range r.Damaged {
		if !strings.Contains(p.Problem, "bytes in") || !strings.Contains(p.Problem, "range") {
			t.Errorf("%s: %s", p.Path, p.Problem)
		}
	}
}
