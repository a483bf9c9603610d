package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"waybill/manifest"
)

// Keys are the identities a reader holds; either may be nil. Recovery opens everything,
// Machine the catalogue packs and the tables of data packs.
type Keys struct{ Recovery, Machine age.Identity }

// A Reader reads one pack. It is safe for concurrent use when its io.ReaderAt is.
type Reader struct {
	Class   manifest.Class
	r       io.ReaderAt
	header  [headerSize]byte
	trailer trailer
	table   [32]byte  // the table's key
	key     *[32]byte // the pack's key; nil when only the table can be read
}

// maxTail is the most that comes after a pack's table.
const maxTail = 2*maxWrap + trailerSize

// Open reads the end of a pack of the given class and size, in one read, and unwraps its keys. What the keys can't
// open fails with ErrKey, a pack that is not well formed with ErrDamaged. That it is of that class is known once its table, or a
// frame, opens: both are bound to it.
func Open(r io.ReaderAt, size int64, class manifest.Class, keys Keys) (*Reader, error) {
	p, _, err := open(r, size, class, keys, 0)
	return p, err
}

// OpenTable opens a pack and reads its table: in one read when the table is not longer than expected, else in two.
func OpenTable(r io.ReaderAt, size int64, class manifest.Class, keys Keys, expected int64) (*Reader, *Table, error) {
	p, tail, err := open(r, size, class, keys, expected)
	if err != nil {
		return nil, nil, err
	}
	t, err := p.readTable(tail)
	return p, t, err
}

// open reads the end of a pack, with so many bytes of the table as are expected of it, and returns what it read of these.
func open(r io.ReaderAt, size int64, class manifest.Class, keys Keys, expected int64) (*Reader, []byte, error) {
	if size < headerSize+trailerSize || size > MaxPack {
		return nil, nil, damaged("a pack of %d bytes", size)
	}
	tail := make([]byte, min(size, maxTail+min(expected, maxTable)))
	if err := readFull(r, tail, size-int64(len(tail))); err != nil {
		return nil, nil, err
	}
	t, err := parseTrailer(tail[len(tail)-trailerSize:], size)
	if err != nil {
		return nil, nil, err
	}
	p := &Reader{Class: class, r: r, header: header(class), trailer: t}
	tail = tail[:len(tail)-trailerSize]
	wraps := tail[int64(len(tail))-t.wrapR-t.wrapM:]
	return p, tail[max(0, t.table-size+int64(len(tail))+trailerSize) : len(tail)-len(wraps)], p.unwrap(wraps[:t.wrapR], wraps[t.wrapR:], keys)
}

// CheckHeader reads the pack's first bytes and fails with ErrDamaged when they are not what it says of itself elsewhere. Nothing else needs them.
func (p *Reader) CheckHeader() error {
	var b [headerSize]byte
	if err := readFull(p.r, b[:], 0); err != nil {
		return err
	}
	class, err := parseHeader(b[:])
	if err == nil && class != p.Class {
		err = damaged("a %s pack whose header says %s", p.Class, class)
	}
	return err
}

func (p *Reader) unwrap(wrapR, wrapM []byte, keys Keys) error {
	key, err := openWrap(wrapR, keys.Recovery)
	if err == nil {
		p.key, p.table = &key, tableKey(key)
		return nil
	}
	if !errors.Is(err, ErrKey) {
		return err
	}
	if key, err = openWrap(wrapM, keys.Machine); err != nil {
		return err
	}
	if p.Class == manifest.Data {
		p.table = key
	} else {
		p.key, p.table = &key, tableKey(key)
	}
	return nil
}

func openWrap(b []byte, id age.Identity) (key [32]byte, err error) {
	if id == nil {
		return key, ErrKey
	}
	r, err := age.Decrypt(bytes.NewReader(b), id)
	var wrong *age.NoIdentityMatchError
	if errors.As(err, &wrong) {
		return key, ErrKey
	}
	if err != nil {
		return key, damaged("a wrapped key: %v", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, 33))
	if err != nil || len(plain) != len(key) {
		return key, damaged("a wrapped key that is no key")
	}
	return [32]byte(plain), nil
}

// From is the reader with another source of the same bytes.
func (p *Reader) From(r io.ReaderAt) *Reader {
	q := *p
	q.r = r
	return &q
}

// CanReadFrames tells whether the keys at hand open the pack's frames, not only its table.
func (p *Reader) CanReadFrames() bool { return p.key != nil }

// Table reads the pack's table.
func (p *Reader) Table() (*Table, error) { return p.readTable(nil) }

// readTable reads the table but for its end, which is at hand, and opens it.
func (p *Reader) readTable(end []byte) (*Table, error) {
	sealed := make([]byte, p.trailer.tableLen)
	rest := sealed[:len(sealed)-len(end)]
	copy(sealed[len(rest):], end)
	if len(rest) > 0 {
		if err := readFull(p.r, rest, p.trailer.table); err != nil {
			return nil, err
		}
	}
	plain, err := newAEAD(p.table).Open(sealed[:0], tableNonce[:], sealed, p.header[:])
	if err != nil {
		return nil, damaged("a pack table whose seal is broken")
	}
	return parseTable(plain, p.trailer.table)
}

// A Decoder opens frames for one goroutine and keeps its buffers from frame to frame.
type Decoder struct {
	codec  *codec
	sealed []byte
}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{codec: newCodec()} }

// Frame reads, opens and decompresses one frame into dst, which it grows as needed. The
// frame's line may come from a table or an index; one that is not true fails with ErrDamaged.
func (p *Reader) Frame(d *Decoder, f Frame, dst []byte) ([]byte, error) {
	sealed, err := d.space(f)
	if err != nil {
		return nil, err
	}
	if int64(f.Offset)+int64(f.Sealed) > p.trailer.table {
		return nil, damaged("a frame beyond its pack's end")
	}
	if err := readFull(p.r, sealed, int64(f.Offset)); err != nil {
		return nil, err
	}
	return p.OpenFrame(d, f, sealed, dst)
}

// Sealed reads what the pack has from off on, as it is stored; a pack that ends before is damaged.
func (p *Reader) Sealed(b []byte, off int64) error { return readFull(p.r, b, off) }

// OpenFrame is Frame for sealed bytes that have been read already; it overwrites them.
func (p *Reader) OpenFrame(d *Decoder, f Frame, sealed, dst []byte) ([]byte, error) {
	if p.key == nil {
		return nil, ErrKey
	}
	if f.Plain > maxPlain || f.Method > methodZstd || len(sealed) != int(f.Sealed) {
		return nil, damaged("a frame of impossible size")
	}
	nonce, aad := place(p.header, f.Number)
	stored, err := newAEAD(*p.key).Open(sealed[:0], nonce[:], sealed, aad[:])
	if err != nil {
		return nil, damaged("frame %d, whose seal is broken", f.Number)
	}
	if cap(dst) < int(f.Plain) {
		dst = make([]byte, 0, max(int(f.Plain), dataFrame+slack))
	}
	return d.codec.decompress(dst, stored, f)
}

func (d *Decoder) space(f Frame) ([]byte, error) {
	if f.Sealed < tagSize || f.Sealed > maxSealed || f.Plain > maxPlain {
		return nil, damaged("a frame of impossible size")
	}
	if cap(d.sealed) < int(f.Sealed) {
		d.sealed = make([]byte, max(int(f.Sealed), dataFrame+slack))
	}
	return d.sealed[:f.Sealed], nil
}

// readFull reads all of p at off; a source that ends before is damaged.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damaged("a pack that ends too early")
	}
	return fmt.Errorf("reading a pack: %w", err)
}
