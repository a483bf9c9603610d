package vault_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/ingest/vault"
	"waybill/ingest/vault/vaulttest"
	"waybill/internal/durable"
	"waybill/internal/fault"
	"waybill/internal/line"
)

func open(t *testing.T, dir string) *vault.Dir {
	t.Helper()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// perSecond is a limiter that lets so many bytes a second pass.
func perSecond(bytes int) vault.Limiter {
	return line.NewLimiter(line.Schedule{Else: line.Rate(8 * bytes)}, time.Now)
}

func TestDir(t *testing.T) {
	vaulttest.Run(t, func(t *testing.T) vault.Store { return open(t, t.TempDir()) })
}

func TestLimited(t *testing.T) {
	vaulttest.Run(t, func(t *testing.T) vault.Store {
		return vault.Limit(open(t, t.TempDir()), perSecond(1<<30), line.NewLimiter(line.Schedule{}, time.Now))
	})
}

func TestUnlimited(t *testing.T) {
	vaulttest.Run(t, func(t *testing.T) vault.Store { return vault.Limit(open(t, t.TempDir()), nil, nil) })
}

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "vault")
	for range 2 { // an empty directory that is there will do
		v, err := vault.Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		v.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Create(dir); err == nil {
		t.Error("made a vault in a directory that isn't empty")
	}
	if _, err := vault.Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening nothing: %v", err)
	}
}

func TestLimitRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, second = 1 << 20, 100_000
		s := vault.Limit(open(t, t.TempDir()), perSecond(second), perSecond(2*second))
		took := func(what string, do func() error, least time.Duration) {
			t.Helper()
			start := time.Now()
			if err := do(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if d := time.Since(start); d < least*85/100 || d > least {
				t.Errorf("%s took %v, want a little less than %v", what, d, least)
			}
		}
		whole := time.Duration(size) * time.Second / second
		took("put", func() error { return s.Put(t.Context(), "x", bytes.NewReader(make([]byte, size))) }, whole)
		took("read", func() error { _, err := s.ReadAt(t.Context(), "x", make([]byte, size), 0); return err }, whole/2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Put(ctx, "y", bytes.NewReader(make([]byte, size))); err == nil {
			t.Errorf("put with a deadline: %v", err)
		}
		if _, err := s.Size(t.Context(), "y"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what was not put: %v", err)
		}
	})
}

// TestFull: a vault that is full says so, keeps what it has, and works again once there is room.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("can't mount here: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	v := open(t, dir)
	put := func(name string, size int) error {
		return v.Put(t.Context(), name, strings.NewReader(strings.Repeat("x", size)))
	}
	if err := put("a/1", 100_000); err != nil {
		t.Fatal(err)
	}
	if err := put("a/2", 200_000); !errors.Is(err, durable.ErrFull) {
		t.Errorf("too much: %v", err)
	}
	if err := put("a/3", 100_000); err != nil {
		t.Errorf("what fits: %v", err)
	}
	if err := v.Remove(t.Context(), "a/1"); err != nil {
		t.Error(err)
	}
	if err := put("a/2", 100_000); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

// A limit does not hide that a store is far.
func TestLimitedRemote(t *testing.T) {
	for _, far := range []bool{true, false} {
		s := vault.Limit(&fault.Line{Inner: open(t, t.TempDir()), Near: !far}, nil, nil)
		if r, ok := s.(interface{ Remote() bool }); !ok || r.Remote() != far {
			t.Errorf("far: %v", far)
		}
	}
	if s := vault.Limit(open(t, t.TempDir()), nil, nil); s.(interface{ Remote() bool }).Remote() {
		t.Error("a directory is far")
	}
}
