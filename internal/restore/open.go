package restore

import (
	"container/list"
	"io"
	"sync"
)

// An openSet keeps a bounded number of things open that are not in use just now: directories, or
// files being filled.
type openSet[T io.Closer] struct {
	limit int
	mu    sync.Mutex // guards idle, and the slots' users and place
	idle  list.List  // of *slot[T], the one used last in front
}

// A slot is the place of one thing in an openSet. The zero value is not open.
type slot[T io.Closer] struct {
	opening sync.Mutex // guards isOpen and thing while there are users
	isOpen  bool
	thing   T
	users   int
	place   *list.Element // in idle
}

// acquire returns the slot's thing, opening it when it isn't. It stays open until release.
func (s *openSet[T]) acquire(x *slot[T], open func() (T, error)) (T, error) {
	s.mu.Lock()
	x.users++
	if x.place != nil {
		s.idle.Remove(x.place)
		x.place = nil
	}
	s.mu.Unlock()
	x.opening.Lock()
	defer x.opening.Unlock()
	if x.isOpen {
		return x.thing, nil
	}
	thing, err := open()
	if err != nil {
		s.mu.Lock()
		x.users--
		s.mu.Unlock()
		return thing, err
	}
	x.thing, x.isOpen = thing, true
	return thing, nil
}

// release lets go of what acquire returned. What has been idle longest is closed when there is too much.
func (s *openSet[T]) release(x *slot[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.users--; x.users > 0 || !x.isOpen {
		return
	}
	x.place = s.idle.PushFront(x)
	if s.idle.Len() > s.limit {
		s.shut(s.idle.Back().Value.(*slot[T]))
	}
}

// shut closes an idle slot. Files are closed before they are complete, so an error shows
// again, or is one of a file that is given up.
func (s *openSet[T]) shut(x *slot[T]) error {
	s.idle.Remove(x.place)
	x.place, x.isOpen = nil, false
	return x.thing.Close()
}

// discard closes the slot's thing if nobody uses it.
func (s *openSet[T]) discard(x *slot[T]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.place == nil {
		return nil
	}
	return s.shut(x)
}

func (s *openSet[T]) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.idle.Len() > 0 {
		s.shut(s.idle.Back().Value.(*slot[T]))
	}
}
