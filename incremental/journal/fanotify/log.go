package fanotify

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A log is written in segments, files named by the journal's id and the position they begin at. Nothing is synced but at
// the end: what a log says is worth something only until the machine stops, and until then the page cache has it.
type log struct {
	dir, journal string
	max          int64 // bytes of all segments
	segments     []uint64
	file         *os.File // the last segment
	next         uint64
	buf          []byte
}

const segmentsPerLog = 8

func segmentName(journal string, first uint64) string {
	return fmt.Sprintf("%s-%016x.log", journal, first)
}

// newLog begins a journal's log. Logs of other journals in the directory are removed.
func newLog(dir, journal string, max int64) (*log, error) {
	old, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	l := &log{dir: dir, journal: journal, max: max}
	if err := l.segment(); err != nil {
		return nil, err
	}
	return l, nil
}

// resumeLog goes on with a log that another agent left, which must be whole to its end.
func resumeLog(dir, journal string, max int64) (*log, error) {
	segments, err := listSegments(dir, journal)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		return nil, errors.New("the log is gone")
	}
	l := &log{dir: dir, journal: journal, max: max, segments: segments}
	last := segments[len(segments)-1]
	name := filepath.Join(dir, segmentName(journal, last))
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	l.next = last + uint64(info.Size())
	if err := readSegment(name, journal, last, last, l.next, func([]byte) error { return nil }); err != nil {
		return nil, err
	}
	l.file, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	return l, err
}

func (l *log) first() uint64 { return l.segments[0] }

// append adds a frame. After an error the log must not be used any more.
func (l *log) append(payload []byte) error {
	size := l.next - l.segments[len(l.segments)-1]
	if size > 0 && size+frameHeader+uint64(len(payload)) > uint64(l.max/segmentsPerLog) {
		if err := l.segment(); err != nil {
			return err
		}
	}
	l.buf = appendFrame(l.buf[:0], l.journal, l.next, payload)
	n, err := l.file.Write(l.buf)
	l.next += uint64(n)
	return err
}

// segment begins a segment, and drops the oldest when there are too many.
func (l *log) segment() error {
	f, err := os.OpenFile(filepath.Join(l.dir, segmentName(l.journal, l.next)), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			f.Close()
			return err
		}
	}
	l.file = f
	l.segments = append(l.segments, l.next)
	for len(l.segments) > segmentsPerLog {
		if err := os.Remove(filepath.Join(l.dir, segmentName(l.journal, l.first()))); err != nil {
			return err
		}
		l.segments = l.segments[1:]
	}
	return nil
}

// since is a moment not before that of the first position, and not long after it; zero if it isn't known.
func (l *log) since(started time.Time) time.Time {
	if l.first() == 0 {
		return started
	}
	info, err := os.Stat(filepath.Join(l.dir, segmentName(l.journal, l.first())))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (l *log) close() error {
	return errors.Join(l.file.Sync(), l.file.Close())
}

// listSegments returns where a journal's segments begin, in order.
func listSegments(dir, journal string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []uint64
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), journal+"-")
		hex, ok2 := strings.CutSuffix(name, ".log")
		if first, err := strconv.ParseUint(hex, 16, 64); ok && ok2 && err == nil {
			list = append(list, first)
		}
	}
	slices.Sort(list)
	return list, nil
}

// errWrapped says that a log no longer has a position.
var errWrapped = errors.New("the log begins later")

// readLog calls each with the payloads of the frames from one position to another. The payload is each's until it returns.
func readLog(dir, journal string, from, to uint64, each func(payload []byte) error) error {
	segments, err := listSegments(dir, journal)
	if err != nil {
		return err
	}
	if len(segments) == 0 || segments[0] > from {
		return errWrapped
	}
	for i, first := range segments {
		end := to
		if i+1 < len(segments) {
			end = min(end, segments[i+1])
		}
		if end <= from || first >= to {
			continue
		}
		err := readSegment(filepath.Join(dir, segmentName(journal, first)), journal, first, max(from, first), end, each)
		if errors.Is(err, fs.ErrNotExist) {
			return errWrapped // dropped since it was listed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readSegment reads the frames of a segment between two positions, both of which are ends of frames.
func readSegment(name, journal string, first, from, to uint64, each func([]byte) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.NewSectionReader(f, int64(from-first), int64(to-from)), 256<<10)
	var payload []byte
	for at := from; at < to; {
		var h [frameHeader]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return fmt.Errorf("%s at %d: %w", name, at, err)
		}
		n := binary.LittleEndian.Uint32(h[:])
		if n == 0 || n > maxPayload {
			return fmt.Errorf("%s at %d: a frame of %d bytes", name, at, n)
		}
		payload = slices.Grow(payload[:0], int(n))[:n]
		if _, err := io.ReadFull(r, payload); err != nil {
			return fmt.Errorf("%s at %d: %w", name, at, err)
		}
		if checksum(journal, at, payload) != binary.LittleEndian.Uint32(h[4:]) {
			return fmt.Errorf("%s at %d: a frame with a wrong checksum", name, at)
		}
		at += frameHeader + uint64(n)
		if err := each(payload); err != nil {
			return err
		}
	}
	return nil
}
