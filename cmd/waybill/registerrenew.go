package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/internal/machine"
)

// renewOwn takes from a file what lets this machine into its vault from now on, and where that is, after it has let it in.
func (a *app) renewOwn(ctx context.Context, file string, f *registerFlags) error {
	s, err := a.openState()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Lock(); err != nil {
		return err
	}
	c, err := renewed(s, file, f.address)
	if err != nil {
		return err
	}
	v, err := place.OpenVault(ctx, c.Address, withAccess(a.secrets, c))
	if err != nil {
		return err
	}
	defer v.Close()
	if err := checkVault(ctx, tree{v}, c); err != nil {
		return err
	}
	if err := s.SetCredentials(c); err != nil {
		return err
	}
	return a.tellRegistered(ctx, s, v)
}

// renewed is what the machine's credentials become by a file: credentials, or an access that is sealed for this machine.
func renewed(s *machine.State, file, address string) (*keys.Credentials, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the vault's credentials: %w", err)
	}
	c := *s.Credentials
	if keys.IsSealed(b) {
		if c.Access, err = keys.OpenAccess(b, s.Secrets); errors.Is(err, keys.ErrWrongKey) {
			return nil, cli.Errorf(cli.WrongKey, "%s is not for this machine, %s", file, s.Secrets.Machine).Hinted("whoever runs the vault makes one that is: `waybill vault credentials --machine %s`", s.Secrets.Machine)
		}
	} else {
		var n *keys.Credentials
		if n, err = keys.ParseCredentials(b); err == nil {
			old := c
			if c = *n; c.Access == nil && c.Address == old.Address { // it is for nobody else
				c.Access = old.Access
			}
		}
	}
	if err == nil && address != "" {
		c.Address, err = place.Clean(address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &c, nil
}
