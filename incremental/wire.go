package incremental

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"waybill/internal/domain"
	"waybill/internal/durable"
	"waybill/internal/pack"
	"waybill/internal/save"
	"waybill/manifest"
)

// A vault that takes objects only whole has packs of this size, so many on their way at once, beside the one being filled. All of them are held in
// memory, 120 MiB, and with what the workers hold the whole command stays below 350 MiB however many processors there are. A line of 1 Gbit/s
// holds 6 MiB when a round trip takes 50 ms, and each connection is idle for one trip a pack, so four keep it full; one alone is often slower than the
// line. Larger packs would make fewer requests, but those cost little: 43,691 a TiB. Eight workers compress more than 1 GB/s.
const (
	wirePack    = 24 << 20
	wireCommits = 4
	wireWorkers = 8
)

// A wire is the vault as a destination.
type wire struct {
	ctx     context.Context // of what is sent
	cancel  context.CancelCauseFunc
	vault   Store
	machine manifest.ID
	ledger  Ledger // nil: none
	keep    func(manifest.Pack, io.Reader)
	memory  memory
}

// A streamer is a store that takes an object as it grows: a directory.
type streamer interface {
	Create() (*durable.File, error)
	Sweep() error // removes what dead writers left
}

// newWire makes the vault cfg's destination.
func newWire(ctx context.Context, vault Store, d *domain.Domain, cfg *save.Config, o Options) (*wire, error) {
	w := &wire{vault: vault, machine: d.Machine.Machine, ledger: o.Ledger, keep: d.Keep}
	if w.ctx = o.Sending; w.ctx == nil {
		w.ctx = context.WithoutCancel(ctx)
	}
	w.ctx, w.cancel = context.WithCancelCause(w.ctx)
	cfg.Destination = w
	if s, ok := vault.(streamer); ok {
		if err := s.Sweep(); err != nil {
			return nil, fmt.Errorf("sweeping the vault of what an interrupted run left: %w", err)
		}
		return w, nil
	}
	cfg.Lanes, cfg.Commits = 1, wireCommits
	if cfg.Workers == 0 {
		cfg.Workers = min(runtime.GOMAXPROCS(0), wireWorkers)
	}
	if cfg.DataPack == 0 {
		cfg.DataPack = wirePack
	}
	return w, nil
}

// stop ends what is being sent, because of err.
func (v *wire) stop(err error) { v.cancel(err) }

func (v *wire) Create(manifest.Class) (pack.Target, error) {
	if s, ok := v.vault.(streamer); ok {
		f, err := s.Create()
		if err != nil {
			return nil, fmt.Errorf("beginning a pack in the vault: %w", err)
		}
		return &streamed{f, v}, nil
	}
	return &held{wire: v, buffer: buffer{memory: &v.memory}}, nil
}

// Publish creates the signature and then the manifest.
func (v *wire) Publish(_ context.Context, c save.Commit) error {
	seq := c.Manifest.Sequence
	err := v.put(manifest.SignatureName(v.machine, seq, c.ID), bytes.NewReader(c.Signature))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing the signature of commit %d: %w", seq, err)
	}
	name := manifest.ManifestName(v.machine, seq)
	err = v.put(name, bytes.NewReader(c.Bytes))
	if errors.Is(err, fs.ErrExist) {
		var there []byte
		if there, err = manifest.ReadObject(v.ctx, v.vault, name, manifest.MaxManifest); err == nil && !bytes.Equal(there, c.Bytes) {
			return fmt.Errorf("commit %d: %w", seq, ErrForked)
		} // else an earlier try whose answer was lost
	}
	if err != nil {
		return fmt.Errorf("writing manifest %d: %w", seq, err)
	}
	v.forget()
	return nil
}

// put creates an object. The first that can't be is the run's end: what else is on its way is given up, and fails for the same reason.
func (v *wire) put(name string, body io.ReadSeeker) error {
	err := v.vault.Put(v.ctx, name, body)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	v.stop(err)
	return context.Cause(v.ctx)
}

// held is a pack in memory on its way to the vault.
type held struct {
	*wire
	buffer
}

// Commit puts the pack. A pack that is there already is the same one: its name is its content's.
func (h *held) Commit(p manifest.Pack) error {
	defer h.release()
	if err := h.note(p); err != nil {
		return err
	}
	err := h.put(manifest.PackName(h.machine, p.Name), p.Body(io.NewSectionReader(h, 0, h.size)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing pack %.12s: %w", p.Name, err)
	}
	h.keep(p, io.NewSectionReader(h, 0, h.size))
	return nil
}

func (h *held) Abort() { h.release() }

// streamed is a pack that grows in the vault itself, invisible until it is committed.
type streamed struct {
	*durable.File
	wire *wire
}

// Commit publishes the pack; see held.Commit.
func (f *streamed) Commit(p manifest.Pack) error {
	err := f.wire.note(p)
	if err != nil {
		f.Abort()
		return err
	}
	if err = f.File.Commit(manifest.PackName(f.wire.machine, p.Name)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing pack %.12s: %w", p.Name, err)
	}
	return nil
}
