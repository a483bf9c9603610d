package ntfs

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// secure is the security descriptors, which files share: they are in the stream $SDS of $Secure, and the index $SII says where.
type secure struct {
	once sync.Once
	err  error
	sds  *Stream
	at   map[uint32]place

	mu    sync.Mutex // guards what follows
	known map[uint32][]byte
	bytes int
}

type place struct {
	offset int64
	size   uint32
}

const (
	maxDescriptor = 256 << 10
	keepSecurity  = 4 << 20
	sdsHead       = 20
)

// Security returns the self-relative security descriptor with this id (Standard.Security), which is shared: don't change it. The
// error is fs.ErrNotExist if there is none.
func (v *Volume) Security(id uint32) ([]byte, error) {
	s := &v.secure
	s.once.Do(func() { s.err = v.openSecure() })
	if s.err != nil {
		return nil, s.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.known[id]; ok {
		return b, nil
	}
	p, ok := s.at[id]
	if !ok {
		return nil, fs.ErrNotExist
	}
	b, err := s.read(id, p)
	if err != nil {
		return nil, err
	}
	if s.bytes += len(b); s.bytes > keepSecurity || s.known == nil {
		s.known, s.bytes = map[uint32][]byte{}, len(b)
	}
	s.known[id] = b
	return b, nil
}

// SecurityOf returns the security descriptor of a file, wherever it has it, and fs.ErrNotExist if it has none. Don't change it.
func (v *Volume) SecurityOf(r *Record) ([]byte, error) {
	if id := r.Standard.Security; id != 0 {
		b, err := v.Security(id)
		if errors.Is(err, fs.ErrNotExist) {
			err = damaged(r.place(), "there is no security descriptor %d, which it has", id)
		}
		return b, err
	}
	a := r.find(attrSecurity, "")
	if a == nil {
		return nil, fs.ErrNotExist
	}
	return r.value(a, maxDescriptor)
}

// openSecure reads the index of all ids.
func (v *Volume) openSecure() error {
	r, err := v.Record(recordSecure)
	if err != nil {
		return fmt.Errorf("$Secure: %w", err)
	}
	if v.secure.sds, err = r.Open("$SDS"); err != nil {
		return fmt.Errorf("$Secure: %w", err)
	}
	v.secure.sds.dev = v.meta
	x, err := r.index("$SII")
	if err != nil {
		return err
	}
	at := map[uint32]place{}
	err = x.each(func(it indexItem) error {
		// 0x00 data offset u16   0x02 data length u16 ... 0x10 key: id u32; data: hash u32, id u32, offset u64, size u32
		from := int(u16(it.raw, 0))
		if len(it.key) < 4 || from+sdsHead > len(it.raw) {
			return damaged(x.place(), "an entry of %d bytes", len(it.raw))
		}
		data := it.raw[from:]
		at[u32(it.key, 0)] = place{int64(u64(data, 8)), u32(data, 16)}
		return nil
	})
	v.secure.at = at
	return err
}

// read reads a descriptor, which lies behind a copy of what the index says about it.
func (s *secure) read(id uint32, p place) ([]byte, error) {
	where := fmt.Sprintf("security descriptor %d", id)
	if p.size < sdsHead || p.size > maxDescriptor+sdsHead || p.offset < 0 || p.offset > s.sds.size-int64(p.size) {
		return nil, damaged(where, "%d bytes at %d", p.size, p.offset)
	}
	b := make([]byte, p.size)
	if _, err := s.sds.ReadAt(b, p.offset); err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if u32(b, 4) != id || int64(u64(b, 8)) != p.offset || u32(b, 16) != p.size {
		return nil, damaged(where, "its head says another thing")
	}
	return b[sdsHead:], nil
}
