package save

import (
	"context"
	"encoding/binary"
	"testing"

	"waybill/internal/catalog"
	"waybill/internal/pack"
)

// nodes are a catalogue in memory.
type nodes map[pack.ID][]byte

func (n nodes) Load(_ context.Context, id pack.ID) ([]byte, error) { return n[id], nil }

// A healer that remembers no more nodes still knows a file of which nothing is gone.
func TestHealForgetful(t *testing.T) {
	store := nodes{}
	content := catalog.ContentBuilder{Put: func(b []byte) (id pack.ID, err error) {
		id[0] = byte(len(store) + 1)
		store[id] = append([]byte(nil), b...)
		return id, nil
	}}
	for i := range 20 {
		if err := content.Add(catalog.Item{Length: 1000, ID: pack.ID{99, byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	e := catalog.Entry{Kind: catalog.File, Name: []byte("f"), Size: 20_000}
	if err := content.Finish(&e); err != nil || e.Node.IsZero() {
		t.Fatal(e, err)
	}
	h := &healer{session: &session{cfg: Config{Progress: &Progress{}}}, ctx: t.Context(), point: Base{Loader: store},
		losses: Losses{Gone: func(pack.ID) bool { return false }}, whole: make(map[[16]byte]struct{}, maxWhole)}
	for i := range uint64(maxWhole) {
		var key [16]byte
		binary.BigEndian.PutUint64(key[8:], i)
		h.whole[key] = struct{}{}
	}
	h.tell = func(_ []byte, n int64) { t.Errorf("it is said to lack %d bytes", n) }
	if whole, err := h.entry([]byte("/f"), e); err != nil || !whole {
		t.Errorf("%v, %v", whole, err)
	}
}
