//go:build !linux

package fanotify

import (
	"context"
	"errors"

	"waybill/incremental/journal"
)

// A Journal is what an agent knows of a file system.
type Journal struct{}

// Open opens the journal of the file system mounted at a path. Here there is none.
func Open(stateDir, mountPath string) (*Journal, error) { return nil, unsupported() }

// Agent asks the agent of a state directory how it does. Here there is none.
func Agent(ctx context.Context, stateDir string) (*Status, error) { return nil, unsupported() }

// Run is the agent. It is for Linux only.
func Run(ctx context.Context, o Options) error {
	return errors.New("the agent is for Linux: other systems have no fanotify")
}

func unsupported() error { return &journal.Gap{Reason: "only Linux has fanotify"} }

// Now implements journal.Journal.
func (*Journal) Now(context.Context) (*journal.Cursor, error) { return nil, unsupported() }

// Changes implements journal.Journal.
func (*Journal) Changes(context.Context, *journal.Cursor, *journal.Cursor, *journal.Dirty) error {
	return unsupported()
}

// Status implements journal.Journal.
func (*Journal) Status(context.Context) (journal.Status, error) {
	return journal.Status{Kind: Kind}, unsupported()
}

// Close closes the journal.
func (*Journal) Close() error { return nil }
