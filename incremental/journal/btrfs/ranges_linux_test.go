package btrfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/incremental/journal/journaltest"
	"waybill/internal/catalog"
	"waybill/internal/source"
	"waybill/internal/treetest"
)

// A saved file is one as a backup has it.
type savedFile struct {
	entry   catalog.Entry
	content []byte
}

// saved reads a file in a snapshot of the volume, after it was asked what of it changed since old was saved.
func saved(t *testing.T, v *Volume, r *Ranges, name string, old *savedFile) (now *savedFile, list []journal.Range, told bool) {
	t.Helper()
	dir, release, err := v.Hold(t.Context())
	ok(t, err)
	defer func() { ok(t, release()) }()
	return savedIn(t, dir, r, name, old)
}

func savedIn(t *testing.T, dir string, r *Ranges, name string, old *savedFile) (now *savedFile, list []journal.Range, told bool) {
	t.Helper()
	d, err := source.OpenDir(dir)
	ok(t, err)
	defer d.Close()
	f, err := d.Open([]byte(name))
	ok(t, err)
	defer f.Close()
	if old != nil {
		list, told = r.Changed(f, &old.entry)
	}
	now = &savedFile{}
	now.content, err = os.ReadFile(filepath.Join(dir, name))
	ok(t, err)
	now.entry = catalog.Entry{Kind: catalog.File, Size: int64(len(now.content)), Node: sha256.Sum256(now.content)}
	r.Saved(f, &now.entry)
	return now, list, told
}

// within fails unless all that differs lies in the ranges.
func within(t *testing.T, old, now *savedFile, list []journal.Range) {
	t.Helper()
	same := bytes.Clone(now.content)
	end := int64(0)
	for _, r := range list {
		if r.Off < end || r.Len <= 0 {
			t.Fatalf("ranges %v", list)
		}
		end = r.Off + r.Len
		if r.Off < int64(len(old.content)) {
			copy(same[r.Off:min(end, int64(len(same)))], old.content[r.Off:])
		}
	}
	n := min(len(same), len(old.content))
	if !bytes.Equal(same[:n], old.content[:n]) {
		t.Errorf("content changed outside of %v", list)
	}
	if len(same) > len(old.content) && end < int64(len(same)) {
		t.Errorf("what is new at the end is not in %v", list)
	}
}

