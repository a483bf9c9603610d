package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/ingest/claims"
	"waybill/ingest/claims/claimstest"
	"waybill/manifest"
)

// A hand is what a worker does everything with: it can be stopped for a while, or for good, before any step and after it.
type hand struct {
	mu    sync.Mutex
	left  int           // steps until it stops; guarded by mu
	pause time.Duration // how long; 0 is for good
	dead  atomic.Bool
}

var errKilled = errors.New("killed")

// step is called before and after all that has an effect.
func (h *hand) step() error {
	h.mu.Lock()
	h.left--
	stop := h.left == 0
	h.mu.Unlock()
	if stop && h.pause > 0 {
		time.Sleep(h.pause)
	} else if stop {
		h.dead.Store(true)
	}
	if h.dead.Load() {
		return errKilled
	}
	return nil
}

func (h *hand) do(f func() error) error {
	if err := h.step(); err != nil {
		return err
	}
	err := f()
	return errors.Join(h.step(), err)
}

// A handVault is a vault as a worker reaches it; a put takes a while.
type handVault struct {
	Store
	*hand
}

func (v handVault) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	time.Sleep(rand.N(time.Minute))
	err := v.do(func() error { return v.Store.Put(ctx, name, body) })
	if errors.Is(err, errKilled) {
		return errKilled
	}
	return err
}

// A handBoard is a board's store as a worker reaches it.
type handBoard struct {
	*claimstest.Store
	*hand
}

func (b handBoard) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	return b.do(func() error { return b.Store.Put(ctx, name, body) })
}

func (b handBoard) Acquire(ctx context.Context, name, id string, d time.Duration) error {
	return b.do(func() error { return b.Store.Acquire(ctx, name, id, d) })
}

func (b handBoard) Renew(ctx context.Context, name, id string) error {
	return b.do(func() error { return b.Store.Renew(ctx, name, id) })
}

func (b handBoard) Release(ctx context.Context, name, id string) error {
	return b.do(func() error { return b.Store.Release(ctx, name, id) })
}

// worker imports as one of many, with a hand.
func (w *world) worker(t *testing.T, store *claimstest.Store, h *hand, sources ...int) (*Report, error) {
	o := options()
	o.Host = fmt.Sprintf("vault%d", rand.IntN(1000))
	o.Claims = claims.Open(handBoard{store, h}, "v/", 0)
	o.Slice = 60_000
	return Import(t.Context(), handVault{w.vault, h}, w.sources(sources...), o)
}

// An account is what many workers must come to, as one alone does.
type account struct {
	Packs                                 string // the vault's
	Receipts                              int
	Verified, Imported, Repaired, Present int
	Bytes                                 int64
	Missing, Manifests                    int
	Arrived                               string
	Logs                                  string // of the disks, in the vault
}

func (w *world) account() (a account) {
	w.t.Helper()
	ctx := context.Background()
	w.must(w.vault.List(ctx, manifest.MachinePrefix(machineID), func(name string, size int64) error {
		if strings.Contains(name, "/packs/") {
			a.Packs += fmt.Sprintln(name, size)
		}
		if !strings.Contains(name, "/receipts/") || !strings.HasSuffix(name, ".json") {
			return nil
		}
		b, err := manifest.ReadObject(ctx, w.vault, name, 1<<20)
		w.must(err)
		r, err := manifest.ParseReceipt(b)
		w.must(err)
		if a.Receipts++; r.Verified < a.Verified {
			return nil // of one who came later
		}
		a.Verified, a.Imported, a.Repaired, a.Present, a.Bytes = r.Verified, r.Imported, r.Repaired, r.Present, r.Bytes
		a.Missing, a.Manifests, a.Arrived = len(r.Missing), len(r.Manifests), fmt.Sprint(r.Arrived)
		return err
	}))
	for n := range w.disks {
		a.Logs += strings.Join(w.log(w.vault, n+1), " ") + "\n"
	}
	return a
}

// alone is what one worker makes of such a world.
func alone(t *testing.T, damage func(*world), sources ...int) account {
	w := newParityWorld(t)
	damage(w)
	if r, err := Import(t.Context(), w.vault, w.sources(sources...), options()); r == nil {
		t.Fatal(err)
	}
	return w.account()
}

func same(t *testing.T, got, want account) {
	t.Helper()
	if got != want {
		t.Errorf("many came to\n%+v\none alone to\n%+v", got, want)
	}
}

var damages = map[string]func(*world){
	"whole":   func(*world) {},
	"damaged": func(w *world) { w.flip(w.paths(1)[0]); w.must(os.Remove(w.paths(2)[1])) },
	"beyond repair": func(w *world) {
		for _, p := range w.paths(1)[:3] {
			w.flip(p)
		}
		w.flip(w.paths(2)[0])
		w.must(os.RemoveAll(filepath.Join(w.disks[2].Path(), filepath.FromSlash(manifest.ParityPrefix(machineID)))))
	},
}

// Workers that are killed and paused at any step, and others that come later, come to what one alone comes to.
func TestShared(t *testing.T) {
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("WAYBILL_ROUNDS")); err == nil {
		rounds *= n
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			want := alone(t, damage, 1, 2, 3)
			for range rounds {
				synctest.Test(t, func(t *testing.T) {
					w := newParityWorld(t)
					damage(w)
					store := claimstest.New()
					var g sync.WaitGroup
					for i := range 8 {
						h := &hand{left: 1 + rand.IntN(60)}
						if i < 2 {
							h.pause = rand.N(10 * time.Minute)
						}
						g.Go(func() {
							time.Sleep(rand.N(5 * time.Minute))
							r, err := w.worker(t, store, h, 1, 2, 3)
							if h.dead.Load() {
								return
							}
							if want.Missing == 0 && err != nil || r == nil || r.Machines[0].ReceiptName == "" || len(r.Machines[0].Receipt.Missing) != want.Missing {
								t.Errorf("a worker's end: %+v %v", r, err)
							}
						})
					}
					g.Wait()
					if _, err := w.worker(t, store, &hand{}, 1, 2, 3); err != nil && want.Missing == 0 {
						t.Errorf("the last: %v", err)
					}
					if want.Missing > 0 {
						want.Receipts = w.account().Receipts // each that comes later tries again
					}
					same(t, w.account(), want)
				})
			}
		})
	}
}

