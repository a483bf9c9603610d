// Package vaultsim is for tests: a vault of any size that takes no room. Its objects are made when they are asked for, from their
// names alone, so that 100 million packs can be listed, looked for and counted.
//
// Each of its machines has a valid chain of signed manifests, and packs that have names and sizes, but no content: reading one fails. What is
// put into the vault is kept in memory beside. A machine is registered with keys that open nothing.
package vaultsim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"waybill/manifest"
)

// A Shape is how large a vault is.
type Shape struct {
	Machines int
	Commits  int // of each machine
	Packs    int // of each machine, spread evenly over its commits
}

// Vast has 100 million packs: a thousand machines that were backed up every hour for three months, 50 packs each time.
var Vast = Shape{Machines: 1000, Commits: 2000, Packs: 100_000}

const (
	vaultID   = "5eed0000-0000-4000-8000-000000000000"
	recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
)

var created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A Vault is a vault.Store and vault.Hierarchy. It is safe for concurrent use.
type Vault struct {
	Shape
	Signer *manifest.Signer // of all machines, and of receipts

	fixed map[string][]byte // the vault's own documents

	mu      sync.Mutex // guards what follows
	put     map[string][]byte
	machine int               // whose manifests were asked for last; -1 for none
	digests []manifest.Digest // of its manifests
}

// New makes a vault of a shape.
func New(shape Shape) (*Vault, error) {
	v := &Vault{Shape: shape, put: map[string][]byte{}, machine: -1}
	var err error
	if v.Signer, err = manifest.NewSigner(); err != nil {
		return nil, err
	}
	doc, err := manifest.Vault{Vault: vaultID, Created: created, RecoveryRecipient: recipient, ReceiptKey: v.Signer.Public()}.Encode()
	if err != nil {
		return nil, err
	}
	secret, err := v.Signer.MarshalText()
	v.fixed = map[string][]byte{manifest.VaultName: doc, manifest.RecoveryName: []byte("{}\n"), manifest.ReceiptKeyName: secret}
	return v, err
}

// Machine is the id of machine i, counted from 0. Ids ascend.
func (v *Vault) Machine(i int) manifest.ID {
	return manifest.ID(fmt.Sprintf("%08x-5eed-4000-8000-%012x", i, i))
}

// index is the number of a machine; false for one that is not simulated.
func (v *Vault) index(m manifest.ID) (int, bool) {
	var i int
	if n, err := fmt.Sscanf(string(m), "%08x", &i); n != 1 || err != nil || i >= v.Machines || v.Machine(i) != m {
		return 0, false
	}
	return i, true
}

// Document is a machine's machine.json.
func (v *Vault) Document(i int) (*manifest.Machine, error) {
	b, err := v.document(i)
	if err != nil {
		return nil, err
	}
	return manifest.ParseMachine(b)
}

func (v *Vault) document(i int) ([]byte, error) {
	return manifest.Machine{Vault: vaultID, Machine: v.Machine(i), Name: fmt.Sprint("host", i), Created: created, SigningKey: v.Signer.Public(),
		CatalogueRecipient: recipient, Cutter: manifest.Cutter{Algorithm: "x", Min: 1, Mean: 2, Max: 3}}.Encode()
}

// Put implements vault.Store.
func (v *Vault) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if _, err := v.Size(ctx, name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.put[name]; ok {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	v.put[name] = b
	return nil
}

// Remove implements vault.Store. What is simulated stays.
func (v *Vault) Remove(_ context.Context, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.put[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(v.put, name)
	return nil
}

// ReadAt implements vault.Store. Packs that are simulated have no content.
func (v *Vault) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b, err := v.object(name)
	if err != nil {
		return 0, err
	}
	return bytes.NewReader(b).ReadAt(p, off)
}

// Size implements vault.Store.
func (v *Vault) Size(ctx context.Context, name string) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if p, ok := v.pack(name); ok {
		return p.Size, nil
	}
	b, err := v.object(name)
	return int64(len(b)), err
}

// object makes an object's content.
func (v *Vault) object(name string) ([]byte, error) {
	v.mu.Lock()
	b, ok := v.put[name]
	v.mu.Unlock()
	if !ok {
		b, ok = v.fixed[name]
	}
	if ok {
		return b, nil
	}
	if _, ok := v.pack(name); ok {
		return nil, fmt.Errorf("reading %s: a pack that is simulated has no content", name)
	}
	return v.made(name)
}
