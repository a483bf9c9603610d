// Package machine is the state of a protected machine: who it is in its vault, its
// secrets, the last commit it made, and its caches.
//
// [Register] makes a machine known to a vault, [Recover] takes over the identity of one whose
// hardware is gone, [Open] opens what either has written. A program that commits takes [State.Lock]
// first. The state is a directory:
//
//	credentials.json   the vault's credentials, and what lets the machine into it; readable by its owner only
//	secrets.json       the machine's secrets; readable by its owner only
//	copies/...         what a disk must carry beside packs and manifests, under its names in the tree
//	head.json          the last commit, replaced durably; written last of all, so a state that has it is whole
//	lock               locked while a run is at work
//	cache/index        the chunk index, and the manifests that were verified before; may be deleted at any time
//	cache/packs        a tree of the machine's own catalogue packs and commits: what incrementals begin from until
//	                   a seed has arrived in the vault, and not needed after
//	cache/*.jsonl      the packs that were finished on a seed's disks, or sent to the vault, and are in no commit yet; a hint
//	cache/shelf        catalogue packs that were read from a vault over a network; may be deleted at any time
//
// The package neither decides what a commit holds nor reads passphrases. A state is
// enough to back up and to browse, not to read file contents back: that takes the
// vault's recovery key.
package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"waybill/internal/durable"
	"waybill/internal/keys"
	"waybill/manifest"
)

var (
	// ErrNotRegistered says that the directory holds no machine's state, or that its registration was interrupted.
	ErrNotRegistered = errors.New("this machine is not registered")
	// ErrRegistered says that the directory holds a machine's state already.
	ErrRegistered = errors.New("this machine is registered already")
	// ErrBusy says that another run has the state's lock.
	ErrBusy = errors.New("another run is at work")
	// ErrOtherVault says that a vault is not the one that the credentials were made for.
	ErrOtherVault = errors.New("not the vault of these credentials")
)

// A State is an open state directory. Its exported fields don't change, but for Credentials by SetCredentials.
type State struct {
	Credentials *keys.Credentials
	Secrets     *keys.Secrets
	Machine     *manifest.Machine // the machine's own copy: the one to trust

	files *durable.Dir
	lock  *os.File // nil when not locked
}

const (
	credentialsName = "credentials.json"
	secretsName     = "secrets.json"
	headName        = "head.json"
	copiesPrefix    = "copies/"
)

// Open opens the state of a registered machine; ErrNotRegistered when there is none. What doesn't
// parse fails with manifest.ErrFormat.
func Open(dir string) (*State, error) {
	s, err := open(dir)
	if err != nil {
		return nil, err
	}
	if _, err = s.Head(); err == nil {
		err = s.load()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open opens the directory, whatever it holds.
func open(dir string) (*State, error) {
	files, err := durable.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no state in %s: %w", dir, ErrNotRegistered)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the machine's state: %w", err)
	}
	return &State{files: files}, nil
}

// load reads who the machine is.
func (s *State) load() error {
	b, err := s.read(credentialsName)
	if err != nil {
		return err
	}
	if s.Credentials, err = keys.ParseCredentials(b); err != nil {
		return s.broken(credentialsName, err)
	}
	if b, err = s.read(secretsName); err != nil {
		return err
	}
	if s.Secrets, err = keys.ParseSecrets(b); err != nil {
		return s.broken(secretsName, err)
	}
	name := copiesPrefix + manifest.MachineName(s.Secrets.Machine)
	if b, err = s.read(name); err != nil {
		return err
	}
	if s.Machine, err = manifest.ParseMachine(b); err == nil {
		err = fits(s.Machine, s.Secrets)
	}
	if err == nil && s.Secrets.Vault != s.Credentials.Vault {
		err = fmt.Errorf("%w: secrets of another vault", manifest.ErrFormat)
	}
	if err != nil {
		return s.broken(name, err)
	}
	return nil
}

// fits checks that a machine's public document belongs to its secrets.
func fits(m *manifest.Machine, s *keys.Secrets) error {
	if m.Vault != s.Vault || m.Machine != s.Machine || m.SigningKey != s.Signer.Public() ||
		m.CatalogueRecipient != s.Catalogue.Recipient().String() {
		return fmt.Errorf("machine.json: %w: it is not that of the machine whose secrets these are", manifest.ErrFormat)
	}
	return nil
}

// read reads a file of the state; one that should be there and isn't means that the state is no longer whole.
func (s *State) read(name string) ([]byte, error) {
	b, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.broken(name, fmt.Errorf("%w: it is missing", manifest.ErrFormat))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the machine's state: %w", err)
	}
	return b, nil
}

func (s *State) broken(name string, err error) error {
	return fmt.Errorf("the machine's state, %s: %w", s.path(name), err)
}

func (s *State) path(name string) string {
	return filepath.Join(s.files.Path(), filepath.FromSlash(name))
}

// Dir is the state's directory.
func (s *State) Dir() string { return s.files.Path() }

// IndexDir is where the chunk index is kept.
func (s *State) IndexDir() string { return s.path("cache/index") }

// ShelfDir is where catalogue packs are kept that came over a network.
func (s *State) ShelfDir() string { return s.path("cache/shelf") }

// PacksDir is where the machine's own catalogue packs and commits are kept, under their names in the tree.
func (s *State) PacksDir() string { return s.path("cache/packs") }

// Copies returns what a disk must carry beside packs and manifests, by its name in the tree, so
// that the disk and the passphrase are enough to restore.
func (s *State) Copies() (map[string][]byte, error) {
	copies := map[string][]byte{}
	for _, name := range copyNames(s.Secrets.Machine) {
		b, err := s.read(copiesPrefix + name)
		if err != nil {
			return nil, err
		}
		copies[name] = b
	}
	return copies, nil
}

func copyNames(id manifest.ID) []string {
	return []string{manifest.VaultName, manifest.RecoveryName, manifest.MachineKeyName(id),
		manifest.MachineSignatureName(id), manifest.MachineName(id)}
}

// Lock takes the state's lock until Close, or fails with ErrBusy. It can't outlive the process.
func (s *State) Lock() error {
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("locking the machine's state: %w", err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return fmt.Errorf("locking the machine's state in %s: %w", s.Dir(), err)
	}
	s.lock = f
	return nil
}

// Close releases the lock and the directory.
func (s *State) Close() error {
	err := s.files.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
