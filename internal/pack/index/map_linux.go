package index

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps n bytes of f from off for reading.
func mapFile(f *os.File, off int64, n int) ([]byte, func() error, error) {
	skip := int(off % int64(os.Getpagesize()))
	b, err := unix.Mmap(int(f.Fd()), off-int64(skip), skip+n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return b[skip:], func() error { return unix.Munmap(b) }, nil
}
