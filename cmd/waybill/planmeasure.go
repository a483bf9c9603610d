package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"waybill/internal/cli"
)

const (
	measureBytes = 64 << 20
	measureTime  = 10 * time.Second
)

// measureLine tells how fast this machine's vault takes bytes, in bits a second. Objects of a vault can't be taken away again, so it is only done where
// the vault is a directory.
func (a *app) measureLine(ctx context.Context) (float64, error) {
	s, err := a.openState()
	if err != nil {
		return 0, err
	}
	address := s.Credentials.Address
	if err := s.Close(); err != nil {
		return 0, err
	}
	if info, err := os.Stat(address); err != nil || !info.IsDir() {
		return 0, cli.Errorf(cli.NoVault, "the vault at %s is no directory that is there, and only in one a file can be written and taken away again", address).
			Hinted("say the bandwidth with --bandwidth RATE")
	}
	rate, err := writeRate(ctx, address)
	if err != nil {
		return 0, fmt.Errorf("measuring the line to %s: %w", address, err)
	}
	return rate, nil
}

// writeRate writes noise to a temporary file in a directory until it knows, in bits a second. The name is one that vaults ignore and tidy away.
func writeRate(ctx context.Context, dir string) (rate float64, err error) {
	f, err := os.CreateTemp(dir, ".tmp-measure-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	b := make([]byte, 1<<20)
	rand.Read(b)
	began, n := time.Now(), 0
	for n < measureBytes && time.Since(began) < measureTime {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		k, err := f.Write(b)
		if n += k; err == nil && n%(16<<20) == 0 {
			err = f.Sync()
		}
		if err != nil {
			return 0, err
		}
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	return 8 * float64(n) / time.Since(began).Seconds(), nil
}
