package btrfs

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/source"
)

// Ranges tell which parts of a large file changed since it was saved. They remember where its extents were on the disk, and which transaction had
// written each: what is still there is unchanged. Generations alone would not do, for a clone of an old extent is as old as that.
//
// They speak only about files in a read-only snapshot or subvolume, not about files that are written in place (chattr +C), and of each
// file only about the very content that it was saved with. What is remembered is checked whenever it is read; to lose it costs time and
// nothing else. Ranges are safe for concurrent use.
type Ranges struct {
	dir    string
	mu     sync.Mutex
	tidied map[string]bool // directories of subvolumes; guarded by mu
}

// NewRanges returns the ranges that are remembered in a directory, which is made if need be.
func NewRanges(dir string) *Ranges {
	return &Ranges{dir: dir, tidied: map[string]bool{}}
}

// Changed returns the stretches of the file, ascending, that may differ from what old's content says. ok is false when that can't be told.
func (r *Ranges) Changed(f *source.File, old *catalog.Entry) (list []journal.Range, ok bool) {
	x, ok := look(f)
	if !ok {
		return nil, false
	}
	b, err := os.ReadFile(r.path(x))
	if err != nil || len(b) > maxMap {
		return nil, false
	}
	was, ok := openMap(b, binding(old))
	if !ok {
		return nil, false
	}
	size := f.Opened().Size
	c := compare(old.Size, size, was.next)
	if err := x.extents(func(e extent) error { c.add(e); return nil }); err != nil {
		return nil, false
	}
	list = c.finish(old.Size, size)
	return list, !was.bad
}

// Saved remembers where the file's content is, which e is the entry of. It must not have changed since it was read.
func (r *Ranges) Saved(f *source.File, e *catalog.Entry) {
	x, ok := look(f)
	if !ok {
		return
	}
	w := newMap(binding(e))
	if x.extents(w.add) != nil {
		return
	}
	path := r.path(x)
	r.tidy(filepath.Dir(path), x)
	r.replace(path, w.finish()) // what can't be kept is read again the next time
}

// binding is what a map is bound to: the content that the file had.
func binding(e *catalog.Entry) [32]byte {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(e.Size)))
	h.Write(e.Node[:])
	h.Write(e.Content)
	return [32]byte(h.Sum(nil))
}

func (r *Ranges) path(x *looked) string {
	return filepath.Join(r.dir, x.fs.String(), x.sub.String(), strconv.FormatUint(x.inode, 10))
}

// replace puts a file in the place of another, so that there is always one or none. It needs not be durable: a map is checked.
func (r *Ranges) replace(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// tidy removes the maps of files that are no more, once for each subvolume.
func (r *Ranges) tidy(dir string, x *looked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tidied[dir] {
		return
	}
	r.tidied[dir] = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // most likely there is none yet
	}
	for _, e := range entries {
		inode, err := strconv.ParseUint(e.Name(), 10, 64)
		if err != nil || x.isGone(inode) { // else it is what a killed run was about to put in place
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// A uuid is that of a file system or a subvolume.
type uuid [16]byte

func (u uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
