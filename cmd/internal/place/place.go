// Package place opens what an address names: a directory, or a container of Azure Blob Storage.
//
// Secrets never are part of an address. They come from the places that [Secrets] lists.
package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// Same tells whether two stores are the same place.
func Same(a, b Store) bool {
	if Remote(a.Path()) || Remote(b.Path()) {
		x, xerr := azure.ParseAddress(a.Path())
		y, yerr := azure.ParseAddress(b.Path())
		return xerr == nil && yerr == nil && x.Same(y)
	}
	x, xerr := os.Stat(a.Path())
	y, yerr := os.Stat(b.Path())
	return xerr == nil && yerr == nil && os.SameFile(x, y)
}

// Remote tells an address that is no path.
func Remote(address string) bool { return strings.HasPrefix(address, azure.Scheme) }

// Clean is an address as it is kept: a path made absolute. A bad one fails with cli.Usage.
func Clean(address string) (string, error) {
	if err := local(address); err != nil {
		return "", err
	}
	if !Remote(address) {
		return filepath.Abs(address)
	}
	a, err := parse(address)
	return a.String(), err
}

// local fails for a URL, which is neither an address nor meant as a path. It doesn't repeat it: there may be a signature in it.
func local(address string) error {
	if scheme, _, ok := strings.Cut(address, "://"); ok && !Remote(address) {
		return cli.Errorf(cli.Usage, "a %s:// URL is no address", scheme).
			Hinted("a container of Azure Blob Storage is azblob://ACCOUNT/CONTAINER[/PREFIX][?endpoint=URL]; `help environment` tells more")
	}
	return nil
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

// CreateVault makes the directory or the container of a new vault, and opens it. Either may be there, but nothing may be in it, or below
// a container's prefix. The caller closes it.
func CreateVault(ctx context.Context, address string, s Secrets) (Store, error) {
	if Remote(address) {
		return createContainer(ctx, address, s)
	}
	if err := local(address); err != nil {
		return nil, err
	}
	v, err := vault.Create(address)
	if err != nil {
		return nil, cli.Errorf(cli.Failed, "%w", err).Hinted("a new vault needs a directory that is empty or doesn't exist yet")
	}
	return v, nil
}

// createContainer makes the container only when it isn't there: a secret that can write in it need not be one that can make it.
func createContainer(ctx context.Context, address string, s Secrets) (Store, error) {
	a, c, err := s.known(ctx, address)
	if err != nil {
		return nil, err
	}
	v, err := azure.Open(a, c, s.Line.options())
	if err != nil {
		return nil, err
	}
	err = empty(ctx, v)
	if errors.Is(err, azure.ErrNoContainer) {
		if err = azure.Create(ctx, a, c, s.Line.options()); err == nil {
			err = empty(ctx, v)
		}
	}
	if err != nil {
		v.Close()
		return nil, fmt.Errorf("creating the vault: %w", err)
	}
	return v, nil
}

// empty makes sure that a store has no object.
func empty(ctx context.Context, v Store) error {
	return v.List(ctx, "", func(name string, _ int64) error {
		return cli.Errorf(cli.Failed, "%s is not empty: it has %s", v.Path(), name).
			Hinted("a new vault needs a container of its own, or a prefix: azblob://ACCOUNT/CONTAINER/PREFIX")
	})
}

// OpenVault opens a vault. Whether a container is one, its waybill.json tells. The caller closes it.
func OpenVault(ctx context.Context, address string, s Secrets) (Store, error) {
	if Remote(address) {
		return openContainer(ctx, address, s)
	}
	if err := local(address); err != nil {
		return nil, err
	}
	v, err := vault.Open(address)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Errorf(cli.NoVault, "there is no vault at %s", address).
			Hinted("is its file system mounted? `waybill vault create` makes a new vault")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the vault at %s: %w", address, err)
	}
	return s.Line.limit(v), nil
}

// Make makes the container of an address if it isn't there.
func Make(ctx context.Context, address string, s Secrets) error {
	a, c, err := s.known(ctx, address)
	if err != nil {
		return err
	}
	store, err := azure.Open(a, c, s.Line.options())
	if err != nil {
		return err
	}
	defer store.Close()
	there := errors.New("something is there")
	if err = store.List(ctx, "", func(string, int64) error { return there }); errors.Is(err, azure.ErrNoContainer) {
		err = azure.Create(ctx, a, c, s.Line.options())
	}
	if errors.Is(err, there) {
		err = nil
	}
	return err
}

// Open opens a vault, a disk, or any tree of that layout. The caller closes it.
func Open(ctx context.Context, address string, s Secrets) (Store, error) {
	if Remote(address) {
		return openContainer(ctx, address, s)
	}
	if err := local(address); err != nil {
		return nil, err
	}
	d, err := durable.Open(address)
	if err != nil {
		return nil, cli.Errorf(cli.NoVault, "opening %s: %w", address, err).Hinted("is its file system mounted?")
	}
	return s.Line.limit(d), nil
}

func openContainer(ctx context.Context, address string, s Secrets) (Store, error) {
	a, c, err := s.known(ctx, address)
	if err != nil {
		return nil, err
	}
	return azure.Open(a, c, s.Line.options())
}

// InArchive tells that an error says that an object is in the archive of a vault, and must be brought back before it can be read.
func InArchive(err error) bool { return errors.As(err, new(*azure.ArchivedError)) }
