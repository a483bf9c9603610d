package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"waybill/internal/keys"
	"waybill/manifest"
)

// A Store is the vault as registration needs it: it reads, and creates once.
type Store interface {
	Put(ctx context.Context, name string, body io.ReadSeeker) error
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Size(ctx context.Context, name string) (int64, error)
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
}

// maxCopy is the most bytes of any document that is copied to the state and to disks.
const maxCopy = 64 << 10

// New says what a machine to be registered is.
type New struct {
	Name   string          // for people; usually the host's
	Cutter manifest.Cutter // how its files will be cut, for ever
	Now    time.Time
}

// Register makes this machine a protected machine of the vault in store, and returns its state, locked. It
// fails with ErrRegistered when dir has a machine already, and with ErrOtherVault when store is not the credentials' vault.
//
// Everything is written to the state first, then to the vault, create-once, and the head last: a
// registration that was interrupted is finished by the next one, with the same secrets.
func Register(ctx context.Context, dir string, store Store, c *keys.Credentials, n New) (*State, error) {
	return set(dir, func(s *State) error {
		copies, err := vaultCopies(ctx, store, c)
		if err != nil {
			return err
		}
		if err := s.begin(c, n, copies); err != nil {
			return err
		}
		id := s.Secrets.Machine
		for _, name := range []string{manifest.MachineKeyName(id), manifest.MachineSignatureName(id), manifest.MachineName(id)} {
			if err := s.publish(ctx, store, name); err != nil {
				return fmt.Errorf("registering machine %s: %w", id, err)
			}
		}
		return s.finish(ctx, store)
	})
}

// Recover makes this machine continue as a machine of the vault whose state is lost. It needs
// the vault's recovery key, and returns the new state, locked. Errors are those of Register,
// keys.ErrWrongKey, and fs.ErrNotExist when the vault has no such machine.
func Recover(ctx context.Context, dir string, store Store, c *keys.Credentials, id manifest.ID, recovery age.Identity) (*State, error) {
	return set(dir, func(s *State) error {
		copies, err := vaultCopies(ctx, store, c)
		if err != nil {
			return err
		}
		for _, name := range []string{manifest.MachineKeyName(id), manifest.MachineSignatureName(id), manifest.MachineName(id)} {
			if copies[name], err = manifest.ReadObject(ctx, store, name, maxCopy); err != nil {
				return fmt.Errorf("machine %s: %w", id, err)
			}
		}
		if s.Secrets, s.Machine, err = Lookup(ctx, store, c.Vault, id, recovery); err != nil {
			return err
		}
		if err := s.write(c, copies); err != nil {
			return err
		}
		return s.finish(ctx, store)
	})
}

// Lookup opens the secrets and the public document of any machine of a vault, with the vault's recovery
// key. Since the recovery key vouches for the secrets, and they for the document, store may be
// a disk from anywhere. Errors are those of Recover.
func Lookup(ctx context.Context, store manifest.Reader, vault, id manifest.ID, recovery age.Identity) (*keys.Secrets, *manifest.Machine, error) {
	sealed, err := manifest.ReadObject(ctx, store, manifest.MachineKeyName(id), maxCopy)
	if err != nil {
		return nil, nil, fmt.Errorf("machine %s: %w", id, err)
	}
	s, err := keys.OpenSecrets(sealed, recovery, vault, id)
	if err != nil {
		return nil, nil, err
	}
	m, err := manifest.OpenMachine(ctx, store, id)
	if err == nil {
		err = fits(m, s)
	}
	return s, m, err
}

// finish makes the state whole: its head is the last commit in the vault, which a new machine has none of.
func (s *State) finish(ctx context.Context, store Store) error {
	chain, err := manifest.ReadChain(ctx, store, s.Machine)
	if err != nil {
		return err
	}
	head := Head{}
	if last := chain.Last(); last != nil {
		head = Head{last.Manifest.Sequence, last.Digest}
	}
	return s.SetHead(head)
}

