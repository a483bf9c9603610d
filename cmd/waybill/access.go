package main

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/internal/status"
)

// ownAccess is what lets this machine into its own vault, if that is at the address; empty else.
func (a *app) ownAccess(address string) string {
	s, err := a.openState()
	if err != nil {
		return "" // whoever needs the state finds out what is wrong with it
	}
	defer s.Close()
	return accessTo(s.Credentials, address)
}

func accessTo(c *keys.Credentials, address string) string {
	if c.Access == nil || c.Address != address {
		return ""
	}
	return c.Access.SAS
}

// withAccess is the secrets, of which the machine's own is that of the credentials.
func withAccess(s place.Secrets, c *keys.Credentials) place.Secrets {
	s.Own = func(address string) string { return accessTo(c, address) }
	return s
}

// takeAccess has a newer access to the vault replace the machine's own, if one is there that lets it in. What is open goes on with it.
func (w *writing) takeAccess(ctx context.Context) error {
	newer, fresh, err := w.newerAccess(ctx)
	if err != nil || newer == nil {
		return err
	}
	c := *w.state.Credentials
	old := w.vault
	w.vault, c.Access = fresh, newer
	if err := old.Close(); err != nil {
		return err
	}
	return w.state.SetCredentials(&c)
}

// lookForAccess keeps for the next run any newer access that comes into the vault during this one, until stop is called: when this one outlasts its own,
// nobody could fetch that any more.
func (w *writing) lookForAccess(ctx context.Context) (stop func()) {
	own := w.state.Credentials.Access
	if own == nil || w.secrets.Given() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(max(min(time.Until(own.Expires)/8, time.Hour), time.Second))
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			w.keepNewer(ctx) // what fails is tried again the next time
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (w *writing) keepNewer(ctx context.Context) error {
	newer, fresh, err := w.newerAccess(ctx)
	if err != nil || newer == nil {
		return err
	}
	return errors.Join(fresh.Close(), w.state.KeepAccess(newer))
}

// newerAccess finds an access that ends later than the machine's own and lets it in, and opens the vault with it; nil when there is none.
func (w *writing) newerAccess(ctx context.Context) (newer *keys.Access, fresh place.Store, err error) {
	c := *w.state.Credentials
	if c.Access == nil || w.secrets.Given() {
		return nil, nil, nil // it came in by other means
	}
	newer, err = w.state.NewerAccess(ctx, w.vault, func(x *keys.Access) bool {
		if !place.Ends(x.SAS).Equal(x.Expires) {
			return false // somebody would have it held on to for longer than it lets in, and later ones passed over
		}
		c.Access = x
		v, err := place.OpenVault(ctx, c.Address, withAccess(w.secrets, &c))
		if err != nil {
			return false
		}
		if err := checkVault(ctx, tree{v}, &c); err != nil {
			v.Close()
			return false
		}
		fresh = v
		return true
	})
	return newer, fresh, err
}

// warnOfEnd warns when the machine's access to its vault ends soon, or has.
func (a *app) warnOfEnd(s *machine.State) {
	if s == nil || s.Credentials.Access == nil {
		return
	}
	if ends := s.Credentials.Access.Expires; time.Until(ends) < status.Soon {
		a.out.Warn("this machine's access to its vault ends at %s, and no later one is in the vault. Whoever runs the vault gives one: `waybill vault renew`, before that; or with a file, for `waybill register --renew FILE`",
			ends.Local().Format("2006-01-02 15:04"))
	}
}

// lapsed is ended for the error of a run that began while the access lasted.
func lapsed(s *machine.State, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return ended(s, err)
}

// ended adds to an error that the machine's access to its vault has ended, if so.
func ended(s *machine.State, err error) error {
	if s == nil || s.Credentials.Access == nil || time.Now().Before(s.Credentials.Access.Expires) {
		return err
	}
	return cli.Errorf(cli.NoVault, "this machine's access to its vault ended at %s: %w", s.Credentials.Access.Expires.Local().Format("2006-01-02 15:04"), err).
		Hinted("whoever runs the vault gives a new one: `waybill vault credentials --machine %s`, then here `waybill register --renew FILE`", s.Secrets.Machine)
}
