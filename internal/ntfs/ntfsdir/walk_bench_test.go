//go:build linux

package ntfsdir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"waybill/internal/ntfs"
	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/ntfs/ntfstest"
	"waybill/internal/source"
)

// BenchmarkWalk lists all directories of a volume of 30,000 files and looks at each entry.
func BenchmarkWalk(b *testing.B) {
	image := ntfstest.Make(b, 256<<20)
	top, unmount := ntfstest.Mount(b, image, "big_writes")
	for i := range 300 {
		dir := filepath.Join(top, fmt.Sprintf("%d/directory %d", i%10, i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for k := range 100 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file %d.txt", k)), []byte("content"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	unmount()
	f, err := os.Open(image)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		v, err := ntfs.Open(f, 256<<20)
		if err != nil {
			b.Fatal(err)
		}
		d, err := ntfsdir.Open(v)
		if err != nil {
			b.Fatal(err)
		}
		n += count(b, d)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

func count(b *testing.B, d *source.Dir) int {
	defer d.Close()
	var l source.Listing
	if err := d.List(&l); err != nil {
		b.Fatal(err)
	}
	var st source.Stat
	n := l.Len()
	for i := range l.Len() {
		if err := d.Stat(&l, i, &st); err != nil {
			b.Fatal(err)
		}
		if st.Kind == source.Directory {
			sub, err := d.OpenDir(l.Name(i))
			if err != nil {
				b.Fatal(err)
			}
			n += count(b, sub)
		}
	}
	return n
}