// set opens dir, makes sure under the lock that no machine lives there, and fills it.
func set(dir string, fill func(*State) error) (*State, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the machine's state: %w", err)
	}
	s, err := open(dir)
	if err != nil {
		return nil, err
	}
	if err = s.Lock(); err == nil {
		if _, head := s.Head(); head == nil {
			err = fmt.Errorf("%s has the state of a machine: %w", dir, ErrRegistered)
		} else if err = head; errors.Is(head, ErrNotRegistered) {
			err = os.Chmod(dir, 0o700) // before any secret is in it
		}
	}
	if err == nil {
		err = fill(s)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// vaultCopies reads the vault's own documents, and makes sure that it is the vault that is meant, with
// the keys it had when the credentials were made.
func vaultCopies(ctx context.Context, store Store, c *keys.Credentials) (map[string][]byte, error) {
	copies := map[string][]byte{}
	for _, name := range []string{manifest.VaultName, manifest.RecoveryName} {
		b, err := manifest.ReadObject(ctx, store, name, maxCopy)
		if err != nil {
			return nil, fmt.Errorf("vault %s: %w", c.Address, err)
		}
		copies[name] = b
	}
	v, err := manifest.ParseVault(copies[manifest.VaultName])
	if err != nil {
		return nil, fmt.Errorf("vault %s: %w", c.Address, err)
	}
	if v.Vault != c.Vault || v.RecoveryRecipient != c.RecoveryRecipient || v.ReceiptKey != c.ReceiptKey {
		return nil, fmt.Errorf("the vault in %s has the id %s: %w", c.Address, v.Vault, ErrOtherVault)
	}
	return copies, nil
}

// begin loads what an interrupted registration in this vault has left, or makes a new
// machine and writes it to the state.
func (s *State) begin(c *keys.Credentials, n New, copies map[string][]byte) error {
	if err := s.load(); err == nil && s.Credentials.Vault == c.Vault {
		return s.SetCredentials(c) // what they let in with may be newer
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("making the machine's id: %w", err)
	}
	if s.Secrets, err = keys.NewSecrets(c.Vault, manifest.ID(id.String())); err != nil {
		return err
	}
	if err := s.describe(c, n, copies); err != nil {
		return err
	}
	return s.write(c, copies)
}

// describe adds the new machine's documents to copies.
func (s *State) describe(c *keys.Credentials, n New, copies map[string][]byte) error {
	id := s.Secrets.Machine
	recipient, err := c.Recipient()
	if err != nil {
		return fmt.Errorf("the vault's recovery recipient: %w", err)
	}
	if copies[manifest.MachineKeyName(id)], err = s.Secrets.Seal(recipient); err != nil {
		return err
	}
	s.Machine = &manifest.Machine{Vault: c.Vault, Machine: id, Name: n.Name, Created: n.Now.UTC().Truncate(time.Second),
		SigningKey: s.Secrets.Signer.Public(), CatalogueRecipient: s.Secrets.Catalogue.Recipient().String(), Cutter: n.Cutter}
	b, err := s.Machine.Encode()
	if err != nil {
		return err
	}
	copies[manifest.MachineName(id)] = b
	copies[manifest.MachineSignatureName(id)], err = s.Secrets.Signer.Sign(b)
	return err
}

// write puts the machine into the state. secrets.json comes last, so that load finds all or nothing.
func (s *State) write(c *keys.Credentials, copies map[string][]byte) error {
	s.Credentials = c
	files := map[string][]byte{}
	for name, b := range copies {
		files[copiesPrefix+name] = b
	}
	for name, b := range files {
		if err := s.files.Replace(name, b); err != nil {
			return fmt.Errorf("writing the machine's state: %w", err)
		}
	}
	b, err := c.Encode()
	if err == nil {
		err = s.replaceSecret(credentialsName, b)
	}
	if err == nil {
		b, err = s.Secrets.Encode()
	}
	if err == nil {
		err = s.replaceSecret(secretsName, b)
	}
	if err != nil {
		return fmt.Errorf("writing the machine's secrets: %w", err)
	}
	return nil
}

// replaceSecret replaces a file that only its owner may read. Until it says so itself, its directory does.
func (s *State) replaceSecret(name string, b []byte) error {
	if err := s.files.Replace(name, b); err != nil {
		return err
	}
	return os.Chmod(s.path(name), 0o600)
}

// publish creates a document in the vault from its copy. That it is there already, the same, is as good.
func (s *State) publish(ctx context.Context, store Store, name string) error {
	b, err := s.read(copiesPrefix + name)
	if err != nil {
		return err
	}
	err = store.Put(ctx, name, bytes.NewReader(b))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := manifest.ReadObject(ctx, store, name, maxCopy)
	if err == nil && !bytes.Equal(there, b) {
		err = fmt.Errorf("the vault has another %s: %w", name, fs.ErrExist)
	}
	return err
}
