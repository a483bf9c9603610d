package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	dbPages    = 1 << 30 / dbPage
	dbPage     = 8 << 10
	dbChanged  = 0.01 // of the pages, at random places
	dbRunPages = 128  // written at once
)

func dbName(dir string) string { return filepath.Join(dir, "table.db") }

// buildDB writes a 1 GiB file of 8 KiB pages laid out like a database's: header, line pointers, free space, and rows of
// counters, times, flags, names and free text. They compress about as real tables do, and no two are alike.
func buildDB(ctx context.Context, c *corpus, dir string) (err error) {
	f, err := os.Create(dbName(dir))
	if err != nil {
		return err
	}
	defer closing(f, &err)
	pages := int(c.scale * dbPages)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for first := 0; first < pages && ctx.Err() == nil; first += dbRunPages {
		g.Go(func() error {
			var b []byte
			for p := first; p < min(first+dbRunPages, pages); p++ {
				b = append(b, page(p, 0)...)
			}
			_, err := f.WriteAt(b, int64(first)*dbPage)
			return err
		})
	}
	return g.Wait()
}

// changeDB rewrites 1 % of the pages in place as an update of a few of their rows would, or writes them as they were.
func changeDB(c *corpus, dir string, undo bool) (err error) {
	f, err := os.OpenFile(dbName(dir), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer closing(f, &err)
	version := 1
	if undo {
		version = 0
	}
	pages := int(c.scale * dbPages)
	random := rand.New(rand.NewPCG(2, uint64(pages)))
	for _, p := range random.Perm(pages)[:int(dbChanged*float64(pages))] {
		if _, err := f.WriteAt(page(p, version), int64(p)*dbPage); err != nil {
			return fmt.Errorf("changing page %d: %w", p, err)
		}
	}
	return nil
}

const (
	pageHeader = 24
	pageRows   = 56
)

// page is page number n; version 1 has two rows updated.
//
//	0   log position u64, checksum u32, flags u32, free from u16, free to u16, page number u32
//	24  line pointers, u32 each
//	    free space, zero
//	    rows, from the end of the page downwards
func page(n, version int) []byte {
	b := make([]byte, dbPage)
	end := dbPage
	for i := range pageRows {
		rowVersion := 0
		if i%(pageRows/2) == 7 {
			rowVersion = version
		}
		row := row(n*pageRows+i, rowVersion)
		if end-len(row) < pageHeader+4*pageRows {
			break
		}
		end -= copy(b[end-len(row):], row)
		binary.LittleEndian.PutUint32(b[pageHeader+4*i:], uint32(end)|uint32(len(row))<<17)
	}
	binary.LittleEndian.PutUint64(b, uint64(n)<<20+uint64(version)*0x1f2e3d)
	binary.LittleEndian.PutUint16(b[16:], pageHeader+4*pageRows)
	binary.LittleEndian.PutUint16(b[18:], uint16(end))
	binary.LittleEndian.PutUint32(b[20:], uint32(n))
	binary.LittleEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b))
	return b
}

// row is a table's row number n: fixed-width columns, then text.
func row(n, version int) []byte {
	random := rand.New(rand.NewPCG(uint64(n), uint64(3+version)))
	b := make([]byte, 0, 160)
	b = binary.LittleEndian.AppendUint32(b, uint32(1000+n/40))                                  // transaction
	b = binary.LittleEndian.AppendUint64(b, uint64(n))                                          // key
	b = binary.LittleEndian.AppendUint64(b, uint64(1_700_000_000_000+n*1733+random.IntN(1000))) // time
	b = binary.LittleEndian.AppendUint32(b, uint32(random.IntN(50_000)))                        // customer
	b = binary.LittleEndian.AppendUint32(b, uint32(random.IntN(20))*250)                        // amount
	b = append(b, byte(random.IntN(4)), 0, 0, 0)                                                // flags
	b = binary.LittleEndian.AppendUint32(b, random.Uint32())                                    // session
	b = fmt.Appendf(b, "%s.%s%d@example.com", word(random), word(random), random.IntN(100))
	for range 4 + random.IntN(8) {
		b = append(append(b, ' '), word(random)...)
	}
	return append(b, make([]byte, (8-len(b)%8)%8)...)
}

// word draws one of 1,000 words, some of them much more often than others.
func word(random *rand.Rand) string {
	syllables := [...]string{"an", "ber", "cor", "den", "el", "fir", "gal", "ho", "in", "ja"}
	r := random.Float64()
	i := int(r * r * r * 1000)
	return syllables[i%10] + syllables[i/10%10] + syllables[i/100]
}
