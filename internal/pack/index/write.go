package index

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// writer writes a segment under a temporary name: all frames first, then, in
// one pass over the entries in order, filter and entries side by side.
type writer struct {
	footer
	f   *os.File
	out *bufio.Writer // to the end of the frames
}

const (
	tempPattern = "tmp-*" // what a dead process left is removed by the next Add
	bufferSize  = 64 << 10
)

func newWriter(dir string) (*writer, error) {
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return nil, err
	}
	w := &writer{f: f, out: bufio.NewWriterSize(f, bufferSize)}
	if _, err := w.out.Write(header()); err != nil {
		w.abort()
		return nil, err
	}
	return w, nil
}

// addFrames appends rows of frames.
func (w *writer) addFrames(rows []byte) error {
	w.frames += uint64(len(rows) / frameSize)
	w.framesSum = crc32.Update(w.framesSum, castagnoli, rows)
	_, err := w.out.Write(rows)
	return err
}

// finish writes everything after the frames, from at most n entries, and closes the file.
func (w *writer) finish(m *merger, n uint64, tags []string) error {
	if err := w.out.Flush(); err != nil {
		return err
	}
	w.lines = linesFor(n)
	if err := w.addEntries(m); err != nil {
		return err
	}
	b := encodeTags(tags)
	w.tagBytes = uint64(len(b))
	b = append(b, w.encode(b)...)
	if _, err := w.f.WriteAt(b, w.tagsAt()); err != nil {
		return err
	}
	return w.f.Close()
}

// addEntries writes the filter and the entries. Of equal keys the first is kept.
func (w *writer) addEntries(m *merger) error {
	rows := bufio.NewWriterSize(io.NewOffsetWriter(w.f, w.entriesAt()), bufferSize)
	filter := filterWriter{lines: w.lines, out: bufio.NewWriterSize(io.NewOffsetWriter(w.f, w.filterAt()), bufferSize)}
	var row [entrySize]byte
	var last halves
	for {
		e, ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		// Entries out of order, from a damaged segment, would spoil the filter.
		if w.entries > 0 && e.key.compare(last) <= 0 {
			continue
		}
		if err := filter.add(e.key, w.entries); err != nil {
			return err
		}
		e.put(row[:])
		w.entriesSum = crc32.Update(w.entriesSum, castagnoli, row[:])
		if _, err := rows.Write(row[:]); err != nil {
			return err
		}
		last = e.key
		w.entries++
	}
	if err := filter.close(w.entries); err != nil {
		return err
	}
	return rows.Flush()
}

// publish gives the finished file its name and opens it.
func (w *writer) publish(dir string, from, to uint64) (*segment, error) {
	path := filepath.Join(dir, segmentName(from, to))
	if err := os.Rename(w.f.Name(), path); err != nil {
		return nil, err
	}
	s, err := openSegment(path, from, to)
	if err != nil {
		return nil, fmt.Errorf("opening what was just written: %w", err)
	}
	return s, nil
}

// abort drops the file, if it wasn't published. Its errors change nothing: the
// next Add removes what is left.
func (w *writer) abort() {
	w.f.Close()
	os.Remove(w.f.Name())
}

// filterWriter writes a filter from keys in order, a line at a time.
type filterWriter struct {
	out   *bufio.Writer
	lines uint64
	at    uint64 // the line being filled
	line  [lineSize]byte
}

// add takes in the key of an entry.
func (f *filterWriter) add(k halves, ordinal uint64) error {
	if err := f.advance(k.line(f.lines), ordinal); err != nil {
		return err
	}
	k.mark(f.line[:])
	return nil
}

// advance writes the lines before to; the entry called ordinal is the next to come.
func (f *filterWriter) advance(to, ordinal uint64) error {
	for ; f.at < to; f.at++ {
		if _, err := f.out.Write(f.line[:]); err != nil {
			return err
		}
		f.line = [lineSize]byte{byte(ordinal), byte(ordinal >> 8), byte(ordinal >> 16), byte(ordinal >> 24)}
	}
	return nil
}

// close writes the lines that are left and the one after them, which tells
// where the last one's entries end.
func (f *filterWriter) close(entries uint64) error {
	if err := f.advance(f.lines+1, entries); err != nil {
		return err
	}
	return f.out.Flush()
}
