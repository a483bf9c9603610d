package manifest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A counted tree counts the requests that a store would see.
type counted struct {
	tree
	mu        sync.Mutex // guards what follows
	reads     map[string]int
	sizes     int
	lists     int
	now, most int // reads at once
	wait      int // so many wait for each other
	open      chan struct{}
}

func (c *counted) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	c.mu.Lock()
	if c.reads == nil {
		c.reads = map[string]int{}
	}
	c.reads[name]++
	c.now++
	if c.most = max(c.most, c.now); c.now == c.wait {
		close(c.open)
		c.wait = 0
	}
	c.mu.Unlock()
	if c.open != nil {
		<-c.open
	}
	n, err := c.tree.ReadAt(ctx, name, p, off)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	return n, err
}

func (c *counted) Size(ctx context.Context, name string) (int64, error) {
	c.sizes++
	return c.tree.Size(ctx, name)
}

func (c *counted) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	c.lists++
	return c.tree.List(ctx, prefix, each)
}

// read is the numbers of the manifests that were read.
func (c *counted) read() (seqs []int) {
	for name := range c.reads {
		if _, seq, ok := ParseManifestName(name); ok {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

// A chain costs a listing and two reads a commit, many at once.
func TestReadChainRequests(t *testing.T) {
	r, machine, _ := domain(t, 50)
	c := &counted{tree: r, wait: readers, open: make(chan struct{})}
	chain, err := ReadChain(t.Context(), c, machine)
	if err != nil || len(chain.Links) != 50 {
		t.Fatalf("%d links, %v", len(chain.Links), err)
	}
	reads := 0
	for _, n := range c.reads {
		reads += n
	}
	if reads != 100 || c.sizes != 0 || c.lists != 1 || c.most != readers {
		t.Errorf("%d reads, at most %d at once, %d sizes, %d lists", reads, c.most, c.sizes, c.lists)
	}
}

// known are all links of a chain.
func known(t testing.TB, r Reader, m *Machine) map[int]Known {
	t.Helper()
	c, err := ReadChain(t.Context(), r, m)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]Known{}
	for _, l := range c.Links {
		b, err := l.Manifest.Encode()
		if err != nil {
			t.Fatal(err)
		}
		all[l.Manifest.Sequence] = Known{l, int64(len(b))}
	}
	return all
}

// What is known is not read again, unless the listing speaks against it: whatever happened to the vault that
// shows in its names and sizes is seen.
func TestReadingKnown(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(r tree, s *Signer)
		read    []int
		links   []int
		missing []int
		err     error
	}{
		"nothing new": {func(tree, *Signer) {}, nil, []int{1, 2, 3, 4, 5}, nil, nil},
		"set back":    {func(r tree, _ *Signer) { r.drop(5); r.drop(4) }, nil, []int{1, 2, 3}, nil, nil},
		"one is gone": {func(r tree, _ *Signer) { r.drop(2) }, nil, []int{1, 3, 4, 5}, []int{2}, nil},
		"the signature is gone": {func(r tree, _ *Signer) {
			delete(r, SignatureName(machineID, 2, Sum(r[ManifestName(machineID, 2)])))
		}, []int{2}, []int{1, 3, 4, 5}, []int{2}, ErrSignature},
		"cut": {func(r tree, _ *Signer) { r[ManifestName(machineID, 3)] = r[ManifestName(machineID, 3)][:9] }, []int{3}, []int{1, 2, 4, 5}, []int{3}, ErrSignature},
		"forked": {func(r tree, s *Signer) {
			m, _ := Parse(r[ManifestName(machineID, 5)])
			r.drop(5)
			m.Tool = strings.ToUpper(m.Tool) // as long as the other
			r.add(t, s, m)
		}, []int{5}, []int{1, 2, 3, 4, 5}, nil, nil},
		"forked before what is known": {func(r tree, s *Signer) {
			m, _ := Parse(r[ManifestName(machineID, 3)])
			r.drop(3)
			m.Tool = strings.ToUpper(m.Tool)
			r.add(t, s, m)
		}, []int{3}, []int{1, 2, 3, 5}, []int{4}, ErrChain},
		"the other's signature only": {func(r tree, s *Signer) {
			b := bytes.ToUpper(r[ManifestName(machineID, 4)])
			r[SignatureName(machineID, 4, Sum(b))] = mustSign(t, s, b)
		}, []int{4}, []int{1, 2, 3, 4, 5}, nil, nil},
		"one more": {func(r tree, s *Signer) {
			m := first()
			m.Sequence, m.Previous = 6, Sum(r[ManifestName(machineID, 5)])
			r.add(t, s, m)
		}, []int{6}, []int{1, 2, 3, 4, 5, 6}, nil, nil},
		"one more that does not follow": {func(r tree, s *Signer) {
			m := first()
			m.Sequence, m.Previous = 6, Digest{9}
			r.add(t, s, m)
		}, []int{6}, []int{1, 2, 3, 4, 5}, nil, ErrChain},
	} {
		r, machine, s := domain(t, 5)
		k := known(t, r, machine)
		test.change(r, s)
		c := &counted{tree: r}
		chain, err := Reading{Known: k}.Chain(t.Context(), c, machine)
		if !errors.Is(err, test.err) || !slices.Equal(numbers(chain), test.links) || !slices.Equal(chain.Missing, test.missing) || !slices.Equal(c.read(), test.read) {
			t.Errorf("%s: %v, missing %v, %v, read %v", name, numbers(chain), chain.Missing, err, c.read())
		}
	}
}

// What is known of another machine or vault is not taken.
func TestReadingKnownOfOthers(t *testing.T) {
	r, machine, _ := domain(t, 2)
	k := known(t, r, machine)
	other := *machine
	other.Vault = setID
	if chain, err := (Reading{Known: k}).Chain(t.Context(), r, &other); !errors.Is(err, ErrFormat) || len(chain.Links) > 0 {
		t.Errorf("%v, %v", numbers(chain), err)
	}
}

func TestReadingFrom(t *testing.T) {
	r, machine, _ := domain(t, 6)
	r.drop(2)
	r.drop(5)
	r[ManifestName(machineID, 3)][100] ^= 1 // nobody looks
	c := &counted{tree: r}
	chain, err := Reading{From: 4}.Chain(t.Context(), c, machine)
	if err != nil || !slices.Equal(numbers(chain), []int{4, 6}) || !slices.Equal(chain.Missing, []int{2, 5}) || !slices.Equal(c.read(), []int{4, 6}) {
		t.Errorf("%v, missing %v, %v, read %v", numbers(chain), chain.Missing, err, c.read())
	}
	chain, err = Reading{From: 7}.Chain(t.Context(), r, machine)
	if err != nil || !slices.Equal(numbers(chain), []int{6}) || !slices.Equal(chain.Missing, []int{2, 5}) {
		t.Errorf("behind the last: %v, missing %v, %v", numbers(chain), chain.Missing, err)
	}
	chain, err = Reading{From: 7}.Chain(t.Context(), tree{}, machine)
	if err != nil || chain.Last() != nil || len(chain.Missing) > 0 {
		t.Errorf("of none: %v, missing %v, %v", numbers(chain), chain.Missing, err)
	}
}

// A document is one request, and what is longer than documents are is three.
func TestReadObjectRequests(t *testing.T) {
	for _, n := range []int{0, 1, probe - 1, probe, probe + 1, 3 * probe} {
		c := &counted{tree: tree{"x": bytes.Repeat([]byte("x"), n)}}
		b, err := ReadObject(t.Context(), c, "x", 3*probe)
		want := map[string]int{"x": 1}
		if n > probe {
			want["x"] = 2
		}
		if err != nil || len(b) != n || !maps.Equal(c.reads, want) || c.sizes > want["x"] {
			t.Errorf("%d bytes: %d, %v, %v, %d sizes", n, len(b), err, c.reads, c.sizes)
		}
		if n > 0 {
			if _, err := ReadObject(t.Context(), c, "x", int64(n)-1); !errors.Is(err, ErrFormat) {
				t.Errorf("%d bytes, one less is allowed: %v", n, err)
			}
		}
	}
}

func BenchmarkReadChain(b *testing.B) {
	r, machine, _ := domain(b, 1000)
	all := known(b, r, machine)
	for name, g := range map[string]Reading{"read": {}, "known": {Known: all}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c, err := g.Chain(context.Background(), r, machine); err != nil || len(c.Links) != 1000 {
					b.Fatal(len(c.Links), err)
				}
			}
		})
	}
}

// A Reader that can't list level by level is listed as a whole.
func TestLevel(t *testing.T) {
	r := tree{"a.json": nil, "a/b": nil, "a/c/1": nil, "a/c/2": nil, "b": nil}
	for prefix, want := range map[string][]string{"": {"a.json", "a/", "b"}, "a/": {"a/b", "a/c/"}, "z/": nil} {
		var got []string
		err := Level(t.Context(), r, prefix, func(name string, _ int64) error {
			got = append(got, name)
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", prefix, got, err)
		}
	}
}
