package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"filippo.io/age"

	"waybill/internal/domain"
	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/internal/pack"
	"waybill/manifest"
)

// openAbroad opens the domain of another machine with the vault's recovery key. Any of the trees will do
// to find its keys in.
func (r *reading) openAbroad(ctx context.Context, f *readFlags, id manifest.ID) error {
	v, err := vaultOf(ctx, r.trees[0])
	if err != nil {
		return err
	}
	recovery, err := f.secret.identity(ctx, func() (b []byte, err error) {
		err = r.anyTree(func(t tree) error {
			b, err = manifest.ReadObject(ctx, t, manifest.RecoveryName, maxSecret)
			return err
		})
		return b, err
	}, v.Vault)
	if err != nil {
		return err
	}
	var secrets *keys.Secrets
	var m *manifest.Machine
	err = r.anyTree(func(t tree) error {
		secrets, m, err = machine.Lookup(ctx, t, v.Vault, id, recovery)
		return err
	})
	if err != nil {
		return err
	}
	return r.open(ctx, m, domain.Options{Keys: pack.Keys{Recovery: recovery}, Dedupe: secrets.DedupeKey()})
}

// anyTree calls f with one tree after the other until it succeeds.
func (r *reading) anyTree(f func(tree) error) error {
	var errs []error
	for _, t := range r.trees {
		err := f(t)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", t.Path(), err))
	}
	return errors.Join(errs...)
}

// ownRecovery is this machine's own copy of keys/recovery.json.
func (r *reading) ownRecovery() ([]byte, error) {
	copies, err := r.state.Copies()
	return copies[manifest.RecoveryName], err
}

// identity is recovery as an age.Identity, nil with any error.
func (s *secret) identity(ctx context.Context, wrapped func() ([]byte, error), vault manifest.ID) (age.Identity, error) {
	key, err := s.recovery(ctx, wrapped, vault)
	if err != nil {
		return nil, err
	}
	return key, nil
}

// verifyKeys checks that the tree's own copies of the keys would do to restore on another machine. Nothing else needs them
// as long as this one is there.
func (r *reading) verifyKeys(ctx context.Context, t tree) error {
	var errs []error
	if _, _, err := machine.Lookup(ctx, t, r.Machine.Vault, r.Machine.Machine, r.recovery); err != nil {
		// Not %w: that the key is a wrong one is for the packs to say.
		errs = append(errs, fmt.Errorf("%s: %s: %w: %v", t.Path(), manifest.MachineKeyName(r.Machine.Machine), manifest.ErrFormat, err))
	}
	if r.state != nil && r.state.Secrets.Vault == r.Machine.Vault {
		own, err := r.ownRecovery()
		if err != nil {
			return err
		}
		b, err := manifest.ReadObject(ctx, t, manifest.RecoveryName, maxSecret)
		if err == nil && !bytes.Equal(b, own) {
			err = fmt.Errorf("%w: it is not what it was when this machine was registered", manifest.ErrFormat)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", t.Path(), manifest.RecoveryName, err))
		}
	}
	return errors.Join(errs...)
}
