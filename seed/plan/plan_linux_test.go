package plan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"filippo.io/age"

	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/pack/index"
	"waybill/internal/save"
	"waybill/internal/source"
	"waybill/manifest"
)

// nowhere is a destination that keeps nothing.
type nowhere struct{}

func (nowhere) Create(manifest.Class) (pack.Target, error)       { return nowhere{}, nil }
func (nowhere) Publish(context.Context, save.Commit) error       { return nil }
func (nowhere) Write(p []byte) (int, error)                      { return len(p), nil }
func (nowhere) Commit(manifest.Pack) error                       { return nil }
func (nowhere) Abort()                                           {}
func (nowhere) Of(manifest.Class) pack.Known                     { return nowhere{} }
func (nowhere) Has(index.Key) bool                               { return false }
func (nowhere) Committed(manifest.Digest, []pack.Finished) error { return nil }

// seedOf is what a seed of the roots stores, by the engine.
func seedOf(t *testing.T, roots ...string) int64 {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	cutter, err := cut.New([32]byte{2}, cut.Params{})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := manifest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	r, err := save.Run(t.Context(), save.Config{Roots: roots, Destination: nowhere{}, Known: nowhere{}, Tool: "test", Level: pack.Fastest,
		Writer: save.Writer{Vault: "0a000000-0000-4000-8000-000000000001", Machine: "0b000000-0000-4000-8000-000000000002",
			Recovery: id.Recipient(), Catalogue: id.Recipient(), Signer: signer, Cutter: cutter}})
	if err != nil {
		t.Fatal(err)
	}
	return r.StoredBytes()
}

// write makes a file and what leads to it.
func write(t *testing.T, name string, b []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// text is words, some much more often than others.
func text(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		f := r.Float64()
		b = append(strconv.AppendUint(b, uint64(f*f*f*5000)*2654435761%100000, 36), ' ')
	}
	return b[:n]
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

// The corpora are like those of the benchmark, but small.

func mixed(t *testing.T, dir string) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 120 {
		d := filepath.Join(dir, fmt.Sprint(i%12))
		switch i % 4 {
		case 0:
			write(t, filepath.Join(d, fmt.Sprint("library", i)), append(noise(r, 100<<10), text(r, 150<<10)...))
		case 1:
			write(t, filepath.Join(d, fmt.Sprint("archive", i)), noise(r, 60<<10))
		default:
			write(t, filepath.Join(d, fmt.Sprint("source", i)), text(r, 2000+r.IntN(120<<10)))
		}
	}
	big := noise(r, 3<<19)
	write(t, filepath.Join(dir, "3/big"), big)
	write(t, filepath.Join(dir, "9/copy of big"), big)
	err := errors.Join(os.Link(filepath.Join(dir, "3/big"), filepath.Join(dir, "7 the same")), os.Symlink("big", filepath.Join(dir, "3/link")))
	if err == nil {
		err = os.Truncate(filepath.Join(dir, "9/copy of big"), 20<<20) // a hole follows
	}
	if err != nil {
		t.Fatal(err)
	}
}

func small(t *testing.T, dir string) {
	r := rand.New(rand.NewPCG(2, 1))
	for i := range 1500 {
		write(t, filepath.Join(dir, fmt.Sprint(i/500), fmt.Sprint(i/50), fmt.Sprint("file-", i)), text(r, 100+r.IntN(8000)))
	}
}

func database(t *testing.T, dir string) {
	r := rand.New(rand.NewPCG(3, 1))
	var b []byte
	for range 800 {
		page := make([]byte, 8<<10)
		copy(page[24:], noise(r, 1000+r.IntN(500)))
		copy(page[3000:], text(r, 5000))
		b = append(b, page...)
	}
	write(t, filepath.Join(dir, "table.db"), b)
}

func TestStored(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*testing.T, string)
		kept []int // blocks; 0 for all
	}{{"mixed", mixed, []int{0, 4}}, {"small", small, []int{2}}, {"database", database, []int{2}}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(t, dir)
			want := seedOf(t, dir)
			for _, blocks := range c.kept {
				o := &Options{Roots: []string{dir}, blocks: blocks, Random: 1}
				s, err := Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				off := float64(s.Stored.Value)/float64(want) - 1
				t.Logf("%.1f %% off, of %d; %+v", 100*off, want, *s)
				if off < -0.1 || off > 0.1 || blocks > 0 && s.Sampled > s.Bytes.Value*9/10 || s.Rate <= 0 {
					t.Errorf("%d blocks: %+v, the seed has %d", blocks, *s, want)
				}
				if o.Sampled.Load() != s.Sampled || o.Bytes.Load() != s.Bytes.Value || s.Bytes.Error != 0 {
					t.Error("progress: ", o.Sampled.Load(), o.Bytes.Load())
				}
			}
		})
	}
}