func noise(size int, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

func TestRanges(t *testing.T) {
	const m = 256 << 10
	const size = 10 * m
	top := mounted(t, 512<<20)
	v, r := opened(t, top), NewRanges(t.TempDir())
	var path string
	content := noise(size, 1)
	write(t, top+"/other", noise(size, 2))
	write(t, top+"/older", noise(size, 3))
	cloned := func(t *testing.T, from string, srcOff, off, length int64) {
		src, err := os.Open(from)
		ok(t, err)
		defer src.Close()
		dst, err := os.OpenFile(path, os.O_WRONLY, 0)
		ok(t, err)
		defer dst.Close()
		ok(t, unix.IoctlFileCloneRange(int(dst.Fd()), &unix.FileCloneRange{Src_fd: int64(src.Fd()), Src_offset: uint64(srcOff), Src_length: uint64(length), Dest_offset: uint64(off)}))
	}
	const unknown = -1
	for name, c := range map[string]struct {
		do   func(t *testing.T)
		most int64 // bytes in all ranges; unknown: nothing can be told
	}{
		"nothing":          {func(*testing.T) {}, 0},
		"chmod":            {func(t *testing.T) { ok(t, os.Chmod(path, 0o600)) }, 0},
		"touch":            {func(t *testing.T) { run(t, "touch", path) }, 0},
		"one byte":         {func(t *testing.T) { overwrite(t, path, 5*m+3, "x") }, 4096},
		"the same":         {func(t *testing.T) { write(t, path, content) }, size},
		"append":           {func(t *testing.T) { overwrite(t, path, size, "some more") }, 9},
		"append apart":     {func(t *testing.T) { overwrite(t, path, size+3*m, "some more") }, 3*m + 9},
		"shrink":           {func(t *testing.T) { ok(t, os.Truncate(path, 9*m)) }, 0},
		"shrink unaligned": {func(t *testing.T) { ok(t, os.Truncate(path, 9*m+5)) }, 4096},
		"shrink and grow": {func(t *testing.T) {
			ok(t, os.Truncate(path, 9*m+5))
			ok(t, os.Truncate(path, size))
		}, m},
		"punch":      {func(t *testing.T) { fallocate(t, path, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 3*m, 2*m) }, 2 * m},
		"zero range": {func(t *testing.T) { fallocate(t, path, unix.FALLOC_FL_ZERO_RANGE, 3*m, 2*m) }, 2 * m},
		"reserve":    {func(t *testing.T) { fallocate(t, path, unix.FALLOC_FL_KEEP_SIZE, size, m) }, 0},
		"reserve and write": {func(t *testing.T) {
			fallocate(t, path, 0, size, m)
			_, err := commit(v.root)
			ok(t, err)
			overwrite(t, path, size+m/2, "there")
		}, m},
		"clone of another file":    {func(t *testing.T) { cloned(t, top+"/other", 0, 4*m, m) }, m},
		"clone of itself":          {func(t *testing.T) { cloned(t, path, 0, 4*m, m) }, m},
		"clone of an older self":   {func(t *testing.T) { cloned(t, top+"/older", 4*m, 4*m, m) }, m},
		"clone of all":             {func(t *testing.T) { run(t, "cp", "--reflink=always", top+"/other", path) }, size},
		"clone back":               {func(t *testing.T) { overwrite(t, path, 5*m, "x"); cloned(t, top+"/copy", 5*m, 5*m, 4096) }, 0},
		"swapped halves by clones": {func(t *testing.T) { cloned(t, top+"/copy", 0, 5*m, 5*m); cloned(t, top+"/copy", 5*m, 0, 5*m) }, size},
		"mmap": {func(t *testing.T) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			ok(t, err)
			defer f.Close()
			b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			ok(t, err)
			b[7*m+1]++
			ok(t, unix.Munmap(b))
		}, 4096},
		"compressed": {func(t *testing.T) { run(t, "btrfs", "filesystem", "defragment", "-czstd", path) }, size},
		"pages": {func(t *testing.T) {
			for i := range int64(50) {
				overwrite(t, path, i*40<<10, fmt.Sprint("page", i))
			}
		}, 50 * 4096},
		"balanced": {func(t *testing.T) { run(t, "btrfs", "balance", "start", "--full-balance", top) }, size},
		"written in place": {func(t *testing.T) {
			ok(t, os.Truncate(path, 0))
			run(t, "chattr", "+C", path)
			write(t, path, content)
		}, unknown},
		"small": {func(t *testing.T) { write(t, path, []byte("inline")) }, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			path = filepath.Join(top, name)
			run(t, "cp", "--reflink=always", top+"/older", path)
			write(t, path, content)
			run(t, "cp", "--reflink=always", path, top+"/copy")
			old, _, _ := saved(t, v, r, name, nil)
			c.do(t)
			now, list, told := saved(t, v, r, name, old)
			if told != (c.most != unknown) {
				t.Fatalf("told: %v", told)
			}
			if !told {
				return
			}
			within(t, old, now, list)
			if total := sum(list); total > c.most {
				t.Errorf("%d bytes in %v, want at most %d", total, list, c.most)
			}
			again, list, told := saved(t, v, r, name, now)
			if !told || len(list) > 0 {
				t.Errorf("later, with nothing done: %v, %v", list, told)
			}
			if _, _, told := saved(t, v, r, name, &savedFile{entry: old.entry}); told && !bytes.Equal(old.content, again.content) {
				t.Error("it speaks about a content that was saved before the last")
			}
			ok(t, os.Remove(path))
		})
	}
}

