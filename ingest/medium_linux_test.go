package ingest

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"waybill/internal/durable"
	"waybill/internal/fault"
	"waybill/manifest"
)

// onMedium puts disk 1 of a world onto a medium with faults, and returns the world's sources 1 and 2.
func onMedium(t *testing.T, w *world) (*fault.Disk, []Source) {
	t.Helper()
	d := fault.MountTest(t, fault.Faults{})
	w.must(os.CopyFS(d.Backing, os.DirFS(w.disks[0].Path())))
	dir, err := durable.Open(d.Dir)
	w.must(err)
	t.Cleanup(func() { dir.Close() })
	sources := w.sources(1, 2)
	sources[0].Reader = dir
	return d, sources
}

// pulled is a medium that is pulled out when a pack is read.
type pulled struct {
	*durable.Dir
	medium *fault.Disk
	reads  atomic.Int64
}

func (p *pulled) ReadAt(ctx context.Context, name string, b []byte, off int64) (int, error) {
	if _, _, ok := manifest.ParsePackName(name); ok && p.reads.Add(1) == 2 {
		p.medium.Set(fault.Faults{Gone: true})
	}
	return p.Dir.ReadAt(ctx, name, b, off)
}

// A disk that is pulled out costs what it alone had, and one line.
func TestPulledOut(t *testing.T) {
	w := newWorld(t)
	medium, sources := onMedium(t, w)
	sources[0].Reader = &pulled{Dir: sources[0].Reader.(*durable.Dir), medium: medium}
	o := options()
	o.Workers = 1
	r, err := Import(t.Context(), w.vault, sources, o)
	var gone *GoneError
	var incomplete *IncompleteError
	var damaged *DamagedError
	if !errors.As(err, &gone) || gone.Source != "disk1" || !errors.As(err, &incomplete) || errors.As(err, &damaged) {
		t.Fatal(err)
	}
	if m := r.Machines[0]; m.Receipt.Imported != 4 || len(m.Receipt.Missing) != 3 || m.ReceiptName == "" || m.Commits != 2 || len(m.Damaged) != 0 {
		t.Errorf("%+v", m)
	}
	medium.Set(fault.Faults{})
	if _, err := Import(t.Context(), w.vault, sources, options()); err != nil {
		t.Error(err)
	}
	w.checkVault(0)
}

// Sectors that can't be read are mended by the disk's own parity.
func TestBadSectors(t *testing.T) {
	w := newParityWorld(t)
	medium, sources := onMedium(t, w)
	var p manifest.Pack
	for _, p = range w.packs {
		if p.Disk == 1 && p.Size > 70_000 {
			break
		}
	}
	medium.Set(fault.Faults{FailReads: fault.Part(p.Name.String(), 70_000, 70_001)})
	if v, err := Verify(t.Context(), sources[0], Options{}); err == nil || v.Verdict() != Repairable {
		t.Errorf("verify: %+v, %v", v, err)
	}
	r, err := Import(t.Context(), w.vault, sources, options())
	if err != nil || r.Machines[0].Receipt.Repaired != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	w.checkVault(0)
}
