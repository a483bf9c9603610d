//go:build !linux

package btrfs

import (
	"context"
	"errors"
	"fmt"

	"waybill/incremental/journal"
)

// A Volume is a subvolume with its journal. There is none on this system.
type Volume struct{}

// Open fails with errors.ErrUnsupported.
func Open(string, Options) (*Volume, error) {
	return nil, fmt.Errorf("opening a journal of btrfs: %w", errors.ErrUnsupported)
}

// Subvolumes fails with errors.ErrUnsupported.
func Subvolumes(string) ([]Sub, error) {
	return nil, fmt.Errorf("looking for subvolumes of btrfs: %w", errors.ErrUnsupported)
}

func (*Volume) Hold(context.Context) (string, func() error, error) {
	return "", nil, errors.ErrUnsupported
}
func (*Volume) Now(context.Context) (*journal.Cursor, error) { return nil, errors.ErrUnsupported }
func (*Volume) Changes(context.Context, *journal.Cursor, *journal.Cursor, *journal.Dirty) error {
	return errors.ErrUnsupported
}
func (*Volume) Status(context.Context) (journal.Status, error) {
	return journal.Status{}, errors.ErrUnsupported
}
func (*Volume) Close() error { return nil }
