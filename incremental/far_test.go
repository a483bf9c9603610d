package incremental_test

import (
	"fmt"
	"testing"

	"waybill/incremental"
	"waybill/internal/domain"
	"waybill/internal/fault"
	"waybill/internal/save"
)

// Over a network, a machine reads nothing of the catalogue that it wrote or read before; one that has lost its caches fetches each pack once.
func TestFarBase(t *testing.T) {
	m, root := newMachine(t), t.TempDir()
	for i := range 200 {
		write(t, fmt.Sprintf("%s/d%02d/f%03d", root, i%20, i), noise(100, uint64(i)))
	}
	line := &fault.Line{Inner: m.vault}
	opts := domain.Options{Keys: m.keys, Dedupe: m.writer.Dedupe, IndexDir: m.index, ShelfDir: t.TempDir()}
	backup := func(what string, want int64) {
		t.Helper()
		write(t, root+"/d07/"+what, []byte(what))
		settle()
		line.Reset()
		d, err := domain.Open(t.Context(), []domain.Store{line}, m.doc, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		r, err := incremental.Run(t.Context(), line, d, save.Config{Roots: []string{root}, Writer: m.writer, Tool: "test", Host: "host"}, m.options)
		if err != nil {
			t.Fatal(err)
		}
		got := line.Requests()
		if n := got.For("/packs/") - int64(len(r.Packs)); n != want {
			t.Errorf("%s: %d requests for packs beside those that store %d, not %d", what, n, len(r.Packs), want)
		}
	}
	backup("first", 0)
	backup("second", 0)
	opts.IndexDir, opts.ShelfDir = t.TempDir(), t.TempDir()
	backup("without its caches", 2+2+1+2) // tables of catalogue and of data packs, the record of the last point, and the catalogue whole
	backup("fourth", 0)
}
