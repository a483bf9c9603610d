package domain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// A seed on a disk, incrementals in the vault: together they are the whole chain.
func TestUnion(t *testing.T) {
	m := newMachine(t)
	disk, vault := newObjects(), newObjects()
	all := append(m.days(disk, 2), m.days(vault, 2)...)
	maps.Copy(vault.m, only(disk.m, "/manifests/")) // a seed's manifest goes ahead by wire
	for name, stores := range map[string][]Store{"disk first": {disk, vault}, "vault first": {vault, disk}} {
		d := m.open("", stores...)
		if len(d.Chain.Links) != 4 || len(d.Chain.Missing) != 0 {
			t.Fatalf("%s: %d links, %v missing", name, len(d.Chain.Links), d.Chain.Missing)
		}
		for i, c := range all {
			if err := c.read(t.Context(), d); err != nil {
				t.Errorf("%s: point %d: %v", name, i, err)
			}
		}
	}

	// Without the disk the seed's packs are missing, and what came after it is there.
	d := m.open("", vault)
	missing, err := d.CoverData(t.Context())
	if want := len(all[0].packs[manifest.Data]) + len(all[1].packs[manifest.Data]); err != nil || len(missing) != want {
		t.Errorf("%d packs are missing, not %d, %v", len(missing), want, err)
	}
	if err := all[0].read(t.Context(), d); err == nil {
		t.Error("a point is read without its packs")
	}
	if _, err := d.Resolve(t.Context(), all[3].id.String()); err != nil {
		t.Errorf("the last point: %v", err)
	}
	points := d.Points(t.Context())
	for i, p := range points {
		if (p.Err == nil) != (i >= 2) || (p.Point != nil) != (i >= 2) || p.Digest != all[i].id {
			t.Errorf("point %d: %v", i, p.Err)
		}
	}

	// The disk's manifests were not sent ahead.
	bare := newObjects()
	bare.m = maps.Clone(vault.m)
	for name := range only(disk.m, "/manifests/") {
		delete(bare.m, name)
	}
	if d := m.open("", bare); len(d.Chain.Links) != 2 || !slices.Equal(d.Chain.Missing, []int{1, 2}) {
		t.Errorf("%d links, %v missing", len(d.Chain.Links), d.Chain.Missing)
	}
}

func only(m map[string][]byte, part string) map[string][]byte {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(name string, _ []byte) bool { return !strings.Contains(name, part) })
	return m
}

func TestResolve(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 3) // of November 2nd to 4th, at noon
	partial := m.commit(vault, catalog.PartialState, map[string][]byte{"half": []byte("half")})
	d := m.open("", vault)
	for spec, want := range map[string]*commit{
		all[0].id.String():                  &all[0],
		all[1].id.String()[:10]:             &all[1],
		strings.ToUpper(all[1].id.String()): &all[1],
		partial.id.String():                 &partial,
		"latest":                            &all[2],
		"2026-11-03T12:00:00Z":              &all[1],
		"2026-11-03T11:59:59Z":              &all[0],
		"2026-11-03T13:30:00+02:00":         &all[0],
		"2026-11-03 23:00":                  &all[1],
		"2026-11-04":                        &all[2],
		"2030-01-01":                        &all[2],
		"2026-11-01T00:00:00Z":              nil,
		"":                                  nil,
		"yesterday":                         nil,
		all[0].id.String()[:3]:              nil, // too short to mean anything
		strings.Repeat("0", 64):             nil,
		all[0].id.String() + "0":            nil,
	} {
		p, err := d.Resolve(t.Context(), spec)
		if want == nil {
			if !errors.Is(err, ErrNoPoint) || p != nil {
				t.Errorf("%q: %v", spec, err)
			}
			continue
		}
		if err != nil || p.Digest != want.id {
			t.Errorf("%q: %v", spec, err)
		}
	}
	if last, err := d.Last(t.Context()); err != nil || last.Digest != partial.id || last.State != catalog.PartialState {
		t.Errorf("the last point: %+v, %v", last, err)
	}
}

// A prefix that several ids have names none of them.
func TestResolveAmbiguousPrefix(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 2)
	d := m.open("", vault)
	twin := d.Chain.Links[1]
	twin.Digest = d.Chain.Links[0].Digest
	twin.Digest[31]++
	d.Chain.Links[1] = twin
	if _, err := d.Resolve(t.Context(), all[0].id.String()[:60]); !errors.Is(err, ErrNoPoint) || !strings.Contains(err.Error(), "several") {
		t.Errorf("two ids have that prefix: %v", err)
	}
	if p, err := d.Resolve(t.Context(), all[0].id.String()); err != nil || p.Digest != all[0].id {
		t.Errorf("the whole id: %v", err)
	}
}

