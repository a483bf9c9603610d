package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// same compares two trees entry by entry and byte by byte: names, types, permissions, times to the second
// (tar keeps no more), link targets, contents. It returns the first difference it meets.
func same(ctx context.Context, want, got string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	err := sameDir(ctx, g, want, got)
	if waited := g.Wait(); waited != nil && !errors.Is(waited, context.Canceled) {
		return waited
	}
	return err
}

func sameDir(ctx context.Context, g *errgroup.Group, want, got string) error {
	a, err := os.ReadDir(want)
	if err != nil {
		return err
	}
	b, err := os.ReadDir(got)
	if err != nil {
		return err
	}
	name := func(d fs.DirEntry) string { return d.Name() }
	if x, y := each(a, name), each(b, name); !slices.Equal(x, y) {
		return fmt.Errorf("%s and %s list different names: %d and %d", want, got, len(x), len(y))
	}
	for _, d := range a {
		x, y := filepath.Join(want, d.Name()), filepath.Join(got, d.Name())
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.Type().IsRegular() {
			g.Go(func() error { return sameEntry(x, y) })
			continue
		}
		if err := sameEntry(x, y); err != nil {
			return err
		}
		if d.IsDir() {
			if err := sameDir(ctx, g, x, y); err != nil {
				return err
			}
		}
	}
	return nil
}

func each[E, F any](list []E, of func(E) F) []F {
	var out []F
	for _, e := range list {
		out = append(out, of(e))
	}
	return out
}

func sameEntry(want, got string) error {
	a, err := os.Lstat(want)
	if err != nil {
		return err
	}
	b, err := os.Lstat(got)
	if err != nil {
		return err
	}
	if a.Mode() != b.Mode() {
		return fmt.Errorf("%s has mode %v, not %v", got, b.Mode(), a.Mode())
	}
	switch {
	case a.Mode()&fs.ModeSymlink != 0:
		return sameLink(want, got)
	case a.ModTime().Unix() != b.ModTime().Unix():
		return fmt.Errorf("%s is of %v, not %v", got, b.ModTime(), a.ModTime())
	case !a.Mode().IsRegular():
		return nil
	case a.Size() != b.Size():
		return fmt.Errorf("%s has %d bytes, not %d", got, b.Size(), a.Size())
	}
	return sameContent(want, got)
}

func sameLink(want, got string) error {
	a, err := os.Readlink(want)
	if err != nil {
		return err
	}
	b, err := os.Readlink(got)
	if err == nil && a != b {
		err = fmt.Errorf("%s points to %q, not %q", got, b, a)
	}
	return err
}

func sameContent(want, got string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return fmt.Errorf("%s has other content than %s", got, want)
		}
		if errA != errB {
			return errors.Join(errA, errB)
		}
		if errA == io.EOF || errA == io.ErrUnexpectedEOF {
			return nil
		}
		if errA != nil {
			return errA
		}
	}
}
