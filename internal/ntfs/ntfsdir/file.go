package ntfsdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"waybill/internal/ntfs"
	"waybill/internal/source"
)

// file implements [source.FileBackend].
type file struct {
	d    *dir
	t    target
	data ntfs.Data // nil for what has none
}

// What Windows alone can read, or nobody here.
var (
	errDedup   = errors.New("it is deduplicated: only Windows with that feature can put it together")
	errOffline = errors.New("its content is stored elsewhere")
)

// Open implements [source.Backend].
func (d *dir) Open(name []byte) (source.FileBackend, error) {
	t, err := d.find(name)
	f := &file{d: d, t: t}
	if err == nil && d.statTarget(t).Kind == source.Regular {
		err = f.open()
	}
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return f, nil
}

func (f *file) open() error {
	if f.t.stream != nil {
		s, err := f.t.Open(string(f.t.stream.Name))
		if err == nil {
			f.data = s
		}
		return err
	}
	if err := elsewhere(f.t.Record); err != nil {
		return err
	}
	data, err := f.t.OpenData()
	switch {
	case err == nil:
		f.data = data
	case errors.Is(err, fs.ErrNotExist) && f.t.Data() == nil:
		return nil // a file without data is empty
	}
	return err
}

// elsewhere says why the data of a file isn't in its stream of data, which reads as zeros then.
func elsewhere(r *ntfs.Record) error {
	const offline = ntfs.AttrOffline | ntfs.AttrRecallOnData | ntfs.AttrRecallOnOpen
	data := r.Data()
	switch {
	case r.ReparseTag == ntfs.TagDedup:
		return errDedup
	case data == nil || !data.Sparse || r.ReparseTag == ntfs.TagWOF:
		return nil
	case r.Standard.Attributes&offline != 0, source.Served(r.ReparseTag) && data.Allocated == 0 && data.Size > 0:
		return errOffline
	}
	return nil
}

// hidden says whether a stream is only there to hold what is seen as the file's data.
func hidden(r *ntfs.Record, s *ntfs.StreamInfo) bool {
	return r.ReparseTag == ntfs.TagWOF && string(s.Name) == ntfs.PackedStream
}

func (f *file) Stat() (source.Stat, error) { return f.d.statTarget(f.t), nil }

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if f.data == nil {
		return 0, io.EOF
	}
	return f.data.ReadAt(p, off)
}

func (f *file) NextData(off int64) (start, end int64, err error) {
	if f.data == nil {
		return 0, 0, io.EOF
	}
	return f.data.NextData(off)
}

func (f *file) Xattrs(add func(string, []byte)) error { return f.d.xattrs(f.t, add) }

func (f *file) FileSystem() (source.FileSystem, error) { return fileSystem, nil }

func (f *file) Close() error { return nil }
