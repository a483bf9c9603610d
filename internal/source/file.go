package source

import "io"

// File is an open regular file. ReadAt, Stat and Xattrs may be called from several goroutines at once.
type File struct {
	sys    fileHandle
	off    int64 // where Read goes on
	opened Stat
}

// Opened returns the metadata the file had when it was opened. It costs nothing; the Stat belongs to f.
func (f *File) Opened() *Stat { return &f.opened }

// Stat fills st with the metadata the file has now.
func (f *File) Stat(st *Stat) error { return f.sys.stat(st) }

// ReadAt is [io.ReaderAt]. Reading exactly what is there takes one system call: io.EOF comes only when p could not be filled.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		m, err := f.sys.readAt(p[n:], off+int64(n))
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// Read is [io.Reader], independent of ReadAt and NextData.
func (f *File) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.sys.readAt(p, f.off)
	if err == nil && n == 0 {
		err = io.EOF
	}
	f.off += int64(n)
	return n, err
}

// NextData returns the first stretch of data at or after off; what lies between off and start is a hole. It returns
// io.EOF when only a hole follows, up to the end. A file system that can't tell holes has one stretch of data from off to the end.
func (f *File) NextData(off int64) (start, end int64, err error) { return f.sys.nextData(off) }

// Xattrs returns the extended attributes of the file in ascending order of name, POSIX ACLs among them; none where the file
// system has none. What it returns is valid until b's next use, or for good when b is nil. An attribute that can't be read is
// left out and said in the error, which the rest is returned with.
func (f *File) Xattrs(b *XattrBuffer) ([]Xattr, error) { return f.sys.xattrs(b) }

// FileSystem says what kind of file system f lies on: another than its directory's when f is a mount point.
func (f *File) FileSystem() (FileSystem, error) { return f.sys.fileSystem() }

// Close closes f. It may be opened again with OpenInto.
func (f *File) Close() error { return f.sys.close() }

// Xattr is one extended attribute.
type Xattr struct{ Name, Value []byte }

// XattrBuffer holds what Xattrs returns, to be used again and again. The zero value is ready.
type XattrBuffer struct {
	list  []Xattr
	names []byte
	arena []byte
}
