package index

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// Segments are merged when fanIn of the newest are of a size, or when there are
// more than maxSegments, which takes a very uneven history.
const (
	fanIn       = 4
	maxSegments = 10
)

// plan chooses the newest segments to merge, as many as there are that are none
// larger than all the newer ones together: so a chunk is rewritten a
// logarithmic number of times. It returns nil when there is nothing to do.
// Only neighbours are merged, or newest first would no longer hold.
func plan(list []*segment) []*segment {
	if len(list) < fanIn {
		return nil
	}
	at := len(list) - 1
	sum := list[at].entries
	for at > 0 && list[at-1].entries <= sum && sum+list[at-1].entries <= maxEntries {
		at--
		sum += list[at].entries
	}
	if len(list)-at >= fanIn {
		return slices.Clone(list[at:])
	}
	if len(list) > maxSegments {
		return slices.Clone(list[len(list)-fanIn:])
	}
	return nil
}

// compact merges until nothing is left to merge. A segment found to be damaged
// is dropped; its commits are no longer covered.
func (x *Index) compact() error {
	for {
		group := plan(x.segments)
		if group == nil {
			return nil
		}
		fresh, err := merge(x.dir, group)
		if bad := (*damagedError)(nil); errors.As(err, &bad) {
			if err := x.replace([]*segment{bad.segment}, nil); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("merging segments of the chunk index: %w", err)
		}
		if err := x.replace(group, fresh); err != nil {
			return err
		}
	}
}

// damagedError tells which of the merged segments is damaged or can't be read:
// dropping it is cheaper than an index that can't be added to.
type damagedError struct{ segment *segment }

func (e *damagedError) Error() string { return e.segment.f.Name() + ": " + errDamaged.Error() }

// merge writes one segment from neighbours, oldest first. Its memory is some
// buffers for each.
func merge(dir string, group []*segment) (*segment, error) {
	w, err := newWriter(dir)
	if err != nil {
		return nil, err
	}
	defer w.abort()
	var cursors []*cursor
	var n uint64
	var tags []string
	for _, s := range group {
		base := uint32(w.frames)
		if err := copyFrames(w, s); err != nil {
			return nil, err
		}
		cursors = append(cursors, s.cursor(base))
		n += s.entries
		tags = append(tags, s.tags...)
	}
	m, err := newMerger(cursors)
	if err != nil {
		return nil, err
	}
	if err := w.finish(m, n, tags); err != nil {
		return nil, err
	}
	return w.publish(dir, group[0].from, group[len(group)-1].to)
}

// copyFrames appends the frames of s and checks their sum.
func copyFrames(w *writer, s *segment) error {
	r := io.NewSectionReader(s.f, headerSize, int64(s.frames)*frameSize)
	buf := make([]byte, bufferSize/frameSize*frameSize)
	var sum uint32
	for {
		n, err := io.ReadFull(r, buf)
		if err == io.EOF {
			break
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return &damagedError{s}
		}
		sum = crc32.Update(sum, castagnoli, buf[:n])
		if err := w.addFrames(buf[:n]); err != nil {
			return err
		}
	}
	if sum != s.framesSum {
		return &damagedError{s}
	}
	return nil
}
