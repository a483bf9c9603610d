package azure

import (
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"time"

	"waybill/internal/azurite"
)

const (
	mine   = "6f1c9a52-3c1e-4a7b-9d55-0f2f8c1e7a01"
	theirs = "0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02"
)

func TestLease(t *testing.T) {
	server.Start(t)
	s := newStore(t, Credential{Key: azurite.Key})
	const name = "a/b.claim"
	expect := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	ctx := t.Context()
	expect("a lease of nothing", s.Acquire(ctx, name, mine, 15*time.Second), fs.ErrNotExist)
	expect("put", s.Put(ctx, name, strings.NewReader("x")), nil)
	expect("put another", s.Put(ctx, "a/c.claim", strings.NewReader("x")), nil)
	expect("lease", s.Acquire(ctx, name, mine, 15*time.Second), nil)
	expect("the same again", s.Acquire(ctx, name, mine, 15*time.Second), nil)
	expect("another's lease", s.Acquire(ctx, name, theirs, 15*time.Second), fs.ErrExist)
	expect("another's renewal", s.Renew(ctx, name, theirs), fs.ErrNotExist)
	expect("another's release", s.Release(ctx, name, theirs), fs.ErrNotExist)
	expect("a create of what is leased", s.Put(ctx, name, strings.NewReader("y")), fs.ErrExist)
	expect("renewal", s.Renew(ctx, name, mine), nil)

	got := map[string]bool{}
	expect("list", s.Leases(ctx, "a/", func(name string, leased bool) error { got[name] = leased; return nil }), nil)
	if want := map[string]bool{name: true, "a/c.claim": false}; !maps.Equal(got, want) {
		t.Errorf("leased are %v, want %v", got, want)
	}
	b := make([]byte, 1)
	if n, err := s.ReadAt(ctx, name, b, 0); n != 1 || string(b) != "x" {
		t.Errorf("reading what is leased: %q %v", b[:n], err)
	}
	expect("release", s.Release(ctx, name, mine), nil)
	expect("renewal of what was released", s.Renew(ctx, name, mine), fs.ErrNotExist)
	expect("another's turn", s.Acquire(ctx, name, theirs, 15*time.Second), nil)
	expect("renewal of what was lost", s.Renew(ctx, name, mine), fs.ErrNotExist)
}
