// Package incremental makes the next recovery point of a machine, over the wire,
// straight into its vault.
//
// [Run] compares the selection with the newest point and sends only what changed; without any
// point before, it is a full backup. A vault in a directory takes packs as they grow; for others they are
// held in memory until they are complete, since such a vault takes an object once and whole, and several are on their way at once. A point
// becomes visible when its manifest is created, under the next number of the chain and only if that is free: two runs can't both
// take it. What a run sent that failed before, the next takes over, if there is a [Ledger].
//
// What changed is found by the change journals of the volumes that the selection is on, as far as they can vouch for the time since; the
// rest is scanned. See package volumes.
package incremental

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"waybill/incremental/volumes"
	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/heal"
	"waybill/internal/save"
	"waybill/manifest"
)

// A Store is the vault, with the permissions that a backup needs: it never removes. Run calls Put several times at once.
type Store interface {
	domain.Store
	Put(ctx context.Context, name string, body io.ReadSeeker) error
}

// Options say how a run goes into its vault. The zero value will do.
type Options struct {
	Volumes volumes.Options
	Ledger  Ledger // nil: what a run sent that failed is sent once more
	// Sending is the context of what is sent even when the run is cancelled, so that what is done is kept. It ends when there is no use in
	// trying any longer. Nil: it never does.
	Sending context.Context
}

// ErrForked says that the vault holds another commit under the number this one would
// have had: two machines use one identity, or this one's state was restored from an older copy.
var ErrForked = errors.New("the vault has another commit of this machine at that place in its chain")

// Run saves the selection of cfg into the vault, as the point after the domain's last. It sets cfg's
// Base, Reason, Volumes, place in the chain, Destination, Known and Adopted, and for a vault that isn't a directory how much is on its way at once. Without roots the last point's selection is taken again, or all that is in o's images.
func Run(ctx context.Context, vault Store, d *domain.Domain, cfg save.Config, o Options) (_ *save.Result, err error) {
	if d.Flaw != nil {
		return nil, fmt.Errorf("the machine's chain of commits is not sound: %w", d.Flaw)
	}
	w, err := newWire(ctx, vault, d, &cfg, o)
	if err != nil {
		return nil, err
	}
	defer w.stop(nil)
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
	if len(cfg.Roots)+len(o.Volumes.Images) == 0 {
		return nil, errors.New("there is no recovery point yet, so it must be said what to save")
	}
	if _, err := d.CoverData(ctx); err != nil {
		return nil, err
	}
	if cfg.Adopted, err = w.adopt(ctx, d); err != nil {
		return nil, err
	}
	cfg.Known = d
	held, err := volumes.Prepare(ctx, &cfg, o.Volumes)
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
// Of the options it takes Sending: what a healing sent that failed isn't taken over.
// Each commit is reported to committed.
func Heal(ctx context.Context, vault Store, d *domain.Domain, cfg save.Config, o Options, packs []manifest.Pack, committed func(*save.Result) error) (*heal.Report, error) {
	w, err := newWire(ctx, vault, d, &cfg, Options{Sending: o.Sending})
	if err != nil {
		return nil, err
	}
	defer w.stop(nil)
	return heal.Run(ctx, d, cfg, packs, heal.Options{Put: vault.Put, Committed: committed})
}
