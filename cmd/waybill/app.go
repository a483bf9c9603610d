package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/keys"
	"waybill/internal/machine"
)

// An app is what all commands share.
type app struct {
	out     *cli.Output
	state   string    // --state
	cost    keys.Cost // of a guess at a new vault's passphrase
	secrets place.Secrets
	line    *vaultLine // nil: nothing was said of it
}

// stateDir is where this machine's state is.
func (a *app) stateDir() (string, error) {
	if a.state != "" {
		return filepath.Abs(a.state)
	}
	dir, err := machine.DefaultDir(machine.Environment{GOOS: runtime.GOOS, Root: os.Geteuid() == 0, Getenv: os.Getenv})
	if err != nil {
		return "", cli.Errorf(cli.Usage, "%w", err).Hinted("say it with --state DIR")
	}
	return filepath.Abs(dir)
}

// openState opens the state of this machine. The caller closes it.
func (a *app) openState() (*machine.State, error) {
	dir, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	return machine.Open(dir)
}

// readCredentials reads a vault credentials file.
func readCredentials(name string) (*keys.Credentials, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the vault's credentials: %w", err)
	}
	c, err := keys.ParseCredentials(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// checkVault makes sure that a tree is the vault, or a disk of the vault, that credentials name.
func checkVault(ctx context.Context, tree tree, c *keys.Credentials) error {
	v, err := vaultOf(ctx, tree)
	if err != nil {
		return err
	}
	if v.Vault != c.Vault || v.RecoveryRecipient != c.RecoveryRecipient {
		return fmt.Errorf("%s belongs to vault %s: %w", tree.Path(), v.Vault, machine.ErrOtherVault)
	}
	return nil
}
