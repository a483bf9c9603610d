package domain

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"waybill/internal/pack"
	"waybill/internal/pack/index"
)

// A Stretch is a part of a pack that one request reads: neighbouring frames, and what little is between them. The zero value is empty.
type Stretch struct {
	pack     [32]byte
	from, to int64
}

// Limits of a stretch. The largest is a few frames of data; a gap costs less than a request.
const (
	maxStretch = 4 << 20
	maxGap     = 128 << 10
)

// Extend makes the stretch reach to the end of another frame, or tells that it can't: the frame is not in order, too far away, or would
// make it too long. An empty stretch takes every frame that is not longer than any stretch.
func (s *Stretch) Extend(loc index.Loc) bool {
	from, to := int64(loc.Offset), int64(loc.Offset)+int64(loc.Sealed)
	if s.IsEmpty() && to-from <= maxStretch {
		*s = Stretch{loc.Pack, from, to}
		return true
	}
	if s.IsEmpty() || loc.Pack != s.pack || from < s.to || from-s.to > maxGap || to-s.from > maxStretch {
		return false
	}
	s.to = to
	return true
}

// IsEmpty tells whether there is nothing to be read.
func (s *Stretch) IsEmpty() bool { return s.to == 0 }

// Frames are sealed frames that can be opened: all of a domain's, or those of one stretch.
type Frames interface {
	// Frame reads and opens the frame a location lies in, into dst if that has room.
	Frame(ctx context.Context, loc index.Loc, dst []byte) ([]byte, error)
}

// Far tells whether packs may have to be read over a network: then it pays to Fetch stretches, several at once.
func (d *Domain) Far() bool { return d.shelf != nil }

// Fetched is a stretch in memory. One goroutine at a time uses it.
type Fetched struct {
	Stretch
	d   *Domain
	buf *[maxStretch]byte // nil when there was something wrong with it
}

// stretches are buffers of fetched ones.
var stretches = sync.Pool{New: func() any { return new([maxStretch]byte) }}

// Fetch reads a stretch. The error is one of reading at all: what is wrong with the pack is for its frames to tell. The
// caller releases what was fetched.
func (d *Domain) Fetch(ctx context.Context, s Stretch) (*Fetched, error) {
	f := &Fetched{Stretch: s, d: d}
	c, err := d.copy(ctx, s.pack)
	if err == nil {
		f.buf = stretches.Get().(*[maxStretch]byte)
		err = c.in(ctx).Sealed(f.buf[:s.to-s.from], s.from)
	}
	if err != nil {
		f.Release()
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, pack.ErrDamaged) {
		err = nil
	}
	return f, err
}

// Release gives the memory back. Frames are then read one by one.
func (f *Fetched) Release() {
	if f.buf != nil {
		stretches.Put(f.buf)
		f.buf = nil
	}
}

// Frame implements Frames. A frame of the stretch is opened once; any other, and one that is damaged, is read as the domain does.
func (f *Fetched) Frame(ctx context.Context, loc index.Loc, dst []byte) ([]byte, error) {
	from, to := int64(loc.Offset), int64(loc.Offset)+int64(loc.Sealed)
	if f.buf != nil && loc.Pack == f.pack && from >= f.from && to <= f.to {
		b, err := f.d.openSealed(ctx, loc, f.buf[from-f.from:to-f.from], dst)
		if !errors.Is(err, pack.ErrDamaged) {
			return b, err
		}
	}
	return f.d.Frame(ctx, loc, dst)
}

// openSealed opens a frame that has been read.
func (d *Domain) openSealed(ctx context.Context, loc index.Loc, sealed, dst []byte) ([]byte, error) {
	c, err := d.copy(ctx, loc.Pack)
	if err != nil {
		return nil, err
	}
	dec := d.decoders.Get().(*pack.Decoder)
	defer d.decoders.Put(dec)
	return c.reader.OpenFrame(dec, FrameOf(loc), sealed, dst)
}
