package save_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/internal/source"
)

// told are Ranges that a test knows.
type told struct {
	list  []journal.Range
	asked int
	saved []string
}

func (r *told) Changed(*source.File, *catalog.Entry) ([]journal.Range, bool) {
	r.asked++
	return r.list, true
}

func (r *told) Saved(_ *source.File, e *catalog.Entry) { r.saved = append(r.saved, string(e.Name)) }

// Of a large file only what changed is read, and what is saved is what a whole reading saves: with data changed, added, cut off, and
// holes that come and go.
func TestRanges(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	path := filepath.Join(dir, "f")
	const page = 8 << 10
	content := noise(9<<20, 1)
	write(t, path, content)
	r := rand.New(rand.NewPCG(1, 2))
	var ranges told
	with := func(c *save.Config) { c.Volumes = []save.Volume{{Path: dir, Ranges: &ranges}} }
	m.save(with, dir)
	for round := range 15 {
		ranges = told{}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(4) {
			off := r.Int64N(int64(len(content))) / page * page
			n := min(page*(1+r.Int64N(3)), int64(len(content))-off)
			ranges.list = append(ranges.list, journal.Range{Off: off, Len: n})
			b := noise(int(n), uint64(round)*10+uint64(off))
			if r.IntN(3) == 0 {
				b = make([]byte, n)
				err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
			} else {
				_, err = f.WriteAt(b, off)
			}
			if err != nil {
				t.Fatal(err)
			}
			copy(content[off:], b)
		}
		switch round % 5 {
		case 3: // longer
			b := noise(1+r.IntN(300_000), uint64(round))
			if _, err := f.WriteAt(b, int64(len(content))); err != nil {
				t.Fatal(err)
			}
			ranges.list = append(ranges.list, journal.Range{Off: int64(len(content)), Len: int64(len(b))})
			content = append(content, b...)
		case 4: // shorter
			content = content[:len(content)-r.IntN(300_000)]
			if err := f.Truncate(int64(len(content))); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		slices.SortFunc(ranges.list, func(a, b journal.Range) int { return int(a.Off - b.Off) })
		led := m.save(with, dir)
		if n := led.Point.Stats.ReadBytes; ranges.asked != 1 || len(ranges.saved) != 1 || n > int64(len(ranges.list))*1_000_000+300_000 {
			t.Errorf("round %d: %d bytes read for %d ranges, asked %d times, told %q", round, n, len(ranges.list), ranges.asked, ranges.saved)
		}
		m.same(led.Point, dir)
		last := m.last
		m.last = nil
		if whole := m.save(nil, dir); !bytes.Equal(entryAt(t, m, led, path), entryAt(t, m, whole, path)) {
			t.Fatalf("round %d: not what a whole reading saves", round)
		}
		m.last = last
	}
}

// entryAt is a path's entry in a point.
func entryAt(t *testing.T, m *memory, r *save.Result, path string) []byte {
	t.Helper()
	e, err := r.Point.RootEntry()
	if err == nil {
		e, err = catalog.Resolve(t.Context(), m, e, []byte(path))
	}
	if err != nil {
		t.Fatal(err)
	}
	return e.Append(nil)
}
