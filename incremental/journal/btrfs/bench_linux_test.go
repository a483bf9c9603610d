package btrfs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/source"
)

// Of 500,000 files in 10,000 directories, 100 changed.
func BenchmarkChanges(b *testing.B) {
	top := mounted(b, 4<<30, "noatime")
	path := func(i int) string { return filepath.Join(top, fmt.Sprintf("d%d/e%d/file%d", i%100, i/100%100, i)) }
	for i := range 500_000 {
		if i < 10_000 {
			ok(b, os.MkdirAll(filepath.Dir(path(i)), 0o755))
		}
		ok(b, os.WriteFile(path(i), []byte("content"), 0o644))
	}
	v := opened(b, top)
	_, err := commit(v.root)
	ok(b, err)
	_, release, err := v.Hold(b.Context())
	ok(b, err)
	from, err := v.Now(b.Context())
	ok(b, err)
	ok(b, release())
	for i := range 100 {
		switch p := path(i * 4999); i % 5 {
		case 0, 1:
			overwrite(b, p, 7, "more")
		case 2:
			ok(b, os.Chmod(p, 0o600))
		case 3:
			ok(b, os.Remove(p))
		case 4:
			ok(b, os.Rename(p, p+".new"))
		}
	}
	b.Run("hold", func(b *testing.B) {
		for b.Loop() {
			_, release, err := v.Hold(b.Context())
			ok(b, err)
			ok(b, release())
		}
	})
	_, release, err = v.Hold(b.Context())
	ok(b, err)
	defer release()
	to, err := v.Now(b.Context())
	ok(b, err)
	b.Run("changes", func(b *testing.B) {
		for b.Loop() {
			var d journal.Dirty
			ok(b, v.Changes(b.Context(), from, to, &d))
			b.ReportMetric(float64(len(d.Dirs)), "dirs")
		}
	})
	b.Run("all", func(b *testing.B) {
		all := *from
		all.Position = 0
		for b.Loop() {
			var d journal.Dirty
			ok(b, v.Changes(b.Context(), &all, to, &d))
			b.ReportMetric(float64(len(d.Dirs)), "dirs")
		}
	})
}

// A file of 1 GiB in some 30,000 extents.
func BenchmarkRanges(b *testing.B) {
	top := mounted(b, 4<<30)
	f, err := os.Create(top + "/file")
	ok(b, err)
	page := noise(32<<10, 1)
	for i := range int64(32 << 10) {
		_, err := f.WriteAt(page, (i*7919%(32<<10))*(32<<10))
		ok(b, err)
		if i%1000 == 0 {
			ok(b, f.Sync())
		}
	}
	ok(b, f.Close())
	benchmarkRanges(b, top)
}

func benchmarkRanges(b *testing.B, top string) {
	v, r := opened(b, top), NewRanges(b.TempDir())
	dir, release, err := v.Hold(b.Context())
	ok(b, err)
	defer release()
	d, err := source.OpenDir(dir)
	ok(b, err)
	defer d.Close()
	f, err := d.Open([]byte("file"))
	ok(b, err)
	defer f.Close()
	e := &catalog.Entry{Size: f.Opened().Size}
	b.Run("saved", func(b *testing.B) {
		for b.Loop() {
			r.Saved(f, e)
		}
	})
	b.Run("changed", func(b *testing.B) {
		for b.Loop() {
			if list, told := r.Changed(f, e); !told || len(list) > 0 {
				b.Fatal(list, told)
			}
		}
	})
	x, _ := look(f)
	n := 0
	ok(b, x.extents(func(extent) error { n++; return nil }))
	b.Logf("%d extents", n)
}
