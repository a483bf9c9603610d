package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache makes what follows be read from the medium: posix_fadvise(2), DONTNEED. The file is synced already.
func dropCache(f *os.File) { unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
