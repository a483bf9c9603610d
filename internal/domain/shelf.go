package domain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"waybill/manifest"
)

// A shelf keeps catalogue packs that came from a remote store, whole and each under its name in one directory, up to a number of bytes. What
// was not read for the longest time goes first. It is a store, the first to be asked; as in any, what is read of it is checked. Losing it costs requests.
type shelf struct {
	dir     string
	limit   int64
	machine manifest.ID

	mu    sync.Mutex
	packs map[manifest.Digest]*book // guarded by mu
	bytes int64                     // guarded by mu
}

// A book is a pack on a shelf.
type book struct {
	size int64
	used time.Time
}

const defaultShelf = 2 << 30

// openShelf opens the shelf if there is a remote store. Packs that the chain does not list are removed, and so is what was not finished.
func (d *Domain) openShelf() error {
	if !slices.ContainsFunc(d.store, Remote) {
		return nil
	}
	dir, err := d.dir(d.opts.ShelfDir, "shelf")
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("opening the shelf of catalogue packs: %w", err)
	}
	s := &shelf{dir: dir, limit: d.opts.Shelf, machine: d.Machine.Machine, packs: map[manifest.Digest]*book{}}
	if s.limit <= 0 {
		s.limit = defaultShelf
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("opening the shelf of catalogue packs: %w", err)
	}
	for _, e := range list {
		name, perr := manifest.ParseDigest(e.Name())
		p, listed := d.listed[name]
		info, ierr := e.Info()
		if perr != nil || !listed || ierr != nil || info.Size() != p.Size {
			os.Remove(filepath.Join(dir, e.Name())) // else it is tried again the next time
			continue
		}
		s.packs[name] = &book{p.Size, info.ModTime()}
		s.bytes += p.Size
	}
	d.shelf, d.store = s, append(union{s}, d.store...)
	return nil
}

func (s *shelf) path(name manifest.Digest) string { return filepath.Join(s.dir, name.String()) }

// has tells whether a pack is there, which counts as its use.
func (s *shelf) has(name manifest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.packs[name]
	if b != nil {
		b.used = time.Now()
	}
	return b != nil
}

// put keeps a pack, unless it is larger than all that may be kept. It need not survive a power loss: a pack that was cut short has another size, and
// one that holds anything else does not open.
func (s *shelf) put(name manifest.Digest, size int64, body io.Reader) error {
	if size > s.limit {
		return nil
	}
	temp := s.path(name) + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, body, size)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, s.path(name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packs[name] == nil {
		s.bytes += size
	}
	s.packs[name] = &book{size, time.Now()}
	for s.bytes > s.limit {
		s.drop(s.oldest())
	}
	return nil
}

// oldest is the pack that was not read for the longest time; mu is held.
func (s *shelf) oldest() (name manifest.Digest) {
	var first *book
	for n, b := range s.packs {
		if first == nil || b.used.Before(first.used) {
			name, first = n, b
		}
	}
	return name
}

// drop takes a pack off; mu is held. A file that can't be removed, on Windows because it is being read, is when the shelf is opened next.
func (s *shelf) drop(name manifest.Digest) {
	s.bytes -= s.packs[name].size
	delete(s.packs, name)
	os.Remove(s.path(name))
}

// discard takes a pack off that turned out to be damaged. It tells whether it was there.
func (s *shelf) discard(name manifest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := s.packs[name] != nil
	if there {
		s.drop(name)
	}
	return there
}

// close notes which packs were used last.
func (s *shelf) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.packs {
		os.Chtimes(s.path(name), b.used, b.used) // only a hint
	}
}

// ReadAt implements Store.
func (s *shelf) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	digest, ok := s.book(name)
	if !ok {
		return 0, notExist(name)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	f, err := os.Open(s.path(digest))
	if err != nil {
		return 0, err
	}
	defer f.Close() // only read
	return f.ReadAt(p, off)
}

// Size implements Store.
func (s *shelf) Size(_ context.Context, name string) (int64, error) {
	if digest, ok := s.book(name); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if b := s.packs[digest]; b != nil {
			return b.size, nil
		}
	}
	return 0, notExist(name)
}

// book finds the pack of a name in the tree.
func (s *shelf) book(name string) (manifest.Digest, bool) {
	machine, digest, ok := manifest.ParsePackName(name)
	return digest, ok && machine == s.machine && s.has(digest)
}

// List implements Store: there is nothing on the shelf that a store behind it doesn't have.
func (s *shelf) List(context.Context, string, func(string, int64) error) error { return nil }
