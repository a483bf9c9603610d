package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	treePerDir   = 50  // files in a directory
	treePerGroup = 100 // directories in one
	treeChanged  = 100 // files that change between two backups
	treeMin      = 60  // bytes of a file, at least
	treeSpread   = 200 // and so many more at most
)

// A tree is the corpus of many small files, in two halves that can be renamed: 50 files in a directory, 100 directories in one, those
// in a half. So what a changed file costs is as bad as it gets: its directory's listing, and that of a hundred directories.
type tree struct {
	dir   string
	files int
}

// build writes the tree. The same number of files gives the same tree.
func (t *tree) build(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	for first := 0; first < t.dirs() && ctx.Err() == nil; first += treePerGroup {
		g.Go(func() error {
			for n := first; n < min(first+treePerGroup, t.dirs()) && ctx.Err() == nil; n++ {
				if err := t.fill(n); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

func (t *tree) dirs() int { return t.files / treePerDir }

// groupName is the directory that directory n lies in, from the tree's top.
func (t *tree) groupName(n int) string {
	half := "left"
	if n >= t.dirs()/2 {
		half = "right"
	}
	return filepath.Join(half, fmt.Sprintf("%04d", n/treePerGroup))
}

func (t *tree) name(n int) string {
	return filepath.Join(t.dir, t.groupName(n), fmt.Sprintf("%02d", n%treePerGroup))
}

func (t *tree) fill(n int) error {
	dir := t.name(n)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(uint64(n), 2))
	for i := range treePerDir {
		if err := os.WriteFile(treeFile(dir, i), line(random), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func treeFile(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("file-%02d", i)) }

// line is what a small file says.
func line(random *rand.Rand) []byte {
	var b []byte
	for size := treeMin + random.IntN(treeSpread); len(b) < size; {
		b = fmt.Appendf(b, "%08x ", random.Uint32())
	}
	return append(b, '\n')
}

// change writes 100 files anew, each in another directory, all over the tree. Each round has other ones.
func (t *tree) change(round int) error {
	random := rand.New(rand.NewPCG(uint64(round), 3))
	for i := range treeChanged {
		n := (i*t.dirs()/treeChanged + round) % t.dirs()
		if err := os.WriteFile(treeFile(t.name(n), random.IntN(treePerDir)), line(random), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// rename gives the first half another name, or its own.
func (t *tree) rename(back bool) error {
	from, to := filepath.Join(t.dir, "left"), filepath.Join(t.dir, "was left")
	if back {
		from, to = to, from
	}
	return os.Rename(from, to)
}

const (
	bigPage   = 8 << 10
	bigPages  = 100 // that change between two backups
	bigRepeat = 64 << 20
)

func bigName(dir string) string { return filepath.Join(dir, "big.db") }

// buildBig writes a file of so many MiB. The same 64 MiB come again and again, and btrfs has them once (copy_file_range(2)), so that it
// fits into memory; what reads it reads all of it.
func buildBig(dir string, mib int) (err error) {
	part, err := os.Create(filepath.Join(dir, "part"))
	if err != nil {
		return err
	}
	defer closing(part, &err)
	random := rand.NewChaCha8([32]byte{4})
	if _, err := io.Copy(part, io.LimitReader(random, bigRepeat)); err != nil {
		return err
	}
	if err := settle(dir); err != nil { // what is not on the disk yet can't be shared
		return err
	}
	f, err := os.Create(bigName(dir))
	if err != nil {
		return err
	}
	defer closing(f, &err)
	for left := int64(mib) << 20; left > 0; left -= bigRepeat {
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(f, part, min(left, bigRepeat)); err != nil {
			return err
		}
	}
	return os.Remove(part.Name())
}

// changeBig writes 100 pages anew, all over the file.
func changeBig(dir string, mib, round int) (err error) {
	f, err := os.OpenFile(bigName(dir), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer closing(f, &err)
	random, page := rand.NewChaCha8([32]byte{5, byte(round)}), make([]byte, bigPage)
	every := int64(mib) << 20 / bigPage / bigPages
	for i := range int64(bigPages) {
		random.Read(page)
		at := i*every + int64(random.Uint64()%uint64(every))
		if _, err := f.WriteAt(page, at*bigPage); err != nil {
			return err
		}
	}
	return nil
}
