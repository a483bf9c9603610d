package index

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// granularity is where a view may begin: a multiple of it, on every Windows.
const granularity = 64 << 10

// mapFile maps n bytes of f from off for reading.
func mapFile(f *os.File, off int64, n int) ([]byte, func() error, error) {
	m, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, windows.PAGE_READONLY, 0, 0, nil)
	if err != nil {
		return nil, nil, os.NewSyscallError("CreateFileMapping", err)
	}
	skip := int(off % granularity)
	at := uint64(off) - uint64(skip)
	addr, err := windows.MapViewOfFile(m, windows.FILE_MAP_READ, uint32(at>>32), uint32(at), uintptr(skip+n))
	windows.CloseHandle(m) // the view keeps the mapping
	if err != nil {
		return nil, nil, os.NewSyscallError("MapViewOfFile", err)
	}
	// Not unsafe.Pointer(addr), which vet rightly takes for a bug elsewhere:
	// this memory isn't the garbage collector's.
	b := unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), skip+n)
	return b[skip:], func() error { return windows.UnmapViewOfFile(addr) }, nil
}