func sum(list []journal.Range) (n int64) {
	for _, r := range list {
		n += r.Len
	}
	return n
}

// Of a file that may be written to, nothing is said or remembered, nor where there is no btrfs.
func TestRangesOfLiveFiles(t *testing.T) {
	top := mounted(t, 256<<20)
	v := opened(t, top)
	for name, dir := range map[string]string{"live": top, "elsewhere": t.TempDir()} {
		r := NewRanges(t.TempDir())
		write(t, dir+"/file", noise(9<<20, 1))
		savedIn(t, dir, r, "file", nil)
		if entries, err := os.ReadDir(r.dir); len(entries) > 0 || err != nil {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
		if dir != top {
			continue
		}
		old, _, _ := saved(t, v, r, "file", nil)
		if _, _, told := savedIn(t, dir, r, "file", old); told {
			t.Errorf("%s: it is told what changed", name)
		}
	}
}

// Maps of files that are no more go away, and so does what a killed run left.
func TestRangesTidy(t *testing.T) {
	top := mounted(t, 256<<20)
	v, dir := opened(t, top), t.TempDir()
	write(t, top+"/one", noise(8<<20, 1))
	write(t, top+"/two", noise(8<<20, 2))
	saved(t, v, NewRanges(dir), "one", nil)
	saved(t, v, NewRanges(dir), "two", nil)
	at := filepath.Join(dir, v.fs.String(), v.sub.uuid.String())
	write(t, at+"/new-123", nil)
	ok(t, os.Remove(top+"/one"))
	r := NewRanges(dir)
	two, _, _ := saved(t, v, r, "two", nil)
	entries, err := os.ReadDir(at)
	ok(t, err)
	if len(entries) != 1 {
		t.Errorf("%v are left", entries)
	}
	if _, list, told := saved(t, v, r, "two", two); !told || len(list) > 0 {
		t.Errorf("%v, %v", list, told)
	}
}

// The engine carries over what didn't change, and finds what a scan finds.
func TestRoundsOfLargeFiles(t *testing.T) {
	top := mounted(t, 1<<30)
	edit := func(tree string, seed uint64) (did []string) {
		r := rand.New(rand.NewPCG(seed, 3))
		large := filepath.Join(tree, "large")
		info, err := os.Stat(large)
		if err != nil || info.Size() < 9<<20 || !info.Mode().IsRegular() {
			ok(t, os.RemoveAll(large))
			write(t, large, noise(12<<20, seed))
			return []string{"made large"}
		}
		for range 1 + r.IntN(3) {
			off, length := r.Int64N(info.Size()), 1+r.Int64N(1<<20)
			switch r.IntN(7) {
			case 0, 1, 2:
				overwrite(t, large, off, string(noise(int(length), seed)))
			case 3:
				fallocate(t, large, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, length)
			case 4:
				ok(t, os.Truncate(large, max(9<<20, off)))
			case 5:
				run(t, "cp", "--reflink=always", large, large+".new")
				ok(t, os.Rename(large+".new", large))
			case 6:
				f, err := os.OpenFile(large, os.O_RDWR, 0)
				ok(t, err)
				unix.IoctlFileCloneRange(int(f.Fd()), &unix.FileCloneRange{Src_fd: int64(f.Fd()), Src_offset: 1 << 20, Src_length: 1 << 20, Dest_offset: uint64(2+r.IntN(7)) << 20})
				ok(t, f.Close())
			}
			did = append(did, fmt.Sprint("large ", off, length))
		}
		return did
	}
	journaltest.Rounds(t, journaltest.Options{Volume: top, Seed: 3000, Rounds: 6, Edit: edit, Ranges: NewRanges(t.TempDir()),
		Make: treetest.Options{Entries: 10, Shallow: true}, Journal: func(t *testing.T) journal.Journal { return opened(t, top) }})
}
