package ingest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"waybill/internal/durable"
	"waybill/internal/fault"
	"waybill/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A recorder notes the order of puts.
type recorder struct {
	Store
	mu  sync.Mutex
	log strings.Builder
}

func (r *recorder) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	err := r.Store.Put(ctx, name, body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.log.WriteString(regexp.MustCompile(`[0-9a-f]{16,}`).ReplaceAllString(name, "<digest>") + "\n")
	}
	return err
}

// TestCommitOrder pins the order in which a vault is written: what others rely on is there before it.
func TestCommitOrder(t *testing.T) {
	w := newWorld(t)
	r := &recorder{Store: w.vault}
	if _, err := Import(t.Context(), r, w.sources(1, 2), options()); err != nil {
		t.Fatal(err)
	}
	// the packs of all commits come first, in any order
	got := regexp.MustCompile(`packs/[0-9a-f]{2}/`).ReplaceAllString(r.log.String(), "packs/<aa>/")
	golden := filepath.Join("testdata", "order.golden")
	if *update {
		w.must(os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	w.must(err)
	if got != string(want) {
		t.Errorf("the vault was written in this order:\n%s", got)
	}
}

// TestVaultFails makes every operation of the vault fail once, in every way, and each time the vault
// stays away after it, as when the network does.
func TestVaultFails(t *testing.T) {
	for _, when := range fault.Moments {
		t.Run(when.String(), func(t *testing.T) {
			t.Parallel()
			for k := 1; ; k++ {
				w := newTinyWorld(t)
				script := &fault.Script{At: k, When: when, Down: true, Counts: differs(when)}
				o := options()
				o.Workers = 1
				_, err := Import(t.Context(), fault.Store{Inner: w.vault, Script: script}, w.sources(1), o)
				if !script.Tripped() {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if err == nil {
					t.Errorf("operation %d failed, and nobody noticed", k)
				}
				// what is committed is whole, at any moment
				r, err := Verify(t.Context(), Source{"vault", w.vault}, Options{})
				if err != nil {
					t.Errorf("after operation %d: %v", k, err)
				}
				for _, name := range r.Extra {
					if !strings.HasSuffix(name, ".minisig") && !strings.Contains(name, "/packs/") {
						t.Errorf("after operation %d there is %s", k, name)
					}
				}
				if _, err := Import(t.Context(), w.vault, w.sources(1), options()); err != nil {
					t.Errorf("going on after operation %d: %v", k, err)
				}
				if r, err := Verify(t.Context(), Source{"vault", w.vault}, Options{}); err != nil || r.Packs != len(w.packs) || r.Machines[0].Commits != 2 {
					t.Errorf("in the end, after operation %d: %+v, %v", k, r, err)
				}
			}
		})
	}
}

// TestSourceFails makes every operation on a disk fail once. Whatever could be read is imported, and nothing else.
func TestSourceFails(t *testing.T) {
	for _, when := range fault.Moments {
		t.Run(when.String(), func(t *testing.T) {
			t.Parallel()
			for k := 1; ; k++ {
				w := newTinyWorld(t)
				script := &fault.Script{At: k, When: when, Counts: differs(when)}
				sources := w.sources(1)
				sources[0].Reader = fault.Store{Inner: w.disks[0], Script: script}
				r, err := Import(t.Context(), w.vault, sources, options())
				if !script.Tripped() {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if err == nil && len(r.Machines[0].Warnings) == 0 {
					t.Errorf("operation %d failed, and nobody noticed", k)
				}
				var incomplete *IncompleteError
				if _, err := Verify(t.Context(), Source{"vault", w.vault}, Options{}); err != nil && !errors.As(err, &incomplete) {
					t.Errorf("after operation %d: %v", k, err)
				}
				if _, err := Import(t.Context(), w.vault, w.sources(1), options()); err != nil {
					t.Errorf("going on after operation %d: %v", k, err)
				}
				if r, err := Verify(t.Context(), Source{"vault", w.vault}, Options{}); err != nil || r.Packs != len(w.packs) {
					t.Errorf("in the end, after operation %d: %+v, %v", k, r, err)
				}
			}
		})
	}
}

// TestSourceGoes pulls a disk out at every operation on it. The other disk is imported all the same, the error tells which one is gone, a receipt
// what is missing, and with the disk back all is well.
func TestSourceGoes(t *testing.T) {
	for k := 1; ; k += 4 {
		w := newSmallWorld(t)
		sources := w.sources(1, 2)
		script := &fault.Script{At: k, When: fault.Before, Down: true}
		sources[0].Reader = fault.Store{Inner: w.disks[0], Script: script}
		r, err := Import(t.Context(), w.vault, sources, options())
		if !script.Tripped() {
			return
		}
		if r != nil { // else it was gone before anything was begun
			var gone *GoneError
			if done := r.Machines[0]; !(errors.As(err, &gone) && gone.Source == "disk1") && len(done.Warnings) == 0 || done.ReceiptName == "" || len(done.Damaged) != 0 {
				t.Errorf("operation %d: %+v, %v", k, done, err)
			}
			if rec := r.Machines[0].Receipt; len(rec.Missing) > 0 && slices.Contains(rec.Arrived, 1) {
				t.Errorf("operation %d: the receipt has disk 1 arrived, of which packs are missing that it may have: %+v", k, rec)
			}
		}
		if _, err := Import(t.Context(), w.vault, w.sources(1, 2), options()); err != nil {
			t.Errorf("going on after operation %d: %v", k, err)
		}
		w.checkVault(0)
	}
}

// small is a vault that becomes full.
type small struct {
	Store
	room atomic.Int64 // packs that it has room for
}

func (s *small) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	if strings.Contains(name, "/packs/") && s.room.Add(-1) < 0 {
		return durable.ErrFull
	}
	return s.Store.Put(ctx, name, body)
}

// A vault that is full takes what it has room for, and the rest when it has more.
func TestVaultFull(t *testing.T) {
	w := newWorld(t)
	s := &small{Store: w.vault}
	s.room.Store(3)
	if _, err := Import(t.Context(), s, w.sources(1, 2), options()); !errors.Is(err, durable.ErrFull) {
		t.Fatal(err)
	}
	r, err := Import(t.Context(), w.vault, w.sources(1, 2), options())
	if err != nil {
		t.Fatal(err)
	}
	if rec := r.Machines[0].Receipt; rec.Present > 3 || rec.Present+rec.Imported != 7 {
		t.Errorf("%+v", rec)
	}
	w.checkVault(0)
}

// differs tells the operations that fail in a way of their own at a moment. All fail before they are done.
func differs(when fault.When) func(operation, name string) bool {
	return func(operation, _ string) bool {
		switch when {
		case fault.After:
			return operation == "put" || operation == "list"
		case fault.Amid:
			return operation == "put" || operation == "read"
		}
		return true
	}
}

// newSmallWorld is newWorld with packs of a few bytes.
func newSmallWorld(t *testing.T) *world {
	w := newEmptyWorld(t)
	w.commit(2, 100)
	w.commit(1, 10)
	return w
}

// newTinyWorld is newSmallWorld with one disk.
func newTinyWorld(t *testing.T) *world {
	w := newEmptyWorld(t)
	w.disks = w.disks[:1]
	w.commit(2, 100)
	w.commit(1, 10)
	return w
}

// A store may ask for the size first, and may read again from the start.
func TestBodySeeks(t *testing.T) {
	w := newSmallWorld(t)
	p, path := w.pack(1)
	content, err := os.ReadFile(path)
	w.must(err)
	b := newBody(t.Context(), w.sources(1)[0], machineID, p, &new(Progress).Bytes)
	if n, err := b.Seek(0, io.SeekEnd); n != p.Size || err != nil {
		t.Errorf("the size: %d, %v", n, err)
	}
	for range 2 {
		if _, err := b.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content) {
			t.Errorf("it reads %d bytes, %v", len(got), err)
		}
	}
	for _, bad := range []int64{-1, p.Size + 1} {
		if _, err := b.Seek(bad, io.SeekStart); err == nil {
			t.Errorf("sought to %d", bad)
		}
	}
	if _, err := b.Seek(-5, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(make([]byte, 1)); err == nil {
		t.Error("read what was not hashed from the start")
	}
}

// The last bytes of a damaged pack are never handed out, not even to who asks for exactly its size.
func TestBodyKeepsDamageBack(t *testing.T) {
	w := newSmallWorld(t)
	p, path := w.pack(1)
	w.flip(path)
	b := newBody(t.Context(), w.sources(1)[0], machineID, p, &new(Progress).Bytes)
	got := make([]byte, p.Size)
	if n, err := io.ReadFull(b, got); n == len(got) || !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("%d of %d bytes, %v", n, len(got), err)
	}
	if _, err := b.Read(got); !errors.Is(err, manifest.ErrFormat) {
		t.Errorf("after it: %v", err)
	}
}
