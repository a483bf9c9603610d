package source

import (
	"bytes"
	"io"
	"slices"
)

// File is an open regular file. ReadAt, Stat and Xattrs may be called from several goroutines at once.
type File struct {
	sys    fileHandle
	tree   FileBackend // instead of sys, for what isn't the system's own
	off    int64       // where Read goes on
	opened Stat
}

// Opened returns the metadata the file had when it was opened. It costs nothing; the Stat belongs to f.
func (f *File) Opened() *Stat { return &f.opened }

// Stat fills st with the metadata the file has now.
func (f *File) Stat(st *Stat) (err error) {
	if f.tree == nil {
		return f.sys.stat(st)
	}
	*st, err = f.tree.Stat()
	return err
}

// ReadAt is [io.ReaderAt]. Reading exactly what is there takes one system call: io.EOF comes only when p could not be filled.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		m, err := f.readAt(p[n:], off+int64(n))
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

// readAt reads what it can at once; at the end that is nothing.
func (f *File) readAt(p []byte, off int64) (int, error) {
	if f.tree == nil {
		return f.sys.readAt(p, off)
	}
	n, err := f.tree.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// Read is [io.Reader], independent of ReadAt and NextData.
func (f *File) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.readAt(p, f.off)
	if err == nil && n == 0 {
		err = io.EOF
	}
	f.off += int64(n)
	return n, err
}

// NextData returns the first stretch of data at or after off; what lies between off and start is a hole. It returns
// io.EOF when only a hole follows, up to the end. A file system that can't tell holes has one stretch of data from off to the end.
func (f *File) NextData(off int64) (start, end int64, err error) {
	if f.tree != nil {
		return f.tree.NextData(off)
	}
	return f.sys.nextData(off)
}

// Xattrs returns the extended attributes of the file in ascending order of name, POSIX ACLs among them; none where the file
// system has none. What it returns is valid until b's next use, or for good when b is nil. An attribute that can't be read is
// left out and said in the error, which the rest is returned with.
func (f *File) Xattrs(b *XattrBuffer) ([]Xattr, error) {
	if f.tree != nil {
		return b.fill(f.tree.Xattrs)
	}
	return f.sys.xattrs(b)
}

// FileSystem says what kind of file system f lies on: another than its directory's when f is a mount point.
func (f *File) FileSystem() (FileSystem, error) {
	if f.tree != nil {
		return f.tree.FileSystem()
	}
	return f.sys.fileSystem()
}

// Close closes f. It may be opened again with OpenInto.
func (f *File) Close() error {
	if f.tree == nil {
		return f.sys.close()
	}
	err := f.tree.Close()
	f.tree = nil
	return err
}

// Xattr is one extended attribute.
type Xattr struct{ Name, Value []byte }

// XattrBuffer holds what Xattrs returns, to be used again and again. The zero value is ready.
type XattrBuffer struct {
	list  []Xattr
	names []byte
	arena []byte
}

func (b *XattrBuffer) sort() {
	slices.SortFunc(b.list, func(x, y Xattr) int { return bytes.Compare(x.Name, y.Name) })
}

// Fd returns the file's descriptor, for questions that only its file system understands; false for a file that has none. It stays f's.
func (f *File) Fd() (fd uintptr, ok bool) {
	if f.tree != nil {
		return 0, false
	}
	return f.sys.descriptor()
}
