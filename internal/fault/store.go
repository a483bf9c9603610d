package fault

import (
	"context"
	"io"
)

// A Backend is what can be made to fail: the methods that all stores have.
type Backend interface {
	Put(ctx context.Context, name string, body io.ReadSeeker) error
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Size(ctx context.Context, name string) (int64, error)
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
	Remove(ctx context.Context, name string) error
}

// A Store is a backend whose operations fail as a script says. The operations are called put, read, size, list and remove.
type Store struct {
	Inner  Backend
	Script *Script
}

// Put creates an object, or fails. A Put that fails amid leaves nothing: what a store makes visible it makes visible whole.
func (s Store) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	when, err := s.Script.next("put", name)
	switch {
	case err == nil:
		return s.Inner.Put(ctx, name, body)
	case when == After:
		if real := s.Inner.Put(ctx, name, body); real != nil {
			return real
		}
	case when == Amid:
		size, serr := body.Seek(0, io.SeekEnd)
		if serr == nil {
			_, serr = body.Seek(0, io.SeekStart)
		}
		if serr == nil {
			_, serr = io.CopyN(io.Discard, body, size/2)
		}
		if serr != nil {
			return serr
		}
	}
	return err
}

// ReadAt reads, or fails with none, half or all of the bytes read.
func (s Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	when, err := s.Script.next("read", name)
	switch {
	case err == nil:
		return s.Inner.ReadAt(ctx, name, p, off)
	case when == After:
		// All bytes and an error: an io.ReaderAt may do that only with io.EOF, so this one has one less.
		p = p[:max(len(p), 1)-1]
	case when == Amid:
		p = p[:len(p)/2]
	default:
		return 0, err
	}
	n, _ := s.Inner.ReadAt(ctx, name, p, off)
	return n, err
}

// Size tells an object's size, or fails.
func (s Store) Size(ctx context.Context, name string) (int64, error) {
	if _, err := s.Script.next("size", name); err != nil {
		return 0, err
	}
	return s.Inner.Size(ctx, name)
}

// List lists, or fails having listed nothing, half or all.
func (s Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	when, err := s.Script.next("list", prefix)
	if err == nil {
		return s.Inner.List(ctx, prefix, each)
	}
	var names []string
	var sizes []int64
	if real := s.Inner.List(ctx, prefix, func(name string, size int64) error {
		names, sizes = append(names, name), append(sizes, size)
		return nil
	}); real != nil {
		return real
	}
	listed := map[When]int{Before: 0, Amid: len(names) / 2, After: len(names)}[when]
	for i := range listed {
		if real := each(names[i], sizes[i]); real != nil {
			return real
		}
	}
	return err
}

// Remove removes an object, or fails.
func (s Store) Remove(ctx context.Context, name string) error {
	when, err := s.Script.next("remove", name)
	if err == nil {
		return s.Inner.Remove(ctx, name)
	}
	if when == After {
		if real := s.Inner.Remove(ctx, name); real != nil {
			return real
		}
	}
	return err
}
