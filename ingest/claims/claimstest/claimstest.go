// Package claimstest is a store for boards in memory, for tests: a service that leases by its own clock, which in a bubble of testing/synctest is the
// bubble's.
package claimstest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Store is a claims.Store. It is safe for concurrent use.
type Store struct {
	mu      sync.Mutex // guards what follows
	fail    func(op, name string) error
	objects map[string]*object
}

type object struct {
	content []byte
	lease   string // its id; empty for none
	until   time.Time
}

// New returns an empty store.
func New() *Store { return &Store{objects: map[string]*object{}} }

// Fail has f asked before each call, one at a time, until it is set to another or to nil. An error it returns is the call's, which then does nothing.
func (s *Store) Fail(f func(op, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// Clear forgets everything.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.objects)
}

// Names are those of all objects, ascending.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// do runs f on an object, or on nil.
func (s *Store) do(ctx context.Context, op, name string, f func(o *object) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := ctx.Err()
	if err == nil && s.fail != nil {
		err = s.fail(op, name)
	}
	if err == nil {
		err = f(s.objects[name])
	}
	if err != nil && err != io.EOF {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return err
}

// Put implements claims.Store.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return s.do(ctx, "put", name, func(o *object) error {
		if o != nil {
			return fs.ErrExist
		}
		s.objects[name] = &object{content: content}
		return nil
	})
}

// ReadAt implements claims.Store.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	err = s.do(ctx, "read", name, func(o *object) (err error) {
		if o == nil {
			return fs.ErrNotExist
		}
		n, err = bytes.NewReader(o.content).ReadAt(p, off)
		return err
	})
	return n, err
}

// Acquire implements claims.Store.
func (s *Store) Acquire(ctx context.Context, name, id string, d time.Duration) error {
	return s.do(ctx, "acquire", name, func(o *object) error {
		switch {
		case o == nil:
			return fs.ErrNotExist
		case o.leased() && o.lease != id:
			return fs.ErrExist
		}
		o.lease, o.until = id, time.Now().Add(d)
		return nil
	})
}

// Renew implements claims.Store. As with the true service, a lease that ran out can be renewed while nobody else took it. It is renewed for a minute.
func (s *Store) Renew(ctx context.Context, name, id string) error {
	return s.do(ctx, "renew", name, func(o *object) error {
		if o == nil || o.lease != id {
			return fs.ErrNotExist
		}
		o.until = time.Now().Add(time.Minute)
		return nil
	})
}

// Release implements claims.Store.
func (s *Store) Release(ctx context.Context, name, id string) error {
	return s.do(ctx, "release", name, func(o *object) error {
		if o == nil || o.lease != id {
			return fs.ErrNotExist
		}
		o.lease = ""
		return nil
	})
}

// Leases implements claims.Store.
func (s *Store) Leases(ctx context.Context, prefix string, each func(name string, leased bool) error) error {
	for _, name := range s.Names() {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		leased := false
		if err := s.do(ctx, "list", name, func(o *object) error { leased = o != nil && o.leased(); return nil }); err != nil {
			return err
		}
		if err := each(name, leased); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (o *object) leased() bool { return o.lease != "" && time.Now().Before(o.until) }
