// Package incremental makes the next recovery point of a machine, over the wire,
// straight into its vault.
//
// [Run] compares the selection with the newest point and sends only what changed; without any
// point before, it is a full backup. A vault in a directory takes packs as they grow; for others they are
// held in memory until they are complete, since such a vault takes an object once and whole. A point becomes visible when its manifest
// is created, under the next number of the chain and only if that is free: two runs can't both
// take it.
//
// What changed is found by the change journals of the volumes that the selection is on, as far as they can vouch for the time since; the
// rest is scanned. See package volumes.
package incremental

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/durable"
	"waybill/internal/heal"
	"waybill/internal/pack"
	"waybill/internal/save"
	"waybill/manifest"
)

// A Store is the vault, with the permissions that a backup needs: it never removes.
type Store interface {
	Put(ctx context.Context, name string, body io.ReadSeeker) error
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
}

// ErrForked says that the vault holds another commit under the number this one would
// have had: two machines use one identity, or this one's state was restored from an older copy.
var ErrForked = errors.New("the vault has another commit of this machine at that place in its chain")

// Run saves the selection of cfg into the vault, as the point after the domain's last. It sets cfg's
// Base, Reason, Volumes, place in the chain, Destination and Known. Without roots the last point's selection is taken again, or all that is in o's images.
func Run(ctx context.Context, vault Store, d *domain.Domain, cfg save.Config, o volumes.Options) (_ *save.Result, err error) {
	if d.Flaw != nil {
		return nil, fmt.Errorf("the machine's chain of commits is not sound: %w", d.Flaw)
	}
	if s, ok := vault.(streamer); ok {
		if err := s.Sweep(); err != nil {
			return nil, fmt.Errorf("sweeping the vault of what an interrupted run left: %w", err)
		}
	}
	if last := d.Chain.Last(); last != nil {
		cfg.Writer.Sequence, cfg.Writer.Head = last.Manifest.Sequence, last.Digest
	}
	last, err := newest(ctx, d)
	if last != nil {
		cfg.Base = &save.Base{ID: last.Digest, Point: last.Point, Loader: d, Lost: domain.Lost}
		cfg.Wary = lacks(ctx, d, last)
		if err := cfg.SelectAgain(last.Point); err != nil {
			return nil, err
		}
	}
	if err != nil && (!domain.Lost(err) || len(cfg.Roots) == 0) {
		return nil, fmt.Errorf("reading the last recovery point: %w", err)
	}
	unread := err
	if len(cfg.Roots)+len(o.Images) == 0 {
		return nil, errors.New("there is no recovery point yet, so it must be said what to save")
	}
	if _, err := d.CoverData(ctx); err != nil {
		return nil, err
	}
	cfg.Known = d
	cfg.Destination = &wire{ctx: context.WithoutCancel(ctx), vault: vault, machine: d.Machine.Machine, keep: d.Keep}
	held, err := volumes.Prepare(ctx, &cfg, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	cfg.Reason = held.Reason()
	if last != nil && slices.ContainsFunc(cfg.Volumes, func(v save.Volume) bool { return v.Record.Mode == catalog.Unoptimised }) {
		if err := d.Gather(ctx, last); err != nil {
			return nil, fmt.Errorf("fetching the catalogue of the last recovery point: %w", err)
		}
	}
	if cfg.Base == nil {
		cfg.Reason = "first backup"
	}
	if unread != nil {
		cfg.Reason = fmt.Sprintf("the last recovery point can't be read: %v", unread)
	}
	return save.Run(ctx, cfg)
}

// newest returns the newest point whose record can be read, nil when there is none. The error says why it is not the last; unless
// it is domain.Lost, there is no telling.
func newest(ctx context.Context, d *domain.Domain) (*domain.Point, error) {
	var first error
	for _, link := range slices.Backward(d.Chain.Links) {
		p, err := d.Resolve(ctx, link.Digest.String())
		if err == nil {
			return p, first
		}
		if first == nil {
			first = err
		}
		if !domain.Lost(err) {
			return nil, err
		}
	}
	return nil, first
}

// lacks tells whether the point's tree may refer to what was lost and could not be had again: it is, or rests on, a
// healed point that says so of its base. A scan that was complete has found what changed since.
func lacks(ctx context.Context, d *domain.Domain, p *domain.Point) bool {
	for p.Base != nil && (p.Mode == catalog.Healed || p.State == catalog.PartialState) {
		if slices.ContainsFunc(p.Damaged, func(x catalog.DamagedPoint) bool { return x.Point == *p.Base }) {
			return true
		}
		var err error
		if p, err = d.Resolve(ctx, p.Base.String()); err != nil {
			return true // there is no telling
		}
	}
	return false
}

// Heal stores again, into the vault, what was in packs that it misses: see heal.Run, which tells what it needs of cfg. After Run it knows what was moved.
// Each commit is reported to committed.
func Heal(ctx context.Context, vault Store, d *domain.Domain, cfg save.Config, packs []manifest.Pack, committed func(*save.Result) error) (*heal.Report, error) {
	if s, ok := vault.(streamer); ok {
		if err := s.Sweep(); err != nil {
			return nil, fmt.Errorf("sweeping the vault of what an interrupted run left: %w", err)
		}
	}
	cfg.Destination = &wire{ctx: context.WithoutCancel(ctx), vault: vault, machine: d.Machine.Machine, keep: d.Keep}
	return heal.Run(ctx, d, cfg, packs, heal.Options{Put: vault.Put, Committed: committed})
}

// wire is the vault as a destination.
type wire struct {
	ctx     context.Context
	vault   Store
	machine manifest.ID
	keep    func(manifest.Pack, io.Reader)
	memory  memory
}

// A streamer is a store that takes an object as it grows: a directory.
type streamer interface {
	Create() (*durable.File, error)
	Sweep() error // removes what dead writers left
}

func (v *wire) Create(manifest.Class) (pack.Target, error) {
	if s, ok := v.vault.(streamer); ok {
		f, err := s.Create()
		if err != nil {
			return nil, fmt.Errorf("beginning a pack in the vault: %w", err)
		}
		return &streamed{f, v.machine}, nil
	}
	return &held{wire: v, buffer: buffer{memory: &v.memory}}, nil
}

// Publish creates the signature and then the manifest.
func (v *wire) Publish(ctx context.Context, c save.Commit) error {
	seq := c.Manifest.Sequence
	err := v.vault.Put(ctx, manifest.SignatureName(v.machine, seq, c.ID), bytes.NewReader(c.Signature))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing the signature of commit %d: %w", seq, err)
	}
	name := manifest.ManifestName(v.machine, seq)
	err = v.vault.Put(ctx, name, bytes.NewReader(c.Bytes))
	if errors.Is(err, fs.ErrExist) {
		if there := make([]byte, len(c.Bytes)); v.isThere(ctx, name, there) && bytes.Equal(there, c.Bytes) {
			return nil // an earlier try whose answer was lost
		}
		return fmt.Errorf("commit %d: %w", seq, ErrForked)
	}
	if err != nil {
		return fmt.Errorf("writing manifest %d: %w", seq, err)
	}
	return nil
}

func (v *wire) isThere(ctx context.Context, name string, b []byte) bool {
	n, err := v.vault.ReadAt(ctx, name, b, 0)
	return n == len(b) && (err == nil || errors.Is(err, io.EOF))
}

// held is a pack in memory on its way to the vault.
type held struct {
	*wire
	buffer
}

// Commit puts the pack. A pack that is there already is the same one: its name is its content's.
func (h *held) Commit(p manifest.Pack) error {
	defer h.release()
	err := h.vault.Put(h.ctx, manifest.PackName(h.machine, p.Name), io.NewSectionReader(h, 0, h.size))
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
	machine manifest.ID
}

// Commit publishes the pack; see held.Commit.
func (f *streamed) Commit(p manifest.Pack) error {
	if err := f.File.Commit(manifest.PackName(f.machine, p.Name)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing pack %.12s: %w", p.Name, err)
	}
	return nil
}
