package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"waybill/ingest/claims"
	"waybill/ingest/vault/azure"
	"waybill/internal/cli"
)

// OpenWork opens the container on which many workers tell each other what they do for a vault, and makes it if it isn't there. Without an
// address it is the one that has the vault's container's name and "-work". It is a container of its own because leases take the right to write: the
// secret for the vault's then need not be one that could overwrite anything.
func OpenWork(ctx context.Context, vault, address string, s Secrets) (claims.Store, error) {
	if address == "" {
		if !Remote(vault) {
			return nil, cli.Errorf(cli.Usage, "a vault in a directory has no place for what its workers tell each other").
				Hinted("say one with --work azblob://ACCOUNT/CONTAINER")
		}
		a, err := parse(vault)
		if err != nil {
			return nil, err
		}
		address = workOf(a).String()
	}
	a, c, err := s.known(ctx, address)
	if err != nil {
		return nil, err
	}
	w, err := azure.Open(a, c, azure.Options{})
	if err != nil {
		return nil, err
	}
	look := func() error {
		_, err := w.ReadAt(ctx, "any", make([]byte, 1), 0)
		return err
	}
	err = look()
	if errors.Is(err, azure.ErrNoContainer) {
		if err = azure.Create(ctx, a, c, azure.Options{}); err == nil {
			err = look()
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening %s, where workers tell each other what they do: %w", a, err)
	}
	return w, nil
}

// workOf is the address of a vault's work container, where nobody says another.
func workOf(a azure.Address) azure.Address {
	a.Container, a.Prefix = a.Container+"-work", ""
	return a
}
