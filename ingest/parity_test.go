package ingest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"waybill/manifest"
	"waybill/seed/disk"
	"waybill/seed/disk/parity"
)

// newParityWorld has a seed on two disks, each with parity of its packs, and a third disk with parity across them.
func newParityWorld(t *testing.T) *world {
	w := newEmptyWorld(t)
	w.commit(4, 100_000)
	w.commit(4, 20_000)
	across, err := disk.Create(tempDir(t), disk.Label{Vault: vaultID, Machine: machineID, Set: setID, Disk: 3, Disks: 3, Time: when, Role: disk.RoleParity})
	w.must(err)
	t.Cleanup(func() { across.Close() })
	w.register(across, w.signer)
	w.must(w.disks[0].List(t.Context(), manifest.ManifestsPrefix(machineID), func(name string, _ int64) error {
		b, err := manifest.ReadObject(t.Context(), w.disks[0], name, 1<<20)
		w.put(across, name, b)
		return err
	}))
	w.disks = append(w.disks, across)
	w.seal(w.disks...)
	for i, d := range w.disks { // files that were read are kept open, and would be there when they are gone
		again, err := disk.Open(d.Path())
		w.must(err)
		t.Cleanup(func() { again.Close() })
		w.disks[i] = again
	}
	return w
}

func (w *world) seal(disks ...*disk.Disk) {
	w.t.Helper()
	w.must(disk.Seal(context.Background(), disks, disk.SealOptions{Key: w.signer.Public(), Disks: len(w.disks), Host: "db1", Now: when, Scheme: parity.Scheme{Data: 20, Shards: 1}}))
}

// paths are where a disk's packs are in the file system.
func (w *world) paths(disk int) (paths []string) {
	for _, p := range w.packs {
		if p.Disk == disk {
			paths = append(paths, filepath.Join(w.disks[disk-1].Path(), filepath.FromSlash(manifest.PackName(machineID, p.Name))))
		}
	}
	return paths
}

// A pack that is damaged in any way is rebuilt on its way into the vault.
func TestRebuildWithinDisk(t *testing.T) {
	for name, damage := range map[string]func(w *world, path string) error{
		"a byte changed": func(w *world, path string) error { w.flip(path); return nil },
		"cut":            func(w *world, path string) error { return os.Truncate(path, 1000) },
		"gone":           func(w *world, path string) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newParityWorld(t)
			w.must(damage(w, w.paths(1)[1]))
			v, err := Verify(t.Context(), w.sources(1)[0], Options{})
			var damaged *DamagedError
			if !errors.As(err, &damaged) || !damaged.Mendable() || v.Verdict() != Repairable || len(v.Damaged) != 1 || v.Packs != 3 {
				t.Errorf("verify: %+v, %v", v, err)
			}
			o := options()
			o.Progress = &Progress{}
			r, err := Import(t.Context(), w.vault, w.sources(1, 2), o)
			if err != nil {
				t.Fatal(err)
			}
			m := r.Machines[0]
			if m.Receipt.Imported != 8 || m.Receipt.Verified != 8 || m.Receipt.Repaired != 1 || len(m.Damaged) > 1 || len(m.Damaged) == 1 && !m.Damaged[0].Mended {
				t.Errorf("%+v", m)
			}
			if p := o.Progress; p.Packs.Load() != 8 || p.TotalPacks.Load() != 8 || p.Bytes.Load() > p.TotalBytes.Load() {
				t.Errorf("progress: %d of %d packs, %d of %d bytes", p.Packs.Load(), p.TotalPacks.Load(), p.Bytes.Load(), p.TotalBytes.Load())
			}
			w.checkLog(w.vault, 1, "received verified repaired imported")
			w.checkLog(w.vault, 2, "received verified imported")
			w.checkVault(0)
		})
	}
}

// The parity across a set makes up for a disk that is lost, whether the others are read together or one by one.
func TestRebuildLostDisk(t *testing.T) {
	t.Run("together", func(t *testing.T) {
		w := newParityWorld(t)
		v, err := VerifySet(t.Context(), w.sources(3, 1), Options{})
		var damaged *DamagedError
		if !errors.As(err, &damaged) || !damaged.Mendable() || v.Rebuilt != 4 || len(v.Missing) != 0 || !slices.Equal(v.NotHere, []int{2}) || len(v.Flaws) != 0 {
			t.Errorf("verify: %+v, %v", v, err)
		}
		r, err := Import(t.Context(), w.vault, w.sources(3, 1), options())
		if err != nil || r.Machines[0].Receipt.Repaired != 4 || !slices.Equal(r.Machines[0].Receipt.Arrived, []int{1, 3}) {
			t.Fatalf("%+v, %v", r, err)
		}
		w.checkLog(w.vault, 3, "received repaired")
		w.checkVault(0)
	})
	t.Run("one by one", func(t *testing.T) {
		w := newParityWorld(t)
		_, err := Import(t.Context(), w.vault, w.sources(1), options())
		var incomplete *IncompleteError
		if !errors.As(err, &incomplete) || !slices.Equal(incomplete.NotHere, []int{2}) && !slices.Equal(incomplete.NotHere, []int{2, 3}) {
			t.Fatal(err)
		}
		r, err := Import(t.Context(), w.vault, w.sources(3), options())
		if err != nil || r.Machines[0].Receipt.Repaired != 4 || r.Machines[0].Receipt.Present != 4 {
			t.Fatalf("%+v, %v", r, err)
		}
		w.checkVault(0)
	})
	t.Run("damaged twice", func(t *testing.T) { // within disk 1, and disk 2 is lost
		w := newParityWorld(t)
		w.flip(w.paths(1)[0])
		r, err := Import(t.Context(), w.vault, w.sources(1, 3), options())
		if err != nil || r.Machines[0].Receipt.Repaired != 5 {
			t.Fatalf("%+v, %v", r, err)
		}
		w.checkVault(0)
	})
}

