package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"waybill/cmd/internal/place"
	"waybill/incremental"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/machine"
	"waybill/internal/pack"
	"waybill/internal/save"
	"waybill/manifest"
)

// A writing is this machine's own domain, open and locked to be added to.
type writing struct {
	*domain.Domain
	state   *machine.State
	secrets place.Secrets // for the vault
	own     tree          // catalogue packs and commits that the vault may not have yet
	vault   place.Store   // nil when it can't be reached
	disks   []tree        // that an interrupted seed has begun

	stopLooking func() // for a newer access
}

// Close releases everything.
func (w *writing) Close() error {
	var errs []error
	if w.stopLooking != nil {
		w.stopLooking()
	}
	if w.Domain != nil {
		errs = append(errs, w.Domain.Close())
	}
	if w.vault != nil {
		errs = append(errs, w.vault.Close())
	}
	for _, t := range append(w.disks, w.own) {
		if t.Store != nil {
			errs = append(errs, t.Close())
		}
	}
	return errors.Join(append(errs, w.state.Close())...)
}

// openOwnForWriting opens this machine's domain in its vault under the state's lock. The caller closes it.
func (a *app) openOwnForWriting(ctx context.Context) (*writing, error) {
	return a.openWriting(func(w *writing) error {
		if err := w.openVault(ctx); err != nil {
			return err
		}
		return w.open(ctx)
	})
}

// openWriting opens the state and locks it, then all that open does.
func (a *app) openWriting(open func(*writing) error) (*writing, error) {
	s, err := a.openState()
	if err != nil {
		return nil, err
	}
	w := &writing{state: s, secrets: a.secrets}
	if err = s.Lock(); err == nil {
		w.own, err = openPacks(s)
	}
	if err == nil {
		err = open(w)
	}
	if err != nil {
		w.Close()
		return nil, ended(s, err)
	}
	a.warnOfEnd(s)
	return w, nil
}

// openVault opens the machine's vault, and brings it the commits that only this machine has.
func (w *writing) openVault(ctx context.Context) error {
	c := w.state.Credentials
	v, err := place.OpenVault(ctx, c.Address, w.secrets)
	if err != nil {
		return err
	}
	w.vault = v
	if err := checkVault(ctx, tree{v}, c); err != nil {
		return err
	}
	if err := w.takeAccess(ctx); err != nil {
		return err
	}
	if err := w.publish(ctx); err != nil {
		return err
	}
	w.stopLooking = w.lookForAccess(ctx)
	return nil
}

// open opens the domain in what the machine keeps, the vault if it is open, and more trees.
func (w *writing) open(ctx context.Context, more ...tree) (err error) {
	stores := []domain.Store{w.own.Store}
	if w.vault != nil {
		stores = append(stores, w.vault)
	}
	for _, t := range more {
		stores = append(stores, t.Store)
	}
	s := w.state
	w.Domain, err = domain.Open(ctx, stores, s.Machine, domain.Options{
		Keys: pack.Keys{Machine: s.Secrets.Catalogue}, Dedupe: s.Secrets.DedupeKey(), IndexDir: s.IndexDir(), ShelfDir: s.ShelfDir()})
	if err != nil {
		return fmt.Errorf("reading this machine's chain: %w", err)
	}
	return w.checkHead()
}

// reopen opens the domain anew in the machine's cache and its vault, with the commits that were made since.
func (w *writing) reopen(ctx context.Context) error {
	if err := w.Domain.Close(); err != nil {
		return err
	}
	w.Domain = nil
	return w.open(ctx)
}

// publish moves the commits that this machine keeps, those of a seed, into the vault: they are small, and incrementals can
// go on from them while the disks travel.
func (w *writing) publish(ctx context.Context) error {
	id := w.state.Secrets.Machine
	var names []string
	err := w.own.List(ctx, manifest.ManifestsPrefix(id), func(name string, _ int64) error {
		if _, _, ok := manifest.ParseManifestName(name); ok {
			names = append(names, name)
		}
		return nil
	})
	for _, name := range names {
		if err == nil {
			err = w.publishOne(ctx, id, name)
		}
	}
	if err != nil {
		return fmt.Errorf("bringing a seed's commits into the vault: %w", err)
	}
	return nil
}

func (w *writing) publishOne(ctx context.Context, id manifest.ID, name string) error {
	body, err := manifest.ReadObject(ctx, w.own, name, manifest.MaxManifest)
	if err != nil {
		return err
	}
	_, seq, _ := manifest.ParseManifestName(name)
	signature := manifest.SignatureName(id, seq, manifest.Sum(body))
	sig, err := manifest.ReadObject(ctx, w.own, signature, maxSecret)
	if err != nil {
		return err
	}
	err = w.vault.Put(ctx, signature, bytes.NewReader(sig))
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = w.vault.Put(ctx, name, bytes.NewReader(body))
	}
	if errors.Is(err, fs.ErrExist) {
		there, rerr := manifest.ReadObject(ctx, w.vault, name, manifest.MaxManifest)
		if err = rerr; err == nil && !bytes.Equal(there, body) {
			err = fmt.Errorf("commit %d: %w", seq, incremental.ErrForked)
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(w.own.Remove(ctx, name), w.own.Remove(ctx, signature)) // from now on it is read from the vault
}

// checkHead makes sure that the last commit this machine knows of is in the chain, and takes over
// one that an interrupted run made after it.
func (w *writing) checkHead() error {
	head, err := w.state.Head()
	if err != nil {
		return err
	}
	last := w.Chain.Last()
	if last == nil && head.Sequence == 0 {
		return nil
	}
	for _, l := range w.Chain.Links {
		if l.Digest == head.Digest || head.Sequence == 0 {
			return w.state.SetHead(machine.Head{Sequence: last.Manifest.Sequence, Digest: last.Digest})
		}
	}
	if w.vault == nil {
		return cli.Errorf(cli.NoVault, "the vault is out of reach, and commit %d, %.12s, is not here without it", head.Sequence, head.Digest).
			Hinted("mount the vault and leave out --offline, or connect the disks that have been written last")
	}
	return cli.Errorf(cli.ChainConflict, "the vault lacks commit %d, %.12s, which this machine made last", head.Sequence, head.Digest).
		Hinted("the vault was set back to an older copy, or another machine writes as this one")
}

// record takes a run's last commit into the state, whatever else came of the run.
func (w *writing) record(r *save.Result, err error) error {
	if r == nil {
		return err
	}
	return errors.Join(err, w.state.SetHead(machine.Head{Sequence: r.Manifest.Sequence, Digest: r.ID}))
}
