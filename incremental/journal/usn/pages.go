package usn

import (
	"encoding/binary"
	"fmt"
	"io"
)

// stream is the journal as it lies on the volume: $UsnJrnl:$J. A record's USN is its place in it. What Windows gave up at the
// beginning is a hole.
type stream interface {
	io.ReaderAt
	Size() int64
	NextData(off int64) (start, end int64, err error)
}

// pages reads records from a stream. No record crosses a page; what is left of one is zero.
type pages struct {
	s   stream
	buf []byte
}

// bounds returns where the oldest record is, and where the newest ends.
func (p *pages) bounds() (first, next uint64, err error) {
	start, _, err := p.s.NextData(0)
	if err == io.EOF {
		n := uint64(p.s.Size())
		return n, n, nil
	}
	if err != nil {
		return 0, 0, err
	}
	first = (uint64(start) + pageSize - 1) &^ (pageSize - 1)
	next = uint64(p.s.Size())
	// Behind the newest record there may be pages that were made ready for more, or whose records had not been written yet.
	for next > first {
		page, at := pageBefore(next), uint64(0)
		b, err := p.read(page, 1)
		if err != nil {
			return 0, 0, err
		}
		for at+8 <= uint64(len(b)) {
			n := uint64(binary.LittleEndian.Uint32(b[at:]))
			if n == 0 || n > uint64(len(b))-at {
				break
			}
			at += n
		}
		if at > 0 {
			return first, page + at, nil
		}
		next = page
	}
	return first, next, nil
}

// read returns pages of the stream; the last one may be short. What it returns is good until it is called again.
func (p *pages) read(at uint64, count int) ([]byte, error) {
	if p.buf == nil {
		p.buf = make([]byte, 64*pageSize)
	}
	n := min(count*pageSize, len(p.buf))
	if size := uint64(p.s.Size()); at+uint64(n) > size {
		n = int(size - min(size, at))
	}
	m, err := p.s.ReadAt(p.buf[:n], int64(at))
	if m < n {
		return nil, fmt.Errorf("reading the journal at %d: %w", at, err)
	}
	return p.buf[:n], nil
}

// records fills buf as Device.Read does, with records before next.
func (p *pages) records(start, next uint64, buf []byte) (int, error) {
	at, n := start, 8
	for at < next && n < len(buf) {
		page := at &^ (pageSize - 1)
		b, err := p.read(page, (len(buf)-n)/pageSize+1)
		if err != nil {
			return 0, err
		}
		b = b[:min(uint64(len(b)), next-page)]
		in, m, full, err := copyRecords(buf[n:], b, int(at-page), page)
		if err != nil {
			return 0, err
		}
		at, n = page+uint64(in), n+m
		if full {
			break
		}
	}
	binary.LittleEndian.PutUint64(buf, at)
	return n, nil
}

// copyRecords copies the records of pages, from offset in on, and returns how far it came, how much it copied, and whether the next one had no room.
func copyRecords(to, b []byte, in int, base uint64) (at, n int, full bool, err error) {
	for in+8 <= len(b) {
		left := min(pageSize-in%pageSize, len(b)-in)
		size := binary.LittleEndian.Uint32(b[in:])
		if size == 0 {
			if in%pageSize == 0 {
				return 0, 0, false, fmt.Errorf("%w: nothing on the page at %d, though there is something behind it", errDamaged, base+uint64(in))
			}
			in = in&^(pageSize-1) + pageSize
			continue
		}
		if size%8 != 0 || size < 32 || int64(size) > int64(left) {
			return 0, 0, false, fmt.Errorf("%w: %d bytes long, at %d", errDamaged, size, base+uint64(in))
		}
		if int(size) > len(to)-n {
			return in, n, true, nil
		}
		usn := 40
		if binary.LittleEndian.Uint16(b[in+4:]) == 2 {
			usn = 24
		}
		if int(size) < usn+8 || le64(b[in+usn:]) != base+uint64(in) {
			return 0, 0, false, fmt.Errorf("%w: the one at %d is not of that place", errDamaged, base+uint64(in))
		}
		n += copy(to[n:], b[in:in+int(size)])
		in += int(size)
	}
	return max(in, len(b)), n, false, nil
}
