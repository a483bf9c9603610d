package ntfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Stream is the bytes of one stream of a file. Parts that were never written, or are kept as holes, read as zeros.
type Stream struct {
	dev      io.ReaderAt
	cluster  int64
	place    string
	resident []byte // not nil: all of it
	runs     []run
	size     int64
	valid    int64
	unit     int64 // bytes of a compression unit; 0: not compressed
	unpacked *unpacked
}

// OpenStream opens a stream of a file: "" is its data. The error is fs.ErrNotExist if the file has no such stream,
// ErrEncrypted if it can't be read. What is opened doesn't notice that the volume changes.
func (v *Volume) OpenStream(frn FRN, name string) (*Stream, error) {
	r, err := v.Lookup(frn)
	if err != nil {
		return nil, err
	}
	return r.Open(name)
}

// Open is [Volume.OpenStream] for a file at hand. The stream stays valid when r doesn't.
func (r *Record) Open(name string) (*Stream, error) {
	for i := range r.attrs {
		a := &r.attrs[i]
		if a.typ != attrData || !a.resident && a.vcn > 0 || string(appendWTF8(nil, a.name)) != name {
			continue
		}
		if a.flags&flagEncrypted != 0 {
			return nil, ErrEncrypted
		}
		s, err := r.parts(attrData, a.name)
		if err == nil && s.resident != nil {
			s.resident = append([]byte{}, s.resident...)
		}
		return s, err
	}
	return nil, fs.ErrNotExist
}

// value returns all of a small attribute: of its first part, if it has several.
func (r *Record) value(a *attr, limit int64) ([]byte, error) {
	if a.resident {
		return a.value, nil
	}
	if a.size > limit {
		return nil, damaged(r.place(), "%d bytes in attribute %#x", a.size, a.typ)
	}
	s, err := r.parts(a.typ, a.name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, a.size)
	_, err = s.ReadAt(b, 0)
	return b, err
}

// parts puts an attribute together from its parts. A resident one goes on pointing into r.
func (r *Record) parts(typ uint32, name []byte) (*Stream, error) {
	s := &Stream{dev: r.v.dev, cluster: r.v.boot.cluster, place: r.place()}
	var list []*attr
	for i := range r.attrs {
		if a := &r.attrs[i]; a.typ == typ && bytes.Equal(a.name, name) {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return nil, fs.ErrNotExist
	}
	slices.SortStableFunc(list, func(a, b *attr) int { return int(min(max(a.vcn-b.vcn, -1), 1)) })
	first := list[0]
	s.size, s.valid = first.size, first.valid
	if first.resident {
		s.resident = first.value
		if s.resident == nil {
			s.resident = []byte{}
		}
		return s, nil
	}
	if first.flags&flagCompressed != 0 && first.unit != 0 {
		s.unit = s.cluster << min(first.unit, 32)
		if s.unit > 1<<20 {
			return nil, damaged(s.place, "compressed in units of %d bytes", s.unit)
		}
		s.unpacked = new(unpacked)
	}
	return s, s.join(list, r.v.boot.size/s.cluster, typ == attrData && r.FRN.Record() == recordMFT)
}

// join makes one list of runs. Of the master file table the end may not be known yet.
func (s *Stream) join(list []*attr, clusters int64, growing bool) error {
	next := int64(0)
	for _, a := range list {
		if a.resident || a.vcn != next {
			return damaged(s.place, "the runs from cluster %d of attribute %#x are missing", next, a.typ)
		}
		var err error
		if s.runs, err = appendRuns(s.runs, a.value, a.vcn, clusters, s.place); err != nil {
			return err
		}
		if n := len(s.runs); n > 0 {
			next = s.runs[n-1].vcn + s.runs[n-1].count
		}
	}
	if end := next * s.cluster; end < s.valid {
		if !growing {
			return damaged(s.place, "attribute %#x has %d bytes, but room for %d", list[0].typ, s.valid, end)
		}
		s.size, s.valid = min(s.size, end), end
	}
	return nil
}

// Size returns the number of bytes in the stream.
func (s *Stream) Size() int64 { return s.size }

// ReadAt is [io.ReaderAt].
func (s *Stream) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	var eof error
	if int64(len(p)) > s.size-off {
		p, eof = p[:s.size-off], io.EOF
	}
	if s.resident != nil {
		return copy(p, s.resident[min(off, int64(len(s.resident))):]), eof
	}
	n := 0
	if off < s.valid {
		var err error
		n, err = s.read(p[:min(int64(len(p)), s.valid-off)], off)
		if err != nil {
			return n, err
		}
	}
	clear(p[n:])
	return len(p), eof
}

func (s *Stream) read(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		var m int
		var err error
		if s.unit > 0 {
			m, err = s.readUnit(p[n:], off+int64(n))
		} else {
			m, err = s.readRun(p[n:], off+int64(n))
		}
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// readRun reads what lies in one run.
func (s *Stream) readRun(p []byte, off int64) (int, error) {
	i := runAt(s.runs, off/s.cluster)
	if i == len(s.runs) {
		return 0, damaged(s.place, "nothing is at byte %d", off)
	}
	r := s.runs[i]
	in := off - r.vcn*s.cluster
	p = p[:min(int64(len(p)), r.count*s.cluster-in)]
	if r.lcn == hole {
		clear(p)
		return len(p), nil
	}
	n, err := s.dev.ReadAt(p, r.lcn*s.cluster+in)
	if n == len(p) {
		return n, nil
	}
	if err == io.EOF || err == nil {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("reading the volume at byte %d: %w", r.lcn*s.cluster+in, err)
}

// NextData returns the first stretch of data at or after off; what lies between off and start is a hole. It returns
// io.EOF when only a hole follows, up to the end.
func (s *Stream) NextData(off int64) (start, end int64, err error) {
	if off < 0 || off >= s.valid {
		return 0, 0, io.EOF
	}
	if s.resident != nil {
		return off, s.size, nil
	}
	grain := max(s.unit, s.cluster)
	for i := runAt(s.runs, off/grain*grain/s.cluster); i < len(s.runs); i++ {
		r := s.runs[i]
		if r.lcn == hole {
			continue
		}
		from, to := r.vcn*s.cluster/grain*grain, (r.end()*s.cluster+grain-1)/grain*grain
		switch {
		case to <= off:
		case end == 0:
			start, end = max(from, off), to
		case from > end:
			return start, min(end, s.valid), nil
		default:
			end = max(end, to)
		}
	}
	if end == 0 || start >= s.valid {
		return 0, 0, io.EOF
	}
	return start, min(end, s.valid), nil
}
