// Package vaulttest has the test that every store passes, whatever it is made of.
//
//	func TestDir(t *testing.T) {
//		vaulttest.Run(t, func(t *testing.T) vault.Store { ... a new, empty store ... })
//	}
//
// It knows nothing of disks that are full or of machines that stop: that is for each store's own tests.
package vaulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"waybill/ingest/vault"
)

// Run tests stores; open returns a new, empty one.
func Run(t *testing.T, open func(t *testing.T) vault.Store) {
	for name, test := range map[string]func(*testing.T, vault.Store){
		"CreateOnce": createOnce, "Sizes": sizes, "Ranges": ranges, "Race": race, "FailingBody": failingBody, "Cancelled": cancelled,
		"HalfWritten": halfWritten, "List": list, "ListStops": listStops, "Level": level, "Remove": remove, "HostileNames": hostileNames,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, s vault.Store, name string, content []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, bytes.NewReader(content)); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

// want checks that an object has that content.
func want(t *testing.T, s vault.Store, name string, content []byte) {
	t.Helper()
	if size, err := s.Size(t.Context(), name); err != nil || size != int64(len(content)) {
		t.Errorf("size of %s: %d, %v, want %d", name, size, err, len(content))
	}
	b := make([]byte, len(content))
	n, err := s.ReadAt(t.Context(), name, b, 0)
	if n != len(b) || err != nil && err != io.EOF || !bytes.Equal(b, content) {
		t.Errorf("read %s: %d bytes, %v, the same: %v", name, n, err, bytes.Equal(b, content))
	}
}

// wantNone checks that an object isn't there in any way.
func wantNone(t *testing.T, s vault.Store, name string) {
	t.Helper()
	if _, err := s.Size(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("size of %s: %v", name, err)
	}
	if n, err := s.ReadAt(t.Context(), name, make([]byte, 1), 0); n != 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read %s: %d bytes, %v", name, n, err)
	}
	if names := all(t, s, ""); slices.Contains(names, name) {
		t.Errorf("%s is listed", name)
	}
}

func all(t *testing.T, s vault.Store, prefix string) (names []string) {
	t.Helper()
	err := s.List(t.Context(), prefix, func(name string, _ int64) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Errorf("list %q: %v", prefix, err)
	}
	return names
}

// pattern is content that differs from place to place.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*31 ^ byte(i>>16)*17 ^ seed
	}
	return b
}

func createOnce(t *testing.T, s vault.Store) {
	wantNone(t, s, "machines/a/x")
	put(t, s, "machines/a/x", []byte("first"))
	for _, content := range []string{"first", "second", ""} {
		if err := s.Put(t.Context(), "machines/a/x", strings.NewReader(content)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("put again: %v", err)
		}
	}
	want(t, s, "machines/a/x", []byte("first"))
}

func sizes(t *testing.T, s vault.Store) {
	for _, n := range []int{0, 1, 4095, 4096, 1<<20 - 1, 1 << 20, 5<<20 + 3} {
		name := fmt.Sprintf("size/%d", n)
		put(t, s, name, pattern(n, 1))
		want(t, s, name, pattern(n, 1))
	}
}

func ranges(t *testing.T, s vault.Store) {
	const size = 100_000
	content := pattern(size, 2)
	put(t, s, "r", content)
	for _, r := range []struct {
		off int64
		len int
		n   int
		eof bool // must be said; at the exact end it may be
	}{
		{0, 10, 10, false}, {0, size, size, false}, {70_000, 10, 10, false}, {size - 1, 1, 1, false},
		{size - 1, 2, 1, true}, {size, 1, 0, true}, {size + 10, 1, 0, true}, {0, size + 1, size, true}, {50, 0, 0, false},
	} {
		p := make([]byte, r.len)
		n, err := s.ReadAt(t.Context(), "r", p, r.off)
		bad := err != nil && err != io.EOF || r.eof && err != io.EOF || n < r.len && err == nil
		if n != r.n || bad || n > 0 && !bytes.Equal(p[:n], content[r.off:][:n]) {
			t.Errorf("%d bytes from %d: %d, %v", r.len, r.off, n, err)
		}
	}
	if n, err := s.ReadAt(t.Context(), "r", make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("before the beginning: %d, %v", n, err)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			p := make([]byte, 1000)
			off := i * 6000
			if n, err := s.ReadAt(context.Background(), "r", p, int64(off)); n != len(p) || !bytes.Equal(p, content[off:][:len(p)]) {
				t.Errorf("at once with others: %d, %v", n, err)
			}
		})
	}
	wg.Wait()
}