func TestEmptyChain(t *testing.T) {
	m := newMachine(t)
	d := m.open("", newObjects())
	if last, err := d.Last(t.Context()); last != nil || err != nil {
		t.Errorf("%v, %v", last, err)
	}
	if _, err := d.Resolve(t.Context(), "latest"); !errors.Is(err, ErrNoPoint) {
		t.Error(err)
	}
	if points := d.Points(t.Context()); len(points) != 0 {
		t.Errorf("%d points", len(points))
	}
}

// A machine reads its catalogue, and its data only with the recovery key.
func TestKeys(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	c := m.days(vault, 1)[0]
	for _, test := range []struct {
		name       string
		keys       pack.Keys
		cata, data bool
	}{
		{"both", pack.Keys{Recovery: m.recovery, Machine: m.cata}, true, true},
		{"recovery", pack.Keys{Recovery: m.recovery}, true, true},
		{"machine", pack.Keys{Machine: m.cata}, true, false},
	} {
		d, err := Open(t.Context(), []Store{vault}, m.doc, Options{Keys: test.keys, Dedupe: m.dedupe})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		_, err = d.Resolve(t.Context(), "latest")
		if (err == nil) != test.cata {
			t.Errorf("%s: the point: %v", test.name, err)
		}
		if err := c.read(t.Context(), d); (err == nil) != test.data || err != nil && !errors.Is(err, pack.ErrKey) {
			t.Errorf("%s: the data: %v", test.name, err)
		}
		temp := d.temp
		d.Close()
		if _, err := os.Stat(temp); temp == "" || !isMissing(err) {
			t.Errorf("%s: a temporary index stays in %q", test.name, temp)
		}
	}
	stranger := newMachine(t)
	if d, err := Open(t.Context(), []Store{vault}, m.doc, Options{Keys: pack.Keys{Recovery: stranger.recovery}, Dedupe: m.dedupe}); err == nil {
		if _, err = d.Resolve(t.Context(), "latest"); !errors.Is(err, pack.ErrKey) {
			t.Errorf("another vault's key: %v", err)
		}
		d.Close()
	} else if !errors.Is(err, pack.ErrKey) {
		t.Errorf("another vault's key: %v", err)
	}
}

// The index is kept, and whatever is wrong with it costs time only.
func TestIndexIsAHint(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 3)
	dir := t.TempDir()
	m.open(dir, vault).CoverData(t.Context())

	readAll := func(t *testing.T) (reads int) {
		t.Helper()
		vault.reads = 0
		d := m.open(dir, vault)
		opened := vault.reads
		for i, c := range all {
			if err := c.read(t.Context(), d); err != nil {
				t.Errorf("point %d: %v", i, err)
			}
		}
		return opened
	}
	kept := readAll(t)
	if kept != 0 {
		t.Errorf("opening with an index and remembered manifests reads %d times", kept)
	}
	segments := func(class string) []string {
		list, err := filepath.Glob(filepath.Join(dir, class, "*"))
		if err != nil || len(list) == 0 {
			t.Fatalf("no segments: %v", err)
		}
		return list
	}
	for name, spoil := range map[string]func(t *testing.T){
		"gone": func(*testing.T) { os.RemoveAll(dir) },
		"cut": func(*testing.T) {
			for _, class := range []string{"catalogue", "data"} {
				for _, f := range segments(class) {
					os.Truncate(f, 100)
				}
			}
		},
		"noise": func(*testing.T) {
			for _, class := range []string{"catalogue", "data"} {
				for _, f := range segments(class) {
					b, _ := os.ReadFile(f)
					for i := 64; i < len(b)-64; i++ { // frames, filter, entries; header and footer stay
						b[i] ^= 0x5a
					}
					os.WriteFile(f, b, 0o600)
				}
			}
		},
		"of a chain that is no more": func(t *testing.T) {
			x, err := index.Open(filepath.Join(dir, "catalogue"))
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			x.Add(strings.Repeat("ab", 32), func(put func(index.Key, index.Loc) error) error {
				return put(all[0].root.Prefix(), index.Loc{Sealed: 100, Plain: 84, Length: 84})
			})
		},
		"wrong, under a right name": func(t *testing.T) {
			x, err := index.Open(filepath.Join(dir, "catalogue"))
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			x.Retain(func(string) bool { return false })
			for _, c := range all {
				err = errors.Join(err, x.Add(c.id.String(), func(put func(index.Key, index.Loc) error) error {
					return put(c.root.Prefix(), index.Loc{Pack: c.id, Sealed: 100, Plain: 84, Length: 84}) // no such pack
				}))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoil(t)
			readAll(t)
		})
		m.open(dir, vault).Rebuild(t.Context())
	}
}

