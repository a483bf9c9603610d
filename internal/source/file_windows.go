package source

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/windows"
)

type fileHandle struct {
	h      windows.Handle
	vol    *volume
	tag    uint32 // of its reparse point
	stream bool
}

// open opens a file's data. Then identify tells what it is.
func (f *fileHandle) open(dir windows.Handle, name []byte, options uint32) (err error) {
	f.h, err = openFully(dir, name, readIt, options|windows.FILE_NON_DIRECTORY_FILE)
	return err
}

func (f *fileHandle) identify(st *Stat) error {
	var info fileInfo
	if err := info.get(f.h); err != nil {
		return err
	}
	f.tag = info.Tag
	st.set(&info, f.vol.inode(f.h, &info), f.vol, f.stream)
	return nil
}

func (f *fileHandle) stat(st *Stat) error { return statHandle(f.h, f.vol, f.stream, st) }

func (f *fileHandle) readAt(p []byte, off int64) (int, error) {
	var n uint32
	o := windows.Overlapped{Offset: uint32(off), OffsetHigh: uint32(off >> 32)}
	err := windows.ReadFile(f.h, p[:min(len(p), 1<<30)], &n, &o)
	if err != nil && err != windows.ERROR_HANDLE_EOF {
		return int(n), fmt.Errorf("read: %w", err)
	}
	return int(n), nil
}

// nextData asks for the next stretch of a sparse file that is allocated.
func (f *fileHandle) nextData(off int64) (start, end int64, err error) {
	var st Stat
	if err := f.stat(&st); err != nil {
		return 0, 0, err
	}
	if off >= st.Size {
		return 0, 0, io.EOF
	}
	var in, out [16]byte
	binary.LittleEndian.PutUint64(in[:], uint64(off))
	binary.LittleEndian.PutUint64(in[8:], uint64(st.Size-off))
	n, err := control(f.h, windows.FSCTL_QUERY_ALLOCATED_RANGES, in[:], out[:])
	if err != nil && err != windows.ERROR_MORE_DATA {
		return off, st.Size, nil // it can't tell
	}
	if n < len(out) {
		return 0, 0, io.EOF
	}
	start = max(off, int64(binary.LittleEndian.Uint64(out[:])))
	end = min(st.Size, int64(binary.LittleEndian.Uint64(out[:])+binary.LittleEndian.Uint64(out[8:])))
	if start >= end {
		return 0, 0, io.EOF
	}
	return start, end, nil
}

func (f *fileHandle) xattrs(b *XattrBuffer) ([]Xattr, error) {
	if f.stream {
		return nil, nil
	}
	return b.fill(f.vol.attributes(f.h))
}

func (f *fileHandle) fileSystem() (FileSystem, error) { return f.vol.fileSystem(), nil }

func (f *fileHandle) close() error {
	if f.h == 0 {
		return fmt.Errorf("close: %w", fs.ErrClosed) // the number may be another file's by now
	}
	h := f.h
	f.h = 0
	return closeHandle(h)
}

func (f *fileHandle) descriptor() (uintptr, bool) { return uintptr(f.h), true }
