// Package vault is where backups live: stores in which objects are created once.
//
// [Dir] is a vault in a local directory. Every store has the methods Put (create-once, durable
// on return), ReadAt (a range), Size, List and Remove; whoever uses one declares the few
// it needs as an interface, so the interface is the permission. Package vaulttest has the test that all
// stores pass.
//
// The package gives no meaning to names beyond their form.
package vault

import (
	"fmt"
	"os"

	"waybill/internal/durable"
)

// A Dir is a vault in a local directory. It is safe for concurrent use.
type Dir struct{ *durable.Dir }

// Open opens a vault's directory, which must exist.
func Open(path string) (*Dir, error) {
	d, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	return &Dir{d}, nil
}

// Create makes the directory of a new vault if needed; it must be empty.
func Create(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, fmt.Errorf("creating the vault: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("creating the vault: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("creating the vault: %s is not empty", path)
	}
	return Open(path)
}
