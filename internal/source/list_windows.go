package source

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// list adds all entries with their metadata, and their streams, for which each has to be opened anyway.
func (d *dirHandle) list(l *Listing) error {
	class := uint32(windows.FileIdBothDirectoryRestartInfo)
	buf := make([]uint64, 8<<10)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), len(buf)*8)
	for {
		err := windows.GetFileInformationByHandleEx(d.h, class, &b[0], uint32(len(b)))
		if err == windows.ERROR_NO_MORE_FILES || err == windows.ERROR_FILE_NOT_FOUND && class == windows.FileIdBothDirectoryRestartInfo {
			return nil // not found: an empty root directory, which has no dots
		}
		if err != nil {
			return fmt.Errorf("list directory: %w", err)
		}
		class = windows.FileIdBothDirectoryInfo
		for rest, next := b, uint32(1); next != 0; rest = rest[next:] {
			next = binary.LittleEndian.Uint32(rest)
			if err := d.listed(l, rest); err != nil {
				return err
			}
		}
	}
}

// listed adds an entry by its record in the directory, FILE_ID_BOTH_DIR_INFO:
//
//	0  next u32   8  created u64   16  accessed u64   24  written u64   32  changed u64   40  size u64   48  allocated u64
//	56  attributes u32   60  name's length u32   64  reparse tag or size of attributes u32   96  id u64   104  name
func (d *dirHandle) listed(l *Listing, b []byte) error {
	o := binary.LittleEndian
	name := wtf8(nil, b[104:104+o.Uint32(b[60:])])
	if string(name) == "." || string(name) == ".." {
		return nil
	}
	var st Stat
	h, err := openAt(d.h, name, lookAt, alone)
	if err != nil { // it is locked, or gone by now: then what the directory says has to do until it is opened
		info := fileInfo{Written: int64(o.Uint64(b[24:])), Changed: int64(o.Uint64(b[32:])), Size: int64(o.Uint64(b[40:])),
			Allocated: int64(o.Uint64(b[48:])), Attributes: o.Uint32(b[56:]), Tag: o.Uint32(b[64:]), Links: 1}
		st.set(&info, o.Uint64(b[96:]), d.vol, false)
		return l.AddStat(name, &st)
	}
	defer windows.CloseHandle(h)
	if err := statHandle(h, d.vol, false, &st); err != nil {
		return err
	}
	if err := l.AddStat(name, &st); err != nil {
		return err
	}
	return d.listStreams(l, h, name, st.Inode)
}

// listStreams adds what a file or directory has beside its data, FILE_STREAM_INFO:
//
//	0  next u32   4  name's length u32   8  size u64   16  allocated u64   24  name, as in ":stream:$DATA"
//
// The streams of a directory are its parent's entries: those of a root have no place.
func (d *dirHandle) listStreams(l *Listing, h windows.Handle, name []byte, inode uint64) error {
	if d.vol.flags&windows.FILE_NAMED_STREAMS == 0 {
		return nil
	}
	b, err := streams(h)
	if err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	for next := uint32(1); next != 0 && len(b) >= 24; b = b[next:] {
		next = binary.LittleEndian.Uint32(b)
		stream, ok := streamName(wtf8(nil, b[24:24+binary.LittleEndian.Uint32(b[4:])]))
		if !ok {
			continue
		}
		if err := l.Add(append(append(name[:len(name):len(name)], ':'), stream...), Regular, inode); err != nil {
			return err
		}
	}
	return nil
}

// streams reads the list of a file's streams, of whatever length. A file system that can't tell has none.
func streams(h windows.Handle) ([]byte, error) {
	for size := 1 << 10; ; size *= 4 {
		b := make([]uint64, size/8)
		err := windows.GetFileInformationByHandleEx(h, windows.FileStreamInfo, (*byte)(unsafe.Pointer(&b[0])), uint32(size))
		switch err {
		case nil:
			return unsafe.Slice((*byte)(unsafe.Pointer(&b[0])), size), nil
		case windows.ERROR_HANDLE_EOF, windows.ERROR_INVALID_PARAMETER, windows.ERROR_NOT_SUPPORTED, windows.ERROR_INVALID_FUNCTION:
			return nil, nil
		case windows.ERROR_MORE_DATA, windows.ERROR_INSUFFICIENT_BUFFER:
			if size < 16<<20 {
				continue
			}
		}
		return nil, err
	}
}
