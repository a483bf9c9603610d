package save_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/save"
)

// While everything below comes, goes, grows and changes its kind, backups succeed, and every point can be read whole. What stands
// still beside it is in every one. Names that are there all the time may be missing only when a problem says so.
func TestChurn(t *testing.T) {
	m, top := newMemory(t), t.TempDir()
	write(t, top+"/still/file", []byte("still"))
	for i := range 20 {
		write(t, fmt.Sprintf("%s/always%d", top, i), noise(30<<10, uint64(i)))
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for i := range 3 {
		wg.Go(func() { churn(ctx, top, uint64(i)) })
	}
	rounds := 0
	for ; ctx.Err() == nil; rounds++ {
		r := m.save(func(c *save.Config) { c.CheckpointBytes, c.Readers = 1<<20, 3 }, top)
		got := m.files(r.Point, top)
		if got["still/file"].content != "still" {
			t.Fatal("what stands still was not saved")
		}
		problems := map[string]string{}
		for _, p := range r.Point.Problems {
			problems[strings.TrimPrefix(p.Path, top+"/")] = p.Problem
			if !strings.Contains(p.Problem, "changed while") && !strings.Contains(p.Problem, "of another kind") {
				t.Errorf("%s: %s", p.Path, p.Problem)
			}
		}
		for i := range 20 {
			name := fmt.Sprintf("always%d", i)
			if _, ok := got[name]; !ok && problems[name] == "" {
				t.Errorf("%s is there all the time, but not in the point", name)
			}
		}
		for name, it := range got {
			if it.Flags&catalog.Changed != 0 && problems[name] == "" {
				t.Errorf("%s changed while it was read, and no problem says so", name)
			}
		}
	}
	wg.Wait()
	t.Logf("%d backups", rounds)
	r := m.save(nil, top)
	m.same(r.Point, top)
	if r.Point.ProblemCount > 0 {
		t.Errorf("at rest: %+v", r.Point.Problems)
	}
}

// churn changes what is below top until ctx ends. Its own errors don't matter.
func churn(ctx context.Context, top string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for ctx.Err() == nil {
		passing := fmt.Sprintf("%s/passing%d", top, r.IntN(6))
		always := fmt.Sprintf("%s/always%d", top, r.IntN(20))
		switch r.IntN(8) {
		case 0:
			os.MkdirAll(passing+"/a/b", 0o777)
			os.WriteFile(passing+"/a/b/c", noise(r.IntN(9000), r.Uint64()), 0o666)
		case 1:
			os.RemoveAll(passing)
		case 2:
			os.RemoveAll(passing)
			os.WriteFile(passing, noise(r.IntN(300<<10), r.Uint64()), 0o666)
		case 3:
			os.Rename(passing, fmt.Sprintf("%s/passing%d", top, r.IntN(6)))
		case 4: // as editors save
			os.WriteFile(always+".new", noise(r.IntN(90<<10), r.Uint64()), 0o666)
			os.Rename(always+".new", always)
		case 5: // of another kind, without a moment in which it isn't there
			os.Symlink("somewhere", always+".new")
			os.Rename(always+".new", always)
		case 6:
			if f, err := os.OpenFile(always, os.O_WRONLY|os.O_APPEND, 0); err == nil {
				f.Write(noise(r.IntN(1000), r.Uint64()))
				f.Close()
			}
		case 7:
			os.Truncate(always, r.Int64N(40<<10))
		}
	}
}