// Beyond the limit exactly the packs that are lost are missing.
func TestRebuildBeyond(t *testing.T) {
	w := newParityWorld(t)
	gone := w.paths(1)[:2]
	for _, path := range gone {
		w.must(os.Remove(path))
	}
	v, err := Verify(t.Context(), w.sources(1)[0], Options{})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || v.Verdict() != Incomplete || len(v.Missing) != 2 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	if !errors.As(err, &incomplete) || len(incomplete.Missing) != 2 || !slices.Equal(incomplete.NotHere, nil) && !slices.Equal(incomplete.NotHere, []int{3}) {
		t.Fatal(err)
	}
	for _, p := range r.Machines[0].Receipt.Missing {
		if !strings.HasSuffix(gone[0], p.Name.String()) && !strings.HasSuffix(gone[1], p.Name.String()) {
			t.Errorf("pack %s is there", p.Name)
		}
	}
	w.checkVault(2)
	v2, err := VerifySet(t.Context(), w.sources(1, 2, 3), Options{})
	if err == nil || v2.Trees[0].Verdict() != Repairable || len(v2.NotHere) != 0 {
		t.Errorf("verify all: %+v, %v", v2.Trees[0], err)
	}
	if _, err := Import(t.Context(), w.vault, w.sources(1, 2, 3), options()); err != nil {
		t.Fatalf("with the parity disk: %v", err)
	}
	w.checkVault(0)
}

// Damaged parity is found, and stops nothing.
func TestDamagedParity(t *testing.T) {
	w := newParityWorld(t)
	if v, err := Verify(t.Context(), w.sources(1)[0], Options{}); err != nil || v.Verdict() != Whole || v.Packs != 4 || len(v.Extra) != 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	var shard string
	w.must(w.disks[0].List(t.Context(), manifest.ParityPrefix(machineID), func(name string, _ int64) error {
		if _, _, n, ok := manifest.ParseParityName(name); ok && n >= 0 {
			shard = name
		}
		return nil
	}))
	w.flip(filepath.Join(w.disks[0].Path(), filepath.FromSlash(shard)))
	v, err := Verify(t.Context(), w.sources(1)[0], Options{})
	if err == nil || len(v.Damaged) != 1 || v.Damaged[0].Name != shard || v.Packs != 4 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := Import(t.Context(), w.vault, w.sources(1, 2), options()); err != nil {
		t.Error(err)
	}
	w.checkVault(0)
}

// A counter counts what is read of shards.
type counter struct {
	manifest.Reader
	shards atomic.Int64
}

func (c *counter) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if _, _, shard, ok := manifest.ParseParityName(name); ok && shard >= 0 {
		c.shards.Add(1)
	}
	return c.Reader.ReadAt(ctx, name, p, off)
}

// The disk of parity may come first: nothing is read of it in vain for those that are on their way.
func TestParityComesFirst(t *testing.T) {
	w := newParityWorld(t)
	c := &counter{Reader: w.disks[2]}
	_, err := Import(t.Context(), w.vault, []Source{{"disk3", c}}, options())
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || len(incomplete.Missing) != 8 || c.shards.Load() != 0 {
		t.Errorf("%d reads, %v", c.shards.Load(), err)
	}
	if r, err := Import(t.Context(), w.vault, w.sources(1, 3), options()); err != nil || r.Machines[0].Receipt.Repaired != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	w.checkVault(0)
}

// A disk and its copy have one log.
func TestCustodyOfCopies(t *testing.T) {
	w := newParityWorld(t)
	sources := w.sources(1, 2, 1)
	sources[2].Reader = readOnly{sources[2].Reader}
	r, err := Import(t.Context(), w.vault, sources, options())
	if err != nil || !slices.Equal(r.Machines[0].Receipt.Arrived, []int{1, 2}) || len(r.Machines[0].Receipt.Custody) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	w.checkLog(w.disks[0], 1, "received verified imported")
}