// Of a set whose disks are at several hosts there is one receipt, with all of them, and what lacks on one is rebuilt by the host that has the parity.
func TestSharedHosts(t *testing.T) {
	want := alone(t, damages["damaged"], 1, 2, 3)
	synctest.Test(t, func(t *testing.T) {
		w := newParityWorld(t)
		damages["damaged"](w)
		store := claimstest.New()
		var g sync.WaitGroup
		for disk := 1; disk <= 3; disk++ {
			g.Go(func() {
				r, err := w.worker(t, store, &hand{}, disk)
				if err != nil || len(r.Machines) != 1 || r.Machines[0].Receipt.Repaired != 2 {
					t.Errorf("disk %d: %v %v", disk, r, err)
				}
			})
		}
		g.Wait()
		same(t, w.account(), want)
		for i, d := range w.disks {
			w.checkLog(d, i+1, strings.Join(w.log(w.vault, i+1), " "))
		}
	})
}

// A disk that comes when the others have their receipt gets one of its own, with all that is there by then. Who brings nothing new gets none.
func TestSharedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := claimstest.New()
		r, err := w.worker(t, store, &hand{}, 1)
		var incomplete *IncompleteError
		if !errors.As(err, &incomplete) || len(incomplete.Missing) != 3 || !slices.Equal(incomplete.NotHere, []int{2}) {
			t.Fatalf("%v %v", r, err)
		}
		for range 2 {
			r, err = w.worker(t, store, &hand{}, 2)
			if err != nil || r.Machines[0].Receipt.Imported != 3 || r.Machines[0].Receipt.Present != 4 {
				t.Fatalf("%v %v", r, err)
			}
		}
		if a := w.account(); a.Receipts != 2 {
			t.Errorf("%+v", a)
		}
		w.checkVault(0)
	})
}

// A board that is lost while they work costs no more than work that is done again.
func TestSharedBoardLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newParityWorld(t)
		store := claimstest.New()
		go func() {
			for range 5 {
				time.Sleep(rand.N(time.Minute))
				store.Clear()
			}
		}()
		var g sync.WaitGroup
		for range 4 {
			g.Go(func() {
				if r, err := w.worker(t, store, &hand{}, 1, 2, 3); err != nil || r.Machines[0].ReceiptName == "" {
					t.Errorf("%v %v", r, err)
				}
			})
		}
		g.Wait()
		time.Sleep(time.Hour)
		w.checkVault(0)
	})
}

// Whoever can write to the board can't make the vault believe what isn't so.
func TestSharedForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := claimstest.New()
		store.Fail(func(op, name string) error {
			if op == "put" && strings.HasSuffix(name, keyVerdict+".claim") {
				return errors.New("no answer")
			}
			return nil
		})
		if _, err := w.worker(t, store, &hand{}, 1); err == nil {
			t.Fatal("there should be no verdict")
		}
		store.Fail(nil)
		var run string
		for _, name := range store.Names() {
			if strings.HasSuffix(name, keyFetched+".done") {
				run = strings.TrimSuffix(name, keyFetched+".done")
			}
		}
		// packs of disk 2, which nobody had
		var all []outcome
		for _, p := range w.packs {
			all = append(all, outcome{Name: p.Name, State: imported})
		}
		b, err := json.Marshal(all)
		w.must(err)
		w.must(store.Put(t.Context(), run+slicePrefix+"forged.done", bytes.NewReader(b)))
		r, err := w.worker(t, store, &hand{}, 1)
		if err == nil || len(r.Machines[0].Receipt.Missing) != 3 {
			t.Errorf("%v %v", r, err)
		}

		other := newWorld(t)
		fake := verdict{}
		fake.Body, err = r.Machines[0].Receipt.Encode()
		w.must(err)
		fake.Signature = other.sign(other.vaultKey, fake.Body)
		b, err = json.Marshal(fake)
		w.must(err)
		store.Clear()
		w.must(store.Put(t.Context(), run+keyVerdict+".done", bytes.NewReader(b)))
		if _, err = w.worker(t, store, &hand{}, 1); !errors.Is(err, manifest.ErrSignature) {
			t.Errorf("another's receipt: %v", err)
		}
	})
}

// What one worker shows is what all have done.
func TestSharedProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := claimstest.New()
		var g sync.WaitGroup
		for range 3 {
			g.Go(func() {
				o := options()
				o.Claims, o.Slice, o.Progress = claims.Open(store, "", 0), 1, &Progress{}
				if _, err := Import(t.Context(), handVault{w.vault, &hand{}}, w.sources(1, 2), o); err != nil {
					t.Error(err)
				}
				if p := o.Progress; p.Packs.Load() != 7 || p.TotalPacks.Load() != 7 || p.Bytes.Load() != p.TotalBytes.Load() {
					t.Errorf("progress: %d of %d packs, %d of %d bytes", p.Packs.Load(), p.TotalPacks.Load(), p.Bytes.Load(), p.TotalBytes.Load())
				}
			})
		}
		g.Wait()
		w.checkVault(0)
	})
}
