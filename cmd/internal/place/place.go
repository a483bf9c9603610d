// Package place opens what an address names: a directory, or a container of Azure Blob Storage.
//
// Secrets never are part of an address. They come from the places that [Secrets] lists.
package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"waybill/ingest/vault"
	"waybill/ingest/vault/azure"
	"waybill/internal/cli"
	"waybill/internal/durable"
)

// A Store is an open place, which may be a vault, a disk, or what a carrier filled.
type Store interface {
	vault.Store
	Path() string // the address, for people
	Close() error
}

// Remote tells an address that is no path.
func Remote(address string) bool { return strings.HasPrefix(address, azure.Scheme) }

// Clean is an address as it is kept: a path made absolute. A bad one fails with cli.Usage.
func Clean(address string) (string, error) {
	if !Remote(address) {
		return filepath.Abs(address)
	}
	a, err := parse(address)
	return a.String(), err
}

func parse(address string) (azure.Address, error) {
	a, err := azure.ParseAddress(address)
	if errors.Is(err, azure.ErrSecret) {
		return a, cli.Errorf(cli.Usage, "%w", err).
			Hinted("whoever may have seen it can use it: revoke it, and give the new one in a file or the environment; `help environment` tells how")
	}
	if err != nil {
		return a, cli.Errorf(cli.Usage, "%s: %w", address, err)
	}
	return a, nil
}

// OpenVault opens a vault. Whether a container is one, its waybill.json tells. The caller closes it.
func OpenVault(ctx context.Context, address string, s Secrets) (Store, error) {
	if Remote(address) {
		return openContainer(ctx, address, s)
	}
	v, err := vault.Open(address)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Errorf(cli.NoVault, "there is no vault at %s", address).
			Hinted("is its file system mounted? `waybill vault create` makes a new vault")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the vault at %s: %w", address, err)
	}
	return v, nil
}

// Create makes the place of a new vault, which must be empty: a directory, or a container if it isn't there. The caller closes it.
func Create(ctx context.Context, address string, s Secrets) (Store, error) {
	if !Remote(address) {
		v, err := vault.Create(address)
		if err != nil {
			return nil, cli.Errorf(cli.Failed, "%w", err).Hinted("a new vault needs a directory that is empty or doesn't exist yet")
		}
		return v, nil
	}
	a, c, err := s.resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := azure.Create(ctx, a, c); err != nil {
		return nil, err
	}
	store, err := azure.Open(a, c, azure.Options{})
	if err != nil {
		return nil, err
	}
	taken := cli.Errorf(cli.Failed, "making a vault: %s is not empty", address).Hinted("a new vault needs a container, or a prefix in one, that has nothing in it")
	if err := store.List(ctx, "", func(string, int64) error { return taken }); err != nil {
		return nil, err
	}
	return store, nil
}

// Open opens a vault, a disk, or any tree of that layout. The caller closes it.
func Open(ctx context.Context, address string, s Secrets) (Store, error) {
	if Remote(address) {
		return openContainer(ctx, address, s)
	}
	d, err := durable.Open(address)
	if err != nil {
		return nil, cli.Errorf(cli.NoVault, "opening %s: %w", address, err).Hinted("is its file system mounted?")
	}
	return d, nil
}

func openContainer(ctx context.Context, address string, s Secrets) (Store, error) {
	a, c, err := s.resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	return azure.Open(a, c, azure.Options{})
}

// resolve reads an address and finds the secret for it.
func (s Secrets) resolve(ctx context.Context, address string) (azure.Address, azure.Credential, error) {
	a, err := parse(address)
	if err != nil {
		return a, azure.Credential{}, err
	}
	c, err := s.credential(ctx, a)
	return a, c, err
}
