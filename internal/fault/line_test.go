package fault_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/durable"
	"waybill/internal/fault"
)

func newLine(t *testing.T) *fault.Line {
	t.Helper()
	d, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &fault.Line{Inner: d}
}

// Every operation is a request, and of the right kind.
func TestLineCounts(t *testing.T) {
	l := newLine(t)
	if err := l.Put(t.Context(), name, strings.NewReader("object")); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if n, err := l.ReadAt(t.Context(), name, p, 2); n != 4 || err != nil || string(p) != "ject" {
		t.Errorf("%q, %v", p[:n], err)
	}
	l.ReadAt(t.Context(), "none", p, 0)
	l.Size(t.Context(), name)
	l.List(t.Context(), "", func(string, int64) error { return nil })
	l.Remove(t.Context(), name)
	got := l.Requests()
	if want := "map[list:1 put:1 read:2 remove:1 size:1]"; fmt.Sprint(got.By) != want || got.Total != 6 || got.Bytes != 10 || got.InFlight != 0 || got.Top != 1 {
		t.Errorf("%+v", got)
	}
	if got.For("/b") != 4 || !l.Remote() {
		t.Errorf("%v, remote: %v", got.Names, l.Remote())
	}
	if l.Reset(); l.Requests().Total != 0 {
		t.Error("there are still requests")
	}
}

// Requests wait for their round trips side by side, and share the line.
func TestLineTakesItsTime(t *testing.T) {
	l := newLine(t)
	if err := l.Put(t.Context(), name, bytes.NewReader(make([]byte, 1000))); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l.Latency, l.Rate = time.Second, 1000
		began := time.Now()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := l.ReadAt(t.Context(), name, make([]byte, 500), 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took != 3*time.Second { // one for the round trips, two for the bytes
			t.Errorf("it took %v", took)
		}
		if top := l.Requests().Top; top != 4 {
			t.Errorf("%d at once", top)
		}
	})
}
