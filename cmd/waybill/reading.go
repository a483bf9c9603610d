package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"filippo.io/age"
	"github.com/spf13/pflag"

	"waybill/cmd/internal/place"
	"waybill/internal/catalog"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/durable"
	"waybill/internal/keys"
	"waybill/internal/machine"
	"waybill/internal/pack"
	"waybill/manifest"
)

// readFlags say where recovery points are read from.
type readFlags struct {
	from        []string
	credentials string
	machine     string
	secret      secret
	check       bool // what is read is to be checked: catalogue packs that were kept from earlier are not taken
}

func (r *readFlags) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&r.from, "from", nil, "read from this `DISK` or vault; may be given again for every disk of a set")
	f.StringVar(&r.credentials, "credentials", "", "read from the vault of this credentials `FILE`, on whatever machine")
	f.StringVar(&r.machine, "machine", "", "the `UUID` of the machine whose backups are meant, where there are several")
	r.secret.flags(f)
}

// A reading is an open domain and what must be closed after it.
type reading struct {
	*domain.Domain
	trees    []tree
	state    *machine.State // nil when another machine reads
	dedupe   [32]byte
	recovery age.Identity // nil when only the catalogue is read
}

// Close releases everything.
func (r *reading) Close() error {
	var errs []error
	if r.Domain != nil {
		errs = append(errs, r.Domain.Close())
	}
	for _, t := range r.trees {
		errs = append(errs, t.Close())
	}
	if r.state != nil {
		errs = append(errs, r.state.Close())
	}
	return errors.Join(errs...)
}

// read opens the domain that the flags mean. A registered machine opens its own catalogue without
// being asked for a passphrase; contents, and everything on other machines, take the recovery key. The
// caller closes the reading.
func (a *app) read(ctx context.Context, f *readFlags, contents bool) (_ *reading, err error) {
	r := &reading{}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.state, err = a.openState(); err != nil {
		r.state = nil
		if !errors.Is(err, machine.ErrNotRegistered) || len(f.from) == 0 && f.credentials == "" {
			return nil, err
		}
	}
	if err = r.openTrees(ctx, f, a.secrets); err != nil {
		return nil, ended(r.state, err)
	}
	if len(f.from) == 0 && f.credentials == "" {
		a.warnOfEnd(r.state)
	}
	id, err := r.machineID(ctx, f)
	if err != nil {
		return nil, err
	}
	if r.state != nil && r.state.Secrets.Machine == id {
		err = a.openOwn(ctx, r, f, contents)
	} else {
		err = r.openAbroad(ctx, f, id)
	}
	if err == nil && r.Flaw != nil {
		a.out.Warn("part of the chain of commits can't be used: %v", r.Flaw)
	}
	return r, err
}

// openTrees opens what is read from: the disks and vaults of --from, the vault of --credentials, else this machine's.
func (r *reading) openTrees(ctx context.Context, f *readFlags, s place.Secrets) error {
	var addresses []string
	for _, from := range f.from {
		addresses = append(addresses, treesAt(from)...)
	}
	var c *keys.Credentials
	if f.credentials != "" {
		var err error
		if c, err = readCredentials(f.credentials); err != nil {
			return err
		}
		s = withAccess(s, c)
		if len(addresses) == 0 {
			addresses = []string{c.Address}
		}
	} else if r.state != nil && len(addresses) == 0 {
		c = r.state.Credentials
		addresses = []string{c.Address}
	}
	for _, address := range addresses {
		t, err := openTree(ctx, address, s)
		if err != nil {
			return err
		}
		r.trees = append(r.trees, t)
		if c != nil {
			if err := checkVault(ctx, t, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// machineID tells whose domain is meant: --machine, else this machine if the trees have it, else the only one there is.
func (r *reading) machineID(ctx context.Context, f *readFlags) (manifest.ID, error) {
	if f.machine == "" && r.state != nil {
		v, err := vaultOf(ctx, r.trees[0])
		if err != nil {
			return "", err
		}
		if v.Vault == r.state.Secrets.Vault {
			return r.state.Secrets.Machine, nil
		}
	}
	return pickMachine(ctx, r.trees, f.machine)
}

// openOwn opens this machine's own domain.
func (a *app) openOwn(ctx context.Context, r *reading, f *readFlags, contents bool) error {
	s := r.state
	opts := domain.Options{Keys: pack.Keys{Machine: s.Secrets.Catalogue}, Dedupe: s.Secrets.DedupeKey()}
	if contents {
		var err error
		if opts.Keys.Recovery, err = f.secret.identity(ctx, r.ownRecovery, s.Secrets.Vault); err != nil {
			return err
		}
	}
	if err := s.Lock(); err == nil {
		opts.IndexDir = s.IndexDir()
		if !f.check {
			opts.ShelfDir = s.ShelfDir()
		}
	} else if !errors.Is(err, machine.ErrBusy) {
		return err
	} else {
		a.out.Detail("another run is at work on this machine's state: reading without its index")
	}
	return r.open(ctx, s.Machine, opts)
}

// open opens the domain; what the state keeps is asked before the trees.
func (r *reading) open(ctx context.Context, m *manifest.Machine, opts domain.Options) error {
	if r.state != nil && r.state.Secrets.Machine == m.Machine {
		own, err := openPacks(r.state)
		if err != nil {
			return err
		}
		r.trees = append([]tree{own}, r.trees...)
	}
	r.dedupe, r.recovery = opts.Dedupe, opts.Keys.Recovery
	var stores []domain.Store
	for _, t := range r.trees {
		stores = append(stores, t.Store)
	}
	if mend := mendingOf(r.trees, m.Machine); mend != nil {
		stores = append(stores, mend)
	}
	var err error
	if r.Domain, err = domain.Open(ctx, stores, m, opts); err != nil {
		return fmt.Errorf("reading the chain of machine %s: %w", m.Machine, err)
	}
	return nil
}

// openPacks opens the machine's own catalogue packs and commits.
func openPacks(s *machine.State) (tree, error) {
	if err := os.MkdirAll(s.PacksDir(), 0o700); err != nil {
		return tree{}, fmt.Errorf("making the machine's cache: %w", err)
	}
	d, err := durable.Open(s.PacksDir())
	return tree{d}, err
}

// walk is catalog.Walk of what lookUp found in a point. When that is all of it, all of the catalogue is fetched first.
func (r *reading) walk(ctx context.Context, p *domain.Point, top catalog.Entry, path []byte, f func([]byte, catalog.Entry) (bool, error)) error {
	prefix := bytes.TrimSuffix(path, []byte("/"))
	if len(prefix) == 0 {
		if err := r.Gather(ctx, p); err != nil {
			return err
		}
	}
	return catalog.Walk(ctx, r, top, prefix, f)
}

// point resolves what the user calls a recovery point.
func (r *reading) point(ctx context.Context, name string) (*domain.Point, error) {
	p, err := r.Resolve(ctx, name)
	if err != nil && len(r.Chain.Links) == 0 {
		return nil, cli.Errorf(cli.Failed, "machine %s has no recovery point there yet", r.Machine.Machine).
			Hinted("`waybill backup` or `waybill seed` makes the first")
	}
	return p, err
}
