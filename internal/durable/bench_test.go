package durable

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkPack writes files of 64 MiB as packs are written, in WAYBILL_BENCH or a temporary directory.
func BenchmarkPack(b *testing.B) {
	dir, err := os.MkdirTemp(os.Getenv("WAYBILL_BENCH"), "waybill-durable-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	d := open(b, dir)
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	const blocks = 64
	b.SetBytes(blocks << 20)
	for n := 0; b.Loop(); n++ {
		f, err := d.Create()
		if err != nil {
			b.Fatal(err)
		}
		for range blocks {
			f.Write(block)
		}
		if err := f.Commit(fmt.Sprintf("packs/%d", n)); err != nil {
			b.Fatal(err)
		}
	}
}
