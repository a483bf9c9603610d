package ntfs

import "sync"

// unpacked is the compression unit of a stream that was read last.
type unpacked struct {
	mu    sync.Mutex // guards all
	plain []byte
	which int64 // its number + 1
	raw   []byte
}

// readUnit reads what lies in one compression unit: as many clusters as it would need plain if they all are there, none if it is a hole, else
// the first of them hold it compressed.
func (s *Stream) readUnit(p []byte, off int64) (int, error) {
	n, in := off/s.unit, off%s.unit
	p = p[:min(int64(len(p)), s.unit-in)]
	per := s.unit / s.cluster
	there, known := s.present(n*per, per)
	switch {
	case !known:
		return 0, damaged(s.place, "nothing is at byte %d", off)
	case there == 0:
		clear(p)
		return len(p), nil
	case there == per:
		return s.readRun(p, off)
	}
	u := s.unpacked
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.which != n+1 {
		if err := s.unpack(n, there); err != nil {
			return 0, err
		}
	}
	return copy(p, u.plain[in:]), nil
}

// present counts the clusters from vcn that aren't holes; known is false when the runs end before.
func (s *Stream) present(vcn, count int64) (there int64, known bool) {
	for i := runAt(s.runs, vcn); i < len(s.runs) && s.runs[i].vcn < vcn+count; i++ {
		r := s.runs[i]
		known = true
		if r.lcn != hole {
			there += min(r.end(), vcn+count) - max(r.vcn, vcn)
		}
	}
	return there, known
}

// unpack reads unit n, of which the first clusters are there.
func (s *Stream) unpack(n, clusters int64) error {
	u := s.unpacked
	if u.plain == nil {
		u.plain, u.raw = make([]byte, s.unit), make([]byte, s.unit)
	}
	u.which = 0
	raw := u.raw[:clusters*s.cluster]
	for at := int64(0); at < int64(len(raw)); {
		m, err := s.readRun(raw[at:], n*s.unit+at)
		if err != nil {
			return err
		}
		at += int64(m)
	}
	m, ok := unpackLZNT1(u.plain, raw)
	if !ok {
		return damaged(s.place, "what is compressed at byte %d makes no sense", n*s.unit)
	}
	clear(u.plain[m:])
	u.which = n + 1
	return nil
}
