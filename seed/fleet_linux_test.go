package seed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"waybill/internal/catalog"
	"waybill/internal/durable"
	"waybill/internal/fault"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
	"waybill/seed/disk/parity"
)

// A ledger in memory outlives the runs of a test.
type ledger struct {
	mu   sync.Mutex
	list []manifest.Pack
}

func (l *ledger) Add(p manifest.Pack) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, p)
	return nil
}

func (l *ledger) Packs() ([]manifest.Pack, error) { return slices.Clone(l.list), nil }

func (l *ledger) Clear() error {
	l.list = nil
	return nil
}

// A disk is pulled out while it is written to, before the first checkpoint or after some. The others go on; what was not durable on it is
// written again elsewhere, and the disk is sealed when it is there again. The disk of parity, which is sealed by then, comes to cover it.
func TestPulledOut(t *testing.T) {
	for _, after := range []int64{1 << 20, 4 << 20} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			m, root := newMachine(t), tree(t, 20)
			bad := fault.MountTest(t, fault.Faults{})
			var written atomic.Int64
			bad.Set(fault.Faults{FailWrites: func(_ string, _, n int64) bool {
				if written.Add(n) > after {
					bad.Set(fault.Faults{Gone: true})
				}
				return false
			}})
			disks := []string{t.TempDir(), bad.Dir, t.TempDir(), t.TempDir()}
			var failed []int
			m.change = func(o *seed.Options) {
				o.ParityDisks = 1
				o.Save.CheckpointBytes = 6 << 20
				o.Failed = func(l disk.Label, _ string, _ error) { failed = append(failed, l.Disk) }
			}
			r, err := m.try(t.Context(), disks, root)
			m.must(err)
			if fmt.Sprint(failed) != "[2]" || fmt.Sprint(r.Absent) != "[2]" || len(r.Disks) != 3 || r.Point.State != catalog.Complete {
				t.Fatalf("failed: %v; %+v", failed, r)
			}
			bad.Set(fault.Faults{})
			m.change = nil
			_, err = m.try(t.Context(), []string{disks[1], disks[3]})
			m.must(err)
			m.check(root, disks...)
			m.covered(disks[3], disks[:3]...)
		})
	}
}

// covered makes sure that a disk of parity covers all packs of the others.
func (m *machine) covered(across string, disks ...string) {
	m.t.Helper()
	d, err := disk.Open(across)
	m.must(err)
	defer d.Close()
	set, err := parity.Open(m.t.Context(), m.doc.Machine, []parity.Source{{Name: across, Reader: d}})
	m.must(err)
	for _, path := range disks {
		all, err := filepath.Glob(path + "/machines/*/packs/*/*")
		m.must(err)
		for _, file := range all {
			name, err := filepath.Rel(path, file)
			m.must(err)
			if !set.Covers(filepath.ToSlash(name)) {
				m.t.Errorf("%s is not covered by %s", file, across)
			}
		}
	}
}

// When the disks are full, the next is asked for; without an answer the seed stops with a checkpoint and goes on later, with the
// new disk alone. What the engine holds when the disks are full still goes there, however small the packs are.
func TestFullDisks(t *testing.T) {
	before := runtime.GOMAXPROCS(2) // with more, more is on its way than such small disks hold
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	for _, asked := range []bool{true, false} {
		t.Run(fmt.Sprintf("asked %v", asked), func(t *testing.T) {
			m, root := newMachine(t), tree(t, 36)
			small := fault.MountTest(t, fault.Faults{Size: 32 << 20})
			disks := []string{small.Dir, t.TempDir()}
			m.change = func(o *seed.Options) {
				o.Save.DataPack = 2 << 20
				if asked {
					wrong := [][]string{disks[:1], {disks[1], root}, disks[1:]} // given twice, and something else
					o.Next = func(context.Context, error) ([]string, error) {
						next := wrong[0]
						wrong = wrong[1:]
						return next, nil
					}
				}
			}
			r, err := m.try(t.Context(), disks[:1], root)
			if !asked {
				if !errors.Is(err, seed.ErrNextDisk) || !errors.Is(err, durable.ErrFull) || r == nil || r.Point.State != catalog.PartialState {
					t.Fatalf("%+v, %v", r, err)
				}
				r, err = m.try(t.Context(), disks[1:])
				m.must(err)
				if r.Point.Stats.NewBytes > 32<<20 {
					t.Errorf("%d bytes were stored again", r.Point.Stats.NewBytes)
				}
				_, err = m.try(t.Context(), disks[:1])
			}
			m.must(err)
			m.check(root, disks...)
		})
	}
}

// A run that dies between checkpoints leaves packs that no commit lists. The next takes them over.
func TestFinishedPacksAreAdopted(t *testing.T) {
	m, root := newMachine(t), tree(t, 12)
	disks, book := []string{t.TempDir(), t.TempDir()}, &ledger{}
	m.change = func(o *seed.Options) {
		o.Ledger, o.Save.Roots = book, append(o.Save.Roots, root+"/f11")
		o.Save.CheckpointBytes = 1 << 40
		o.Cache = refusing{o.Cache}
	}
	if r, err := m.try(t.Context(), disks, root); !errors.Is(err, errRefused) || r != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	before := packs(t, disks[0]) + packs(t, disks[1])
	if before < 4 {
		t.Fatalf("%d packs were finished", before)
	}
	m.must(os.WriteFile(disks[0]+"/machines/"+string(m.doc.Machine)+"/packs/stray", []byte("x"), 0o666))
	m.change = func(o *seed.Options) { o.Ledger = book }
	r, err := m.try(t.Context(), disks, root)
	m.must(err)
	if r.Point.Stats.NewBytes > 2<<20 {
		t.Errorf("%d bytes were stored again", r.Point.Stats.NewBytes)
	}
	m.must(os.Remove(disks[0] + "/machines/" + string(m.doc.Machine) + "/packs/stray"))
	m.check(root, disks...)
}

var errRefused = errors.New("refused")

// refusing keeps packs and no commit.
type refusing struct{ seed.Cache }

func (r refusing) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if !strings.Contains(name, "/packs/") {
		return errRefused
	}
	return r.Cache.Put(ctx, name, body)
}

// The largest of the new disks carry the parity of the others, and no packs.
func TestParityDisks(t *testing.T) {
	m, root := newMachine(t), tree(t, 6)
	large := t.TempDir()
	disks := []string{fault.MountTest(t, fault.Faults{Size: 32 << 20}).Dir, large, fault.MountTest(t, fault.Faults{Size: 32 << 20}).Dir}
	m.change = func(o *seed.Options) { o.ParityDisks = 3 }
	if _, err := m.try(t.Context(), disks, root); !errors.Is(err, seed.ErrNoData) {
		t.Errorf("three parity disks of three: %v", err)
	}
	m.change = func(o *seed.Options) { o.ParityDisks = 1 }
	r, err := m.try(t.Context(), disks, root)
	m.must(err)
	if r.Disks[1].Role != disk.RoleParity || packs(t, large) != 0 || packs(t, disks[0]) == 0 || packs(t, disks[2]) == 0 {
		t.Errorf("%+v", r.Disks)
	}
	m.check(root, disks...)
}
