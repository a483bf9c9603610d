package azure

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
)

// A meter is a limiter that lets everything pass, and counts it.
type meter struct{ bytes, open, begun atomic.Int64 }

func (m *meter) Begin(ctx context.Context) (end func(), err error) {
	m.begun.Add(1)
	m.open.Add(1)
	return func() { m.open.Add(-1) }, ctx.Err()
}

func (m *meter) Wait(ctx context.Context, n int) error {
	m.bytes.Add(int64(n))
	return ctx.Err()
}

// Each byte counts once that is sent or received, and one that is only read for a checksum doesn't.
func TestLimits(t *testing.T) {
	const size = 300_000
	up, down := &meter{}, &meter{}
	a := newContainer(t)
	for _, test := range []struct {
		name   string
		blocks bool
	}{{"whole", false}, {"in blocks", true}} {
		s := openStore(t, a, sharedKey, Options{Up: up, Down: down, BlockSize: 100_000})
		if test.blocks {
			s.single = 0
		}
		before, begun := up.bytes.Load(), up.begun.Load()
		if err := s.Put(t.Context(), test.name[:2]+"/x", bytes.NewReader(make([]byte, size))); err != nil {
			t.Fatal(err)
		}
		if n := up.bytes.Load() - before; n < size || n > size+1000 || up.begun.Load() != begun+1 || up.open.Load() != 0 { // the list of blocks is sent, too
			t.Errorf("%s: %d bytes counted, %d begun, %d open", test.name, n, up.begun.Load()-begun, up.open.Load())
		}
		before = down.bytes.Load()
		if _, err := s.ReadAt(t.Context(), test.name[:2]+"/x", make([]byte, size), 0); err != nil {
			t.Fatal(err)
		}
		if n := down.bytes.Load() - before; n != size {
			t.Errorf("%s: %d bytes read", test.name, n)
		}
	}
}