// What was committed is in the index at once.
func TestCommitted(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	first := m.days(vault, 1)[0]
	d := m.open(t.TempDir(), vault)
	w := pack.NewWriter(t.Context(), pack.Config{Dedupe: m.dedupe, Recovery: m.recovery.Recipient(), Machine: m.cata.Recipient(), Data: d.Of(manifest.Data),
		Create: func(manifest.Class) (pack.Target, error) { return &target{put: func(manifest.Pack, []byte) {}}, nil }})
	defer w.Close()
	d.CoverData(t.Context())
	s := w.Stream(manifest.Data)
	if _, isNew, err := s.Add(first.files["always"]); isNew || err != nil {
		t.Errorf("a chunk of the first commit is new: %v", err)
	}
	id, isNew, err := s.Add([]byte("never seen"))
	if !isNew || err != nil {
		t.Errorf("new %v, %v", isNew, err)
	}
	s.Flush()
	done, err := w.Flush()
	m.check(err)
	m.check(d.Committed(manifest.Sum([]byte("the manifest")), done))
	loc, ok := d.Locate(id)
	if !ok || loc.Pack != done[0].Name || loc.Length != uint32(len("never seen")) {
		t.Errorf("%+v", loc)
	}
}

func TestUnionOfErrors(t *testing.T) {
	ctx := t.Context()
	a, b := newObjects(), newObjects()
	a.m["x"], b.m["x"], b.m["y"], a.m["z"] = []byte("from a"), []byte("from b"), []byte("only b"), []byte("only a")
	u := union{a, b}
	p := make([]byte, 6)
	read := func(name string) string {
		n, err := u.ReadAt(ctx, name, p, 0)
		if err != nil {
			return err.Error()
		}
		return string(p[:n])
	}
	if got := read("x") + read("y") + read("z"); got != "from aonly bonly a" {
		t.Error(got)
	}
	if _, err := u.ReadAt(ctx, "none", p, 0); !isMissing(err) {
		t.Error(err)
	}
	if _, err := u.Size(ctx, "none"); !isMissing(err) {
		t.Error(err)
	}
	if n, err := u.ReadAt(ctx, "x", make([]byte, 10), 0); n != 6 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	var names []string
	u.List(ctx, "", func(name string, size int64) error {
		names = append(names, fmt.Sprint(name, size))
		return nil
	})
	if !slices.Equal(names, []string{"x6", "y6", "z6"}) {
		t.Error(names)
	}
	// One that can't read is no reason not to ask the next, and its error is not "not there".
	a.fails = func(string) error { return errBoom }
	if got := read("x"); got != "from b" {
		t.Error(got)
	}
	if _, err := u.ReadAt(ctx, "z", p, 0); !errors.Is(err, errBoom) || isMissing(err) {
		t.Error(err)
	}
}

// What is broken of a chain is told; the rest is read.
func TestBadManifests(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 3)
	open := func() error {
		d, err := Open(t.Context(), []Store{vault}, m.doc, Options{Keys: pack.Keys{Recovery: m.recovery}, Dedupe: m.dedupe})
		if err != nil {
			return err
		}
		defer d.Close()
		if points := d.Points(t.Context()); d.Flaw != nil && (len(points) != 2 || points[0].Err != nil) {
			t.Errorf("of three points, one of them broken, these can be read: %v", points)
		}
		return d.Flaw
	}
	name := manifest.ManifestName(m.doc.Machine, 2)
	sig := manifest.SignatureName(m.doc.Machine, 2, all[1].id)
	good, goodSig := vault.m[name], vault.m[sig]
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	vault.m[name] = bad
	if err := open(); !errors.Is(err, manifest.ErrSignature) {
		t.Errorf("a flipped manifest: %v", err)
	}
	vault.m[name] = good
	delete(vault.m, sig)
	if err := open(); !errors.Is(err, manifest.ErrSignature) {
		t.Errorf("no signature: %v", err)
	}
	vault.m[sig] = goodSig
	if err := open(); err != nil {
		t.Error(err)
	}
	vault.fails = func(string) error { return fs.ErrPermission }
	if err := open(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an unreadable vault: %v", err)
	}
}

// Readers and rebuilds do not disturb one another.
func TestConcurrent(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	all := m.days(vault, 3)
	d := m.open(t.TempDir(), vault)
	d.CoverData(t.Context())
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for k := range 10 {
				if err := all[(i+k)%3].read(t.Context(), d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCancelled(t *testing.T) {
	m := newMachine(t)
	vault := newObjects()
	m.days(vault, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, []Store{vault}, m.doc, Options{Dedupe: m.dedupe}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
