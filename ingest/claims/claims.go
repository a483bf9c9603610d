// Package claims lets many workers share work without anybody who directs them: pieces of it are claimed on a [Board], a store of small
// objects that all of them can reach and whose service leases objects for a time.
//
//	c, err := board.Take(ctx, "piece-7", note)   // ErrTaken: another works on it; ErrDone: it is done
//	... the work, as long as c.Context() isn't done ...
//	err = c.Done(ctx, result)                     // or c.Drop()
//
// A piece is two objects. KEY.claim is created by whoever takes it first, with a note of what was so before; who has it leased has the piece. KEY.done
// is created once, with the result, when the work is done. A worker that dies stops renewing its leases: the service ends them by its own
// clock, nobody else's counts, and the next one takes the piece over and finds the first note.
//
// A claim only keeps workers from doing the same twice. It is no lock: one that was paused for longer than its lease goes on for a moment beside the one
// that took over. So the work itself must bear to be done twice at once, as creating objects once does; of two results the first
// counts. And a board that is lost, or emptied, costs work that is done again, no more.
package claims

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mrand "math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Store keeps a board. Put creates an object once, and fails with fs.ErrExist when its name is taken. The leases are as package
// azure has them.
type Store interface {
	Put(ctx context.Context, name string, body io.ReadSeeker) error
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Acquire(ctx context.Context, name, id string, d time.Duration) error
	Renew(ctx context.Context, name, id string) error
	Release(ctx context.Context, name, id string) error
	Leases(ctx context.Context, prefix string, each func(name string, leased bool) error) error
}

var (
	// ErrTaken says that another worker has a piece.
	ErrTaken = errors.New("another worker has it")
	// ErrDone says that a piece is done.
	ErrDone = errors.New("it is done")
	// ErrLost says that a lease could not be kept: another may have the piece now.
	ErrLost = errors.New("its lease was lost")
)

// DefaultLease is how long a piece stays its worker's without a sign of life. It is the longest that the service has.
const DefaultLease = time.Minute

// A Board is one worker's view of what all do. It is safe for concurrent use.
type Board struct {
	store  Store
	prefix string
	lease  time.Duration
	worker string
}

// Open returns the board whose objects' names begin with prefix. Leases are of 15 to 60 seconds; 0 is DefaultLease.
func Open(s Store, prefix string, lease time.Duration) *Board {
	if lease == 0 {
		lease = DefaultLease
	}
	return &Board{store: s, prefix: prefix, lease: lease, worker: strings.ToLower(rand.Text()[:12])}
}

// Worker is a name that only this one has.
func (b *Board) Worker() string { return b.worker }

// Pause lets others work for a moment: a small part of a lease, not the same for all.
func (b *Board) Pause(ctx context.Context) {
	t := time.NewTimer(b.lease/40 + mrand.N(b.lease/40))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Take claims a piece. The note is kept if nobody ever took it before. It fails with ErrTaken or ErrDone when there is nothing to do. The caller ends the
// claim by Done or Drop.
func (b *Board) Take(ctx context.Context, key string, note []byte) (*Claim, error) {
	c := &Claim{board: b, key: key, id: uuid.NewString(), Note: note}
	if err := c.take(ctx); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, ErrTaken
		}
		return nil, fmt.Errorf("claiming %s: %w", key, err)
	}
	c.keep(ctx)
	if err := c.look(ctx); err != nil {
		c.Drop()
		return nil, err
	}
	return c, nil
}

// State is how far a piece is.
type State int

// The states of pieces that were ever taken.
const (
	Idle State = iota + 1 // nobody has it
	Held
	Done
)

// List tells the state of all pieces that were ever taken and whose keys begin with prefix.
func (b *Board) List(ctx context.Context, prefix string) (map[string]State, error) {
	states := map[string]State{}
	err := b.store.Leases(ctx, b.prefix+prefix, func(name string, leased bool) error {
		name = strings.TrimPrefix(name, b.prefix)
		key, claim := strings.CutSuffix(name, claimSuffix)
		if done, ok := strings.CutSuffix(name, doneSuffix); ok {
			states[done] = Done
		} else if claim && leased {
			states[key] = max(states[key], Held)
		} else if claim {
			states[key] = max(states[key], Idle)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking at the claims: %w", err)
	}
	return states, nil
}

// Result is what a piece that is done came to; fs.ErrNotExist when it is not done.
func (b *Board) Result(ctx context.Context, key string) ([]byte, error) {
	return b.read(ctx, key+doneSuffix)
}

// Note is what the first who took a piece noted; fs.ErrNotExist when nobody did.
func (b *Board) Note(ctx context.Context, key string) ([]byte, error) {
	return b.read(ctx, key+claimSuffix)
}

// First keeps a note that nobody has to work for, unless there is one, and returns the one that is kept. Such a key can't be done.
func (b *Board) First(ctx context.Context, key string, note []byte) ([]byte, error) {
	if err := b.put(ctx, key+claimSuffix, note); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("noting %s: %w", key, err)
	}
	return b.Note(ctx, key)
}

const claimSuffix, doneSuffix = ".claim", ".done"

// maxObject bounds what is read of an object that somebody else wrote.
const maxObject = 64 << 20

func (b *Board) read(ctx context.Context, name string) ([]byte, error) {
	buf := make([]byte, 16<<10)
	for {
		n, err := b.store.ReadAt(ctx, b.prefix+name, buf, 0)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("reading %s: %w", name, err)
		case n < len(buf):
			return buf[:n], nil
		case len(buf) >= maxObject:
			return nil, fmt.Errorf("reading %s: it has more than %d bytes", name, maxObject)
		}
		buf = make([]byte, 8*len(buf))
	}
}

func (b *Board) put(ctx context.Context, name string, content []byte) error {
	return b.store.Put(ctx, b.prefix+name, bytes.NewReader(content))
}