func race(t *testing.T, s vault.Store) {
	for round := range 10 {
		name := fmt.Sprintf("race/%d", round)
		errs := make([]error, 16)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = s.Put(context.Background(), name, bytes.NewReader(pattern(10_000, byte(i)))) })
		}
		wg.Wait()
		var winners []int
		for i, err := range errs {
			if err == nil {
				winners = append(winners, i)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Errorf("a loser's error: %v", err)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("%s was created by %v", name, winners)
		}
		want(t, s, name, pattern(10_000, byte(winners[0])))
	}
}

// A body whose content is handed out in parts, with something done before each.
type body struct {
	*bytes.Reader
	before func(left int) error
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.before(b.Len()); err != nil {
		return 0, err
	}
	return b.Reader.Read(p[:min(len(p), 1000)])
}

func failingBody(t *testing.T, s vault.Store) {
	broken := errors.New("broken")
	for _, at := range []int{3000, 1000, 0} { // bytes left
		b := &body{bytes.NewReader(pattern(3000, 3)), func(left int) error {
			if left == at {
				return broken
			}
			return nil
		}}
		if err := s.Put(t.Context(), "f/x", b); !errors.Is(err, broken) {
			t.Errorf("put of a body that breaks with %d bytes left: %v", at, err)
		}
		wantNone(t, s, "f/x")
	}
	put(t, s, "f/x", []byte("good"))
	want(t, s, "f/x", []byte("good"))
	if names := all(t, s, ""); len(names) != 1 {
		t.Errorf("there are %q", names)
	}
}

func cancelled(t *testing.T, s vault.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	b := &body{bytes.NewReader(pattern(3000, 3)), func(left int) error {
		if left < 2000 {
			cancel()
		}
		return nil
	}}
	if err := s.Put(ctx, "c/x", b); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	wantNone(t, s, "c/x")
	if _, err := s.ReadAt(ctx, "c/x", make([]byte, 1), 0); !errors.Is(err, context.Canceled) && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
}

// halfWritten looks at the store while an object is being written.
func halfWritten(t *testing.T, s vault.Store) {
	content := pattern(3000, 4)
	b := &body{bytes.NewReader(content), func(int) error {
		wantNone(t, s, "h/x")
		if names := all(t, s, ""); len(names) != 0 {
			t.Errorf("while writing there are %q", names)
		}
		return nil
	}}
	if err := s.Put(t.Context(), "h/x", b); err != nil {
		t.Fatal(err)
	}
	want(t, s, "h/x", content)
}

