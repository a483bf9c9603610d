package usn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"waybill/incremental/journal"
	"waybill/internal/ntfs"
)

// raw is a journal as it lies on a volume that nobody writes to.
type raw struct {
	v       *ntfs.Volume
	info    Info
	journal pages
	record  ntfs.Record
}

// OpenRaw opens the journal of a volume on a disk or in an image. Without one the error is a *journal.Gap.
func OpenRaw(v *ntfs.Volume) (*Journal, error) {
	r := &raw{v: v, info: Info{Volume: fmt.Sprintf("%016x", v.Info().Serial), Root: ID{Low: uint64(v.Root())}, Still: true}}
	if err := r.open(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = gapOf(errNotActive)
		}
		if _, ok := errors.AsType[*journal.Gap](err); ok {
			return nil, err
		}
		return nil, &journal.Gap{Reason: fmt.Sprintf("the journal can't be read: %v", err)}
	}
	return New(r), nil
}

// open finds $Extend/$UsnJrnl and its two streams.
//
//	$Max: size u64, delta u64, id u64, lowest valid usn u64
//	$J: the records
func (r *raw) open() error {
	extend, err := r.v.Extend()
	if err != nil {
		return err
	}
	frn, err := r.v.Find(extend, []byte("$UsnJrnl"))
	if err != nil {
		return err
	}
	var b [32]byte
	s, err := r.v.OpenStream(frn, "$Max")
	if err != nil {
		return err
	}
	if n, err := s.ReadAt(b[:], 0); n < len(b) {
		return fmt.Errorf("$Max: %w", err)
	}
	r.info.Size, r.info.Delta = int64(le64(b[:])), int64(le64(b[8:]))
	r.info.ID, r.info.LowestValid = le64(b[16:]), le64(b[24:])
	j, err := r.v.OpenStream(frn, "$J")
	if err != nil {
		return err
	}
	r.journal.s = j
	if r.info.First, r.info.Next, err = r.journal.bounds(); err != nil && err != io.EOF {
		return err
	}
	state, err := r.v.State()
	r.info.Unsettled = err != nil || !state.Clean()
	return nil
}

func (r *raw) Query() (Info, error) { return r.info, nil }
func (r *raw) Close() error         { return nil }

func (r *raw) Read(_, start uint64, buf []byte) (int, error) {
	if start < r.info.First {
		return 0, errWrapped
	}
	return r.journal.records(start, r.info.Next, buf)
}

func (r *raw) Each(ctx context.Context, f func(ID, uint64) error) error {
	return r.v.Each(ctx, func(x *ntfs.Record) error { return f(ID{Low: uint64(x.FRN)}, x.Standard.Usn) })
}

func (r *raw) Lookup(id ID, f *File) error {
	if err := r.v.LookupInto(ntfs.FRN(id.Low), &r.record); err != nil {
		return err
	}
	f.Directory, f.Names, f.Streams = r.record.Directory, f.Names[:0], f.Streams[:0]
	f.Modified, f.Changed = r.record.Standard.Modified.Time(), r.record.Standard.Changed.Time()
	for _, n := range r.record.Names {
		f.Names = append(f.Names, Name{ID{Low: uint64(n.Parent)}, n.Name})
	}
	for _, s := range r.record.Streams {
		if len(s.Name) > 0 {
			f.Streams = append(f.Streams, s.Name)
		}
	}
	return nil
}
