package pack

import (
	"fmt"

	"waybill/manifest"
)

// A frame under construction: plain bytes and where the chunks lie in them; then compressed.
type frame struct {
	class  manifest.Class
	plain  []byte
	chunks []Chunk
	zstd   []byte // compressed; empty when that is not worth it
}

func (f *frame) reset() { f.plain, f.chunks, f.zstd = f.plain[:0], f.chunks[:0], f.zstd[:0] }

// stored is the frame in the form it is stored in.
func (f *frame) stored() (b []byte, method uint8) {
	if len(f.zstd) > 0 {
		return f.zstd, methodZstd
	}
	return f.plain, methodStored
}

// A Stream takes one producer's chunks in order and groups the new ones into frames,
// so that what is read together lies together. It is not safe for concurrent use.
type Stream struct {
	w      *Writer
	class  *class
	hasher *Hasher
	frame  *frame
}

// Add stores the chunk b unless it is known. It returns its id and whether it was new. It
// keeps nothing of b.
func (s *Stream) Add(b []byte) (id ID, isNew bool, err error) {
	if err := s.check(b); err != nil {
		return id, false, err
	}
	id = s.hasher.Sum(b)
	if s.isKnown(id) {
		return id, false, nil
	}
	if err := s.room(len(b)); err != nil {
		return id, true, err
	}
	s.frame.plain = append(s.frame.plain, b...)
	s.record(id, len(b))
	return id, true, nil
}

// Reserve returns space for n bytes, at most 128 KiB and one, at the end of the frame under
// construction, so that a small file can be read straight to where it will be
// compressed. Take then turns parts of it into at most 32,768 chunks; what isn't taken is dropped.
func (s *Stream) Reserve(n int) ([]byte, error) {
	if err := s.room(n); err != nil {
		return nil, err
	}
	at := len(s.frame.plain)
	return s.frame.plain[at : at+n : at+n], nil
}

// Take makes a chunk of b, which must lie in the last Reserve's space, behind what was taken of it before.
func (s *Stream) Take(b []byte) (id ID, isNew bool, err error) {
	if err := s.check(b); err != nil {
		return id, false, err
	}
	if len(s.frame.chunks) == maxPerFrame {
		return id, false, fmt.Errorf("more than %d chunks in a frame", maxPerFrame)
	}
	id = s.hasher.Sum(b)
	if s.isKnown(id) {
		return id, false, nil
	}
	s.frame.plain = append(s.frame.plain, b...) // within capacity: at most a move to the front
	s.record(id, len(b))
	return id, true, nil
}

// Flush hands over the frame under construction, if any. A stream that is flushed holds nothing.
func (s *Stream) Flush() error {
	f := s.frame
	s.frame = nil
	if f == nil {
		return s.w.err()
	}
	if len(f.chunks) == 0 {
		s.class.release(f)
		return s.w.err()
	}
	return s.w.submit(f)
}

// check refuses what a reader would.
func (s *Stream) check(b []byte) error {
	if len(b) == 0 || len(b) > s.class.largest {
		return fmt.Errorf("a chunk of %d bytes: the format allows 1 to %d", len(b), s.class.largest)
	}
	return nil
}

func (s *Stream) isKnown(id ID) bool {
	p := id.Prefix()
	return s.class.known != nil && s.class.known.Has(p) || !s.class.pending.Insert(p)
}

// room sees to it that there is a frame with space for n more bytes: the one at hand,
// or a new one once a worker is done with it.
func (s *Stream) room(n int) error {
	if s.frame != nil && s.isFull() {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	if s.frame == nil {
		select {
		case s.frame = <-s.class.free:
		case <-s.w.ctx.Done():
			return s.w.err()
		}
		if s.frame == nil {
			s.frame = &frame{class: s.class.name, plain: make([]byte, 0, s.class.target+slack)}
		}
	}
	if free := cap(s.frame.plain) - len(s.frame.plain); free < n {
		if len(s.frame.chunks) > 0 {
			if err := s.Flush(); err != nil {
				return err
			}
			return s.room(n)
		}
		s.frame.plain = make([]byte, 0, n) // one chunk larger than any frame: a node with huge attributes
	}
	return nil
}

// isFull leaves room in the count of chunks for what one Reserve can be cut into.
func (s *Stream) isFull() bool {
	return len(s.frame.plain) >= s.class.target || len(s.frame.chunks) >= maxPerFrame/2
}

// record notes the chunk that the frame now ends with.
func (s *Stream) record(id ID, n int) {
	f := s.frame
	f.chunks = append(f.chunks, Chunk{Prefix: id.Prefix(), Start: uint32(len(f.plain) - n), Length: uint32(n)})
}
