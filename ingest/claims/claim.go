package claims

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// A Claim is a piece that this worker has.
type Claim struct {
	Note  []byte // of the first who took it
	Again bool   // somebody took it before, and did not finish

	board  *Board
	key    string
	id     string
	ctx    context.Context
	cancel context.CancelCauseFunc
	gone   chan struct{} // closed when nobody renews any more
}

// take leases the piece's object, and makes it if need be.
func (c *Claim) take(ctx context.Context) error {
	b, name := c.board, c.key+claimSuffix
	err := b.store.Acquire(ctx, b.prefix+name, c.id, b.lease)
	if c.Again = err == nil; !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = b.put(ctx, name, c.Note); errors.Is(err, fs.ErrExist) {
		c.Again, err = true, nil // two came at once
	}
	if err != nil {
		return err
	}
	return b.store.Acquire(ctx, b.prefix+name, c.id, b.lease)
}

// look finds out whether the piece is done, and what was noted first.
func (c *Claim) look(ctx context.Context) error {
	_, err := c.board.Result(ctx, c.key)
	switch {
	case err == nil:
		return ErrDone
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case c.Again:
		c.Note, err = c.board.Note(ctx, c.key)
		return err
	}
	return nil
}

// Context is done when the lease is lost, or ctx of Take is, or the claim ended: whoever works under the claim stops then.
func (c *Claim) Context() context.Context { return c.ctx }

// Lost tells whether the piece may be another's by now.
func (c *Claim) Lost() bool { return errors.Is(context.Cause(c.ctx), ErrLost) }

// Done ends the claim with a result. If another's came first, that one counts, and it is no error.
func (c *Claim) Done(ctx context.Context, result []byte) error {
	err := c.board.put(ctx, c.key+doneSuffix, result)
	c.Drop()
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("noting that %s is done: %w", c.key, err)
	}
	return nil
}

// Drop ends the claim and leaves the piece to others. On a claim that has ended it does nothing.
func (c *Claim) Drop() {
	if c.cancel(errEnded); c.gone == nil {
		return
	}
	<-c.gone
	c.gone = nil
	ctx, stop := context.WithTimeout(context.WithoutCancel(c.ctx), c.board.lease/3)
	defer stop()
	_ = c.board.store.Release(ctx, c.board.prefix+c.key+claimSuffix, c.id) // else the service does, when its time is over
}

var errEnded = errors.New("the claim has ended")

// keep renews the lease until the claim ends.
func (c *Claim) keep(ctx context.Context) {
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	gone := make(chan struct{})
	c.gone = gone
	go func() {
		defer close(gone)
		c.renew()
	}()
}

// renew has three tries a lease. Only the service knows that a lease is lost; one that couldn't be renewed for as long as it lasts is taken for lost.
func (c *Claim) renew() {
	every := c.board.lease / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, stop := context.WithTimeout(c.ctx, every)
		err := c.board.store.Renew(ctx, c.board.prefix+c.key+claimSuffix, c.id)
		stop()
		switch {
		case err == nil:
			renewed = time.Now()
		case errors.Is(err, fs.ErrNotExist) || time.Since(renewed) >= c.board.lease:
			c.cancel(ErrLost)
			return
		}
	}
}
