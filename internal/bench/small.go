package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	smallFiles   = 500_000
	smallPerDir  = 50
	smallMin     = 100
	smallMax     = 8 << 10
	smallSources = 20_000 // at most so many files are cut up
)

// buildSmall makes 500,000 files of 100 B to 8 KiB, 50 a directory. Their contents are cut from files of
// the machine, mostly text, a directory's from the same place, so that they compress and resemble each
// other as real ones do. Equal machines give equal trees.
func buildSmall(ctx context.Context, c *corpus, dir string) error {
	sources, err := smallPool(ctx)
	if err != nil {
		return err
	}
	dirs := int(c.scale * smallFiles / smallPerDir)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i := range dirs {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			return smallDir(filepath.Join(dir, fmt.Sprintf("%02d/%02d", i/100, i%100)), i, sources)
		})
	}
	return g.Wait()
}

// smallPool lists files to cut from, in a fixed order.
func smallPool(ctx context.Context) ([]string, error) {
	roots, err := systemRoots(ctx)
	if err != nil {
		return nil, err
	}
	text := map[string]bool{".go": true, ".py": true, ".h": true, ".c": true, ".json": true, ".js": true,
		".html": true, ".md": true, ".txt": true, ".s": true, ".sh": true, ".pl": true, ".pm": true}
	var pool []string
	other := 0
	err = eachFile(roots, func(path string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() || info.Size() < 2*smallMax {
			return nil
		}
		if !text[filepath.Ext(path)] {
			if other++; other%32 != 0 {
				return nil
			}
		}
		if pool = append(pool, path); len(pool) == smallSources {
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && len(pool) == 0 {
		err = fmt.Errorf("nothing in %q to cut small files from", roots)
	}
	return pool, err
}

// smallDir fills directory number i.
func smallDir(dir string, i int, sources []string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(uint64(i), 1))
	from := &cuttings{sources: sources, next: random.IntN(len(sources))}
	defer from.close()
	buf := make([]byte, smallMax)
	for n := range smallPerDir {
		b := buf[:smallMin+random.IntN(smallMax-smallMin+1)]
		if err := from.read(b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%02d", n)), b, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// cuttings reads source files one after the other, round and round.
type cuttings struct {
	sources []string
	next    int
	file    *os.File
}

// read fills b from one file: where too little is left of it, it goes on with the next.
func (c *cuttings) read(b []byte) error {
	for range len(c.sources) + 1 {
		if c.file != nil {
			_, err := io.ReadFull(c.file, b)
			if err == nil {
				return nil
			}
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
			c.close()
		}
		name := c.sources[c.next%len(c.sources)]
		c.next++
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		c.file = f
	}
	return fmt.Errorf("no source file holds %d bytes", len(b))
}

func (c *cuttings) close() {
	if c.file != nil {
		c.file.Close()
		c.file = nil
	}
}
