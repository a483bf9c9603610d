package proof

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"waybill/internal/treetest"
)

// randomly calls round with one seed after the other, for the given time, or with WAYBILL_SEED alone. WAYBILL_PROOF multiplies the time.
func randomly(t *testing.T, for_ time.Duration, round func(t *testing.T, seed uint64)) {
	t.Helper()
	if text := os.Getenv("WAYBILL_SEED"); text != "" {
		round(t, must[uint64](t)(strconv.ParseUint(text, 10, 64)))
		return
	}
	if text := os.Getenv("WAYBILL_PROOF"); text != "" {
		for_ *= time.Duration(must[int](t)(strconv.Atoi(text)))
	}
	rounds := 0
	for end := time.Now().Add(for_); rounds == 0 || time.Now().Before(end); rounds++ {
		seed := rand.Uint64()
		if round(t, seed); t.Failed() {
			t.Fatalf("to repeat it: WAYBILL_SEED=%d", seed)
		}
	}
	t.Logf("%d rounds", rounds)
}

// random is the source of what a round decides.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }

// wild is a new directory for a tree that os.RemoveAll may not be able to remove.
func wild(t *testing.T, parent string) string {
	t.Helper()
	dir := must[string](t)(os.MkdirTemp(parent, "waybill-wild-"))
	t.Cleanup(func() {
		if err := treetest.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
