package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"waybill/cmd/internal/place"
	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/internal/pack"
	"waybill/manifest"
)

// thief is a script's command: it tries what somebody could who stole a machine's state, all of it, with what is in the machine's vault. He may fetch
// everything. Nothing of other machines opens, nor what is in the files of this one.
func thief(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: thief state")
	}
	ctx := context.Background()
	s, err := machine.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer s.Close()
	v, err := place.OpenVault(ctx, s.Credentials.Address, withAccess(place.Secrets{}, s.Credentials))
	ts.Check(err)
	defer v.Close()
	ids, err := manifest.Machines(ctx, v)
	ts.Check(err)
	if len(ids) < 2 {
		ts.Fatalf("it has nobody to steal from")
	}
	stolen := 0
	for _, id := range ids {
		m, err := manifest.OpenMachine(ctx, v, id)
		ts.Check(err)
		if id != s.Secrets.Machine {
			ts.Check(stealKeys(ctx, v, s.Secrets, id))
			ts.Check(lure(ctx, v, s.Credentials, m))
		}
		chain, err := manifest.ReadChain(ctx, v, m)
		ts.Check(err)
		for _, l := range chain.Links {
			for _, p := range l.Manifest.Packs {
				ts.Check(stealPack(ctx, v, s.Secrets, id, p))
				stolen++
			}
		}
	}
	if stolen == 0 {
		ts.Fatalf("there was no pack to steal")
	}
}

// stealKeys tries to open what the vault has sealed for another machine.
func stealKeys(ctx context.Context, v place.Store, mine *keys.Secrets, id manifest.ID) error {
	sealed, err := manifest.ReadObject(ctx, v, manifest.MachineKeyName(id), maxSecret)
	if err != nil {
		return err
	}
	if _, err := keys.OpenSecrets(sealed, mine.Catalogue, mine.Vault, id); !errors.Is(err, keys.ErrWrongKey) {
		return fmt.Errorf("the secrets of machine %s: %v", id, err)
	}
	return v.List(ctx, manifest.AccessPrefix(id), func(name string, _ int64) error {
		sealed, err := manifest.ReadObject(ctx, v, name, maxSecret)
		if err != nil {
			return err
		}
		if _, err := keys.OpenAccess(sealed, mine); !errors.Is(err, keys.ErrWrongKey) {
			return fmt.Errorf("%s: %v", name, err)
		}
		return nil
	})
}

// lure leaves for another machine what lets this one in, as if it would last for ever: with that, the other would look for no later access, and be locked out
// when this one is.
func lure(ctx context.Context, v place.Store, c *keys.Credentials, other *manifest.Machine) error {
	a := keys.Access{SAS: c.Access.SAS, Expires: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	b, err := a.Seal(c.Vault, other.Machine, other.CatalogueRecipient)
	if err == nil {
		err = v.Put(ctx, manifest.AccessName(other.Machine, a.Expires), bytes.NewReader(b))
	}
	return err
}

// stealPack tries to open a pack with the only key that a machine has for packs.
func stealPack(ctx context.Context, v place.Store, mine *keys.Secrets, id manifest.ID, p manifest.Pack) error {
	b, err := manifest.ReadObject(ctx, v, manifest.PackName(id, p.Name), p.Size)
	if err != nil {
		return err
	}
	r, err := pack.Open(bytes.NewReader(b), p.Size, p.Class, pack.Keys{Machine: mine.Catalogue})
	_, rerr := pack.Open(bytes.NewReader(b), p.Size, p.Class, pack.Keys{Recovery: mine.Catalogue})
	switch own := id == mine.Machine; {
	case !errors.Is(rerr, pack.ErrKey):
		return fmt.Errorf("pack %s by way of the recovery key: %v", p.Name, rerr)
	case !own && !errors.Is(err, pack.ErrKey):
		return fmt.Errorf("another machine's pack %s: %v", p.Name, err)
	case own && (err != nil || r.CanReadFrames() != (p.Class == manifest.Catalogue)):
		return fmt.Errorf("its own %s pack %s: %v", p.Class, p.Name, err)
	}
	return nil
}