// Large files that are there many times, with few samples.
func TestCopies(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(4, 1))
	for i := range 4 {
		b := noise(r, 1<<20)
		for k := range 4 {
			write(t, filepath.Join(dir, fmt.Sprint(k), fmt.Sprint("f", i)), b)
		}
	}
	s, err := Run(t.Context(), &Options{Roots: []string{dir}, blocks: 2})
	if err != nil {
		t.Fatal(err)
	}
	if s.Bytes.Value != 16<<20 || s.Duplicate.Value != 12<<20 || s.Stored.Value < 4<<20 || s.Stored.Value > 4<<20+64<<10 {
		t.Errorf("%+v", s)
	}
}

func TestSelection(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/one", "a/b/two", "a/b/c/three", "a/x.tmp", "a/skip/four", "other/five", "a/b/-\xff"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	at := func(names ...string) (all []string) {
		for _, n := range names {
			all = append(all, filepath.Join(dir, n))
		}
		return all
	}
	for _, c := range []struct {
		name  string
		o     *Options
		files int64
	}{
		{"all", &Options{Roots: at("")}, 7},
		{"excludes", &Options{Roots: at("a"), Excludes: []string{"*.tmp", "b/c"}, Skip: at("a/skip")}, 3},
		{"two roots, one in the other", &Options{Roots: at("a/b", "a", "a/b/../b")}, 6},
		{"a file", &Options{Roots: at("a/one", "other")}, 2},
		{"an excluded root", &Options{Roots: at("a/x.tmp", "other"), Excludes: []string{"*.tmp"}}, 1},
		{"a sample of few directories is all", &Options{Roots: at(""), Sample: true}, 7},
		{"nothing", &Options{Roots: at("a/skip"), Excludes: []string{"four"}}, 0},
		{"one file system", &Options{Roots: at(""), OneFileSystem: true}, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Run(t.Context(), c.o)
			if err != nil {
				t.Fatal(err)
			}
			if s.Files.Value != c.files || s.Files.Error != 0 || s.Unreadable != 0 || s.Walked != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
	if _, err := Run(t.Context(), &Options{Roots: at("none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Run(t.Context(), &Options{Roots: at("a"), Excludes: []string{"["}}); err == nil {
		t.Error("a bad pattern was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, &Options{Roots: at("a")}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What can't be read is told, and taken to be as large as it is.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	o := &Options{Roots: []string{dir}}
	m, err := newMeter(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "f"), 0o755); err != nil { // it was a file when it was looked at
		t.Fatal(err)
	}
	s := newStratum(o)
	for _, name := range []string{"f", "gone"} {
		s.bytes += 100
		s.blocks.add(file{dir, name, 100})
	}
	ratio, variance, err := s.ratio(m)
	if ratio != 1 || variance == 0 || err != nil || m.failed != 1 || !errors.Is(m.first, source.ErrReplaced) {
		t.Error(ratio, variance, err, m.failed, m.first)
	}
}

// A part of many directories stands for all, and the error says how well.
func TestSample(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(5, 1))
	var files, bytes int64
	for i := range 2100 {
		for k := range 1 + r.IntN(2) {
			n := 1 + r.IntN(200)
			files, bytes = files+1, bytes+int64(n)
			write(t, filepath.Join(dir, fmt.Sprint(i%50), fmt.Sprint(i), fmt.Sprint(k)), make([]byte, n))
		}
	}
	s, err := Run(t.Context(), &Options{Roots: []string{dir}, Sample: true, Random: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		e    Estimate
		want int64
	}{"files": {s.Files, files}, "bytes": {s.Bytes, bytes}} {
		if off := c.e.Value - c.want; c.e.Error == 0 || c.e.Error > c.want/4 || max(off, -off) > 2*c.e.Error {
			t.Errorf("%d %s: %+v", c.want, name, c.e)
		}
	}
	if s.Walked < 0.05 || s.Walked > 0.2 {
		t.Errorf("%+v", s)
	}
}

// Corpora that are too large for a test are given by hand: the estimates are compared with the engine's work.
func TestGiven(t *testing.T) {
	root := os.Getenv("WAYBILL_PLAN_CORPUS")
	if root == "" {
		t.Skip("WAYBILL_PLAN_CORPUS names no directory: the corpora of `just bench` are gigabytes, TestStored has small ones like them")
	}
	want := seedOf(t, root)
	for i := range 4 {
		s, err := Run(t.Context(), &Options{Roots: []string{root}, Random: uint64(i), Sample: i == 3})
		if err != nil {
			t.Fatal(err)
		}
		off := 100 * (float64(s.Stored.Value)/float64(want) - 1)
		t.Logf("%.1f %% off of %d: %+v", off, want, *s)
		if i < 3 && max(off, -off) > 10 { // a sample of directories has an error of its own
			t.Errorf("the estimate is %.1f %% off", off)
		}
	}
}
