package ntfs

import (
	"fmt"
	"io"
	"sync"
)

// packed is a stream that Windows shows in place of a file's data, which is a hole: the file is compressed as a whole (WOF, "compact /exe" and the
// setup of Windows). The chunks of data are compressed each alone, into another stream of the file.
//
//	WofCompressedData: where each chunk but the first ends the one before, counted from behind this table, u32 or for 4 GiB and more u64;
//	                   the chunks. One that isn't smaller than its data is the data.
//	reparse point:     0x00 tag   0x04 length   0x08 1 u32   0x0c provider u32: 2 for a file of its own   0x10 1 u32   0x14 algorithm u32
type packed struct {
	raw    *Stream
	place  string
	size   int64
	chunk  int64
	lzx    bool
	starts int64 // bytes of the table
	entry  int64

	mu    sync.Mutex // guards what follows
	which int64      // the number of the chunk in plain + 1
	plain []byte
	buf   []byte
}

// PackedStream is the stream in which Windows keeps the data of files that are compressed as a whole; see [Record.OpenData].
const PackedStream = "WofCompressedData"

// Data is the data of a file: a [Stream], or what is made of one.
type Data interface {
	io.ReaderAt
	Size() int64
	NextData(off int64) (start, end int64, err error) // as Stream's
}

// OpenData opens the data of a file as Windows shows it. It is that of its stream "", but for files that are compressed as a whole (TagWOF). The
// error is fs.ErrNotExist if the file has none.
func (r *Record) OpenData() (Data, error) {
	if r.ReparseTag == TagWOF {
		return r.openPacked()
	}
	return r.Open("")
}

// openPacked opens the data of a file with such a reparse point.
func (r *Record) openPacked() (*packed, error) {
	b, err := r.Reparse()
	if err != nil {
		return nil, err
	}
	if len(b) < 0x18 || u32(b, 0x0c) != 2 {
		return nil, fmt.Errorf("its data is in an archive of Windows (WIMBoot), which isn't read")
	}
	p := &packed{place: r.place(), entry: 4}
	switch algorithm := u32(b, 0x14); algorithm {
	case 0:
		p.chunk = 4 << 10
	case 1:
		p.chunk, p.lzx = 32<<10, true
	case 2:
		p.chunk = 8 << 10
	case 3:
		p.chunk = 16 << 10
	default:
		return nil, fmt.Errorf("it is compressed in a way that isn't known (%d)", algorithm)
	}
	data := r.Data()
	if data == nil {
		return nil, damaged(p.place, "it is compressed and has no data")
	}
	p.size = data.Size
	if p.raw, err = r.Open(PackedStream); err != nil {
		return nil, fmt.Errorf("the stream with its compressed data: %w", err)
	}
	if p.size > 1<<32-1 {
		p.entry = 8
	}
	p.starts = max(0, (p.size-1)/p.chunk) * p.entry
	if p.starts > p.raw.size {
		return nil, damaged(p.place, "compressed to %d bytes of %d", p.raw.size, p.size)
	}
	return p, nil
}

func (p *packed) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= p.size {
		return 0, io.EOF
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(b) && off < p.size {
		if err := p.load(off / p.chunk); err != nil {
			return n, err
		}
		m := copy(b[n:], p.plain[off%p.chunk:])
		n, off = n+m, off+int64(m)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// load decompresses a chunk.
func (p *packed) load(n int64) error {
	if p.which == n+1 {
		return nil
	}
	p.which = 0
	size := min(p.chunk, p.size-n*p.chunk)
	from, to, err := p.bounds(n)
	if err != nil {
		return err
	}
	if p.plain == nil {
		p.plain, p.buf = make([]byte, p.chunk), make([]byte, p.chunk)
	}
	p.plain = p.plain[:size]
	if to-from > size || to < from {
		return damaged(p.place, "chunk %d is from %d to %d", n, from, to)
	}
	raw := p.buf[:to-from]
	if _, err := p.raw.ReadAt(raw, from); err != nil && err != io.EOF {
		return err
	}
	switch {
	case to-from == size:
		copy(p.plain, raw)
	case p.lzx && !unpackLZX(p.plain, raw), !p.lzx && !unpackXpress(p.plain, raw):
		return damaged(p.place, "chunk %d makes no sense", n)
	}
	p.which = n + 1
	return nil
}

// bounds returns where a chunk is in the stream.
func (p *packed) bounds(n int64) (from, to int64, err error) {
	var b [16]byte
	last := (p.size - 1) / p.chunk
	from, to = p.starts, p.raw.size
	if n > 0 {
		if _, err = p.raw.ReadAt(b[:p.entry], (n-1)*p.entry); err != nil && err != io.EOF {
			return 0, 0, err
		}
		from += p.number(b[:])
	}
	if n < last {
		if _, err = p.raw.ReadAt(b[:p.entry], n*p.entry); err != nil && err != io.EOF {
			return 0, 0, err
		}
		to = p.starts + p.number(b[:])
	}
	if from < p.starts || to > p.raw.size || from > to {
		return 0, 0, damaged(p.place, "chunk %d is from %d to %d", n, from, to)
	}
	return from, to, nil
}

func (p *packed) number(b []byte) int64 {
	if p.entry == 8 {
		return int64(u64(b, 0))
	}
	return int64(u32(b, 0))
}

// NextData knows no holes.
func (p *packed) NextData(off int64) (start, end int64, err error) {
	if off < 0 || off >= p.size {
		return 0, 0, io.EOF
	}
	return off, p.size, nil
}

func (p *packed) Size() int64 { return p.size }
