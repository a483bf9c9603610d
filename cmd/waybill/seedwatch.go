package main

import (
	"context"
	"errors"
	"fmt"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/machine"
	"waybill/internal/pack"
	"waybill/seed"
)

// seedStatusOf tells how far the seed is, also while it runs.
func (a *app) seedStatusOf(ctx context.Context, f *seedFlags) (*seed.Status, error) {
	w, err := a.openForSeed(ctx, f)
	if errors.Is(err, machine.ErrBusy) {
		return a.watchSeed(ctx, f)
	}
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.look(ctx, a, f)
}

// watchSeed is seedStatusOf beside another run: nothing is locked or written, and what is told is the last checkpoint.
func (a *app) watchSeed(ctx context.Context, f *seedFlags) (_ *seed.Status, err error) {
	s, err := a.openState()
	if err != nil {
		return nil, err
	}
	w := &writing{state: s}
	defer w.Close()
	if w.own, err = openPacks(s); err != nil {
		return nil, err
	}
	stores := []domain.Store{w.own.Store}
	if v, err := place.OpenVault(ctx, s.Credentials.Address, a.secrets); err == nil && !f.offline {
		w.vault = v
		stores = append(stores, v)
	}
	for i, name := range f.to {
		if f.to[i], err = f.place(name, s.Secrets.Vault); err != nil {
			return nil, err
		}
		d, err := a.openDisk(f.to[i])
		if err != nil {
			return nil, err
		}
		w.disks = append(w.disks, tree{d.Medium})
		stores = append(stores, d.Medium)
	}
	w.Domain, err = domain.Open(ctx, stores, s.Machine, domain.Options{Keys: pack.Keys{Machine: s.Secrets.Catalogue}, Dedupe: s.Secrets.DedupeKey()})
	if err != nil {
		return nil, fmt.Errorf("reading this machine's chain: %w", err)
	}
	status, err := seed.Look(ctx, &seed.Options{Disks: f.to, Medium: a.medium, Domain: w.Domain})
	if errors.Is(err, seed.ErrNothing) {
		return nil, cli.Errorf(cli.Busy, "the seed has made no checkpoint yet").Hinted("ask again later: what was finished is kept meanwhile, too")
	}
	a.out.Say("another run is at work: this is its last checkpoint")
	return status, err
}