func list(t *testing.T, s vault.Store) {
	names := []string{"a", "a-b/x", "a.b", "a/b", "a/b-c", "a/b.d/e", "a/c/d", "a0", "b/00/1", "b/00/2", "b/01/0", "c/.hidden"}
	for i, name := range names {
		if name == "a" {
			continue // in a directory it would be in a/b's way
		}
		put(t, s, name, make([]byte, i))
	}
	names = names[1:]
	for _, prefix := range []string{"", "a", "a/", "a/b", "a-", "b/0", "b/00", "b/00/", "b/00/2", "b/00/2x", "z", "z/y/x", "c/."} {
		var expect []string
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				expect = append(expect, name)
			}
		}
		slices.Sort(expect)
		if got := all(t, s, prefix); !slices.Equal(got, expect) {
			t.Errorf("list %q: %q, want %q", prefix, got, expect)
		}
	}
	err := s.List(t.Context(), "", func(name string, size int64) error {
		if i := slices.Index(names, name) + 1; size != int64(i) {
			t.Errorf("%s is listed with %d bytes, it has %d", name, size, i)
		}
		_, err := s.Size(t.Context(), name) // the store can be used meanwhile
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func listStops(t *testing.T, s vault.Store) {
	for i := range 10 {
		put(t, s, fmt.Sprintf("l/%d", i), nil)
	}
	enough, n := errors.New("enough"), 0
	err := s.List(t.Context(), "", func(string, int64) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 3 {
		t.Errorf("after %d objects: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.List(ctx, "", func(string, int64) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// level is for stores that list level by level.
func level(t *testing.T, s vault.Store) {
	h, ok := s.(vault.Hierarchy)
	if !ok {
		t.Skip("the store does not list level by level")
	}
	for _, name := range []string{"a.json", "a/b/c", "a/b/d/e", "a/b.x", "a/b-x/y", "a/c", "b/00/1", "b/00/2", "b/01/0", "c/.hidden"} {
		put(t, s, name, make([]byte, len(name)))
	}
	for prefix, want := range map[string][]string{"": {"a.json", "a/", "b/", "c/"}, "a/": {"a/b-x/", "a/b.x", "a/b/", "a/c"}, "a/b/": {"a/b/c", "a/b/d/"},
		"b/": {"b/00/", "b/01/"}, "b/00/": {"b/00/1", "b/00/2"}, "c/": {"c/.hidden"}, "z/": nil, "a/b/c/": nil} {
		var got []string
		err := h.Level(t.Context(), prefix, func(name string, size int64) error {
			if got = append(got, name); size != int64(len(name)) && !strings.HasSuffix(name, "/") || size != -1 && strings.HasSuffix(name, "/") {
				t.Errorf("%s is listed with %d bytes", name, size)
			}
			_, err := s.Size(t.Context(), "a/c") // the store can be used meanwhile
			return err
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("level %q: %q, %v, want %q", prefix, got, err, want)
		}
	}
	enough, n := errors.New("enough"), 0
	err := h.Level(t.Context(), "a/", func(string, int64) error {
		if n++; n == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 2 {
		t.Errorf("after %d names: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Level(ctx, "", func(string, int64) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, prefix := range []string{"../", "/", "a/../", "\x00/"} {
		_ = h.Level(t.Context(), prefix, func(name string, _ int64) error {
			t.Errorf("level %q: %q", prefix, name)
			return nil
		})
	}
}

func remove(t *testing.T, s vault.Store) {
	if err := s.Remove(t.Context(), "d/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing nothing: %v", err)
	}
	put(t, s, "d/x", []byte("old"))
	want(t, s, "d/x", []byte("old"))
	if err := s.Remove(t.Context(), "d/x"); err != nil {
		t.Error(err)
	}
	wantNone(t, s, "d/x")
	put(t, s, "d/x", []byte("new"))
	want(t, s, "d/x", []byte("new"))
}

func hostileNames(t *testing.T, s vault.Store) {
	for _, name := range []string{"", ".", "..", "../x", "a/../x", "a/..", "/x", "x/", "a//x", "./x", "X", "a\\x", "a:x", "a x", "a\nx", "a\x00x",
		"\xff", "ä", ".tmp-x", "a/.tmp-x", "x.", strings.Repeat("x", 200), "a/" + strings.Repeat("y/", 120) + "x"} {
		_, errSize := s.Size(t.Context(), name)
		_, errRead := s.ReadAt(t.Context(), name, make([]byte, 1), 0)
		for what, err := range map[string]error{"put": s.Put(t.Context(), name, strings.NewReader("x")), "size": errSize, "read": errRead,
			"remove": s.Remove(t.Context(), name)} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s of %q: %v", what, name, err)
			}
		}
	}
	if names := all(t, s, ""); len(names) != 0 {
		t.Errorf("there are %q", names)
	}
	for _, prefix := range []string{"..", "../", "/", "a/../", "\x00"} {
		if names := all(t, s, prefix); len(names) != 0 {
			t.Errorf("list %q: %q", prefix, names)
		}
	}
}
