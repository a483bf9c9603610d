package seed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/durable"
	"waybill/internal/fault"
	"waybill/seed"
	"waybill/seed/disk"
)

// A hooked cache may answer itself.
type hooked struct {
	seed.Cache
	put func(name string) error
}

func (h hooked) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if err := h.put(name); err != nil {
		return err
	}
	return h.Cache.Put(ctx, name, body)
}

// When this machine has no room for what it keeps, no further disk helps, and trying again doesn't either.
func TestFullCache(t *testing.T) {
	for _, what := range []string{"/packs/", "/manifests/"} {
		m, root := newMachine(t), tree(t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tried := 0
		m.change = func(o *seed.Options) {
			o.Next = func(context.Context, error) ([]string, error) { return nil, errors.New("asked for a disk") }
			o.Cache = hooked{o.Cache, func(name string) error {
				if !strings.Contains(name, what) {
					return nil
				}
				if tried++; tried > 5 {
					cancel()
				}
				return fmt.Errorf("%w: of the machine", durable.ErrFull)
			}}
		}
		if r, err := m.try(ctx, []string{t.TempDir()}, root); !errors.Is(err, durable.ErrFull) || errors.Is(err, seed.ErrNextDisk) || tried != 1 || r != nil {
			t.Errorf("%s: tried %d times; %+v, %v", what, tried, r, err)
		}
	}
}

// A disk that has room for a pack of data but not for one of the catalogue, which is all there is, is full.
func TestNoRoomForTheCatalogue(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	for i := range 400 {
		dir := fmt.Sprintf("%s/d%d", root, i)
		m.must(os.Mkdir(dir, 0o777))
		for k := range 3 {
			m.must(os.Symlink(fmt.Sprint(i, strings.Repeat("x", 4000)), fmt.Sprintf("%s/l%d", dir, k)))
		}
	}
	small := fault.MountTest(t, fault.Faults{Size: 32 << 20})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // or it would try for ever
	defer cancel()
	asked := 0
	m.change = func(o *seed.Options) {
		o.Next = func(context.Context, error) ([]string, error) { asked++; return []string{t.TempDir()}, nil }
	}
	r, err := m.try(ctx, []string{small.Dir}, root)
	if err != nil || asked != 1 || r.Point.State != catalog.Complete {
		t.Errorf("asked %d times; %+v, %v", asked, r, err)
	}
}

// A disk that was begun by a run of which nothing was committed may have the number that another got since.
func TestDiskOfATakenNumber(t *testing.T) {
	for _, complete := range []bool{false, true} {
		t.Run(fmt.Sprintf("complete %v", complete), func(t *testing.T) {
			m, root := newMachine(t), tree(t, 12)
			a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
			m.stopped(2, []string{a}, root)
			m.change = func(o *seed.Options) { o.Cache = refusing{o.Cache} }
			if _, err := m.try(t.Context(), []string{a, b}); !errors.Is(err, errRefused) {
				t.Fatal(err)
			}
			m.change = nil
			if complete {
				_, err := m.try(t.Context(), []string{a, c})
				m.must(err)
				if _, err := m.try(t.Context(), []string{b}); !errors.Is(err, disk.ErrForeign) {
					t.Error(err)
				}
				m.check(root, a, c)
				return
			}
			m.stopped(4, []string{a, c})
			if packs(t, c) == 0 {
				t.Fatal("no pack on the disk that got the number")
			}
			_, err := m.try(t.Context(), []string{a, b, c})
			m.must(err)
			m.check(root, a, b, c)
		})
	}
}

// The only disk is pulled out after something was committed: the next takes its place, or the same one when it is connected again.
func TestTheOnlyDiskIsPulledOut(t *testing.T) {
	for _, test := range []struct {
		same  bool
		after int // commits
	}{{false, 2}, {true, 2}, {true, 0}} {
		same := test.same
		m, root := newMachine(t), tree(t, 8)
		bad := fault.MountTest(t, fault.Faults{})
		if test.after == 0 {
			var written atomic.Int64
			bad.Set(fault.Faults{FailWrites: func(_ string, _, n int64) bool {
				if written.Add(n) > 1<<20 {
					bad.Set(fault.Faults{Gone: true})
				}
				return false
			}})
		}
		disks := []string{bad.Dir, t.TempDir()}
		absent := "[1]"
		if same {
			disks, absent = disks[:1], "[]"
		}
		commits := 0
		m.change = func(o *seed.Options) {
			o.Save.CheckpointBytes = 2 << 20
			o.Cache = hooked{o.Cache, func(name string) error {
				if commits += strings.Count(name, ".json"); commits > 0 && commits == test.after {
					bad.Set(fault.Faults{Gone: true})
					commits++ // once
				}
				return nil
			}}
			o.Next = func(context.Context, error) ([]string, error) {
				if same {
					bad.Set(fault.Faults{})
				}
				return disks[len(disks)-1:], nil
			}
		}
		r, err := m.try(t.Context(), disks[:1], root)
		m.must(err)
		if fmt.Sprint(r.Absent) != absent || r.Point.State != catalog.Complete {
			t.Errorf("%+v", r)
		}
		bad.Set(fault.Faults{})
		m.change = nil
		if !same {
			_, err = m.try(t.Context(), disks[:1])
			m.must(err)
		}
		m.check(root, disks...)
	}
}

// A disk that has no room for a commit is left behind: sealed without it, it would be one of a seed that never ended.
func TestNoRoomForTheCommit(t *testing.T) {
	m, root := newMachine(t), tree(t, 6)
	small := fault.MountTest(t, fault.Faults{})
	disks := []string{small.Dir, t.TempDir()}
	m.stopped(2, disks, root)
	failed := 0
	m.change = func(o *seed.Options) {
		o.Cache = hooked{o.Cache, func(name string) error {
			if strings.HasSuffix(name, ".json") {
				small.Set(fault.Faults{Size: 1})
			}
			return nil
		}}
		o.Sealing = func() { small.Set(fault.Faults{}) }
		o.Failed = func(disk.Label, string, error) { failed++ }
	}
	r, err := m.try(t.Context(), disks)
	m.must(err)
	if failed != 1 || fmt.Sprint(r.Absent) != "[1]" {
		t.Errorf("%d failed; %+v", failed, r)
	}
	m.change = nil
	_, err = m.try(t.Context(), disks[:1])
	m.must(err)
	m.check(root, disks...)
}

// Another commit in the place of the one that was made is no success.
func TestCommitOfATakenNumber(t *testing.T) {
	m, root := newMachine(t), tree(t, 2)
	m.change = func(o *seed.Options) {
		o.Cache = hooked{o.Cache, func(name string) error {
			if strings.HasSuffix(name, ".json") {
				return fs.ErrExist
			}
			return nil
		}}
	}
	path := t.TempDir()
	if r, err := m.try(t.Context(), []string{path}, root); !errors.Is(err, fs.ErrExist) || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
	m.must(os.RemoveAll(path))
}
