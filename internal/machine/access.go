package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"waybill/internal/keys"
	"waybill/manifest"
)

// SetCredentials replaces what the state says of the vault: where it is, and what lets the machine into it. Vault and keys must be the
// same, else it fails with ErrOtherVault. It is durable on return.
func (s *State) SetCredentials(c *keys.Credentials) error {
	old := s.Credentials
	if c.Vault != old.Vault || c.RecoveryRecipient != old.RecoveryRecipient || c.ReceiptKey != old.ReceiptKey {
		return fmt.Errorf("the credentials are of vault %s: %w", c.Vault, ErrOtherVault)
	}
	if err := s.keep(c); err != nil {
		return err
	}
	s.Credentials = c
	return nil
}

// KeepAccess records an access for the next run. This one goes on with the credentials that it has, which it may be using meanwhile.
func (s *State) KeepAccess(a *keys.Access) error {
	c := *s.Credentials
	c.Access = a
	return s.keep(&c)
}

func (s *State) keep(c *keys.Credentials) error {
	b, err := c.Encode()
	if err == nil {
		err = s.replaceSecret(credentialsName, b)
	}
	if err != nil {
		return fmt.Errorf("recording the vault's credentials in the machine's state: %w", err)
	}
	return nil
}

// maxTried is how many objects are looked at in search of an access. Whoever may create in the vault can put false ones there.
const maxTried = 64

// NewerAccess calls try with each access that the vault has for this machine and that ends later than the one it has, the last to end
// first, until one does; that one it returns, or nil. Objects that aren't what they should be are passed over. It fails when the vault can't be read.
func (s *State) NewerAccess(ctx context.Context, store manifest.Reader, try func(*keys.Access) bool) (*keys.Access, error) {
	id := s.Secrets.Machine
	var names []string
	err := store.List(ctx, manifest.AccessPrefix(id), func(name string, _ int64) error {
		if _, ends, ok := manifest.ParseAccessName(name); ok && (s.Credentials.Access == nil || ends.After(s.Credentials.Access.Expires)) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for a newer access to the vault: %w", err)
	}
	slices.Reverse(names) // by their ends
	for _, name := range names[:min(len(names), maxTried)] {
		b, err := manifest.ReadObject(ctx, store, name, maxCopy)
		if err != nil && !errors.Is(err, manifest.ErrFormat) {
			return nil, err
		}
		a, oerr := keys.OpenAccess(b, s.Secrets)
		if err == nil && oerr == nil && name == manifest.AccessName(id, a.Expires) && try(a) {
			return a, nil
		}
	}
	return nil, nil
}

// NoteAccess puts the machine's access into the vault, sealed for itself: so the vault's side sees until when it is good. Without an
// access it does nothing.
func (s *State) NoteAccess(ctx context.Context, store Store) error {
	a := s.Credentials.Access
	if a == nil {
		return nil
	}
	b, err := a.Seal(s.Secrets.Vault, s.Secrets.Machine, s.Machine.CatalogueRecipient)
	if err == nil {
		err = store.Put(ctx, manifest.AccessName(s.Secrets.Machine, a.Expires), bytes.NewReader(b))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("noting in the vault until when this machine may come in: %w", err)
	}
	return nil
}
