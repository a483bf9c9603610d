package hwtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"
)

// An area is the positions that are tested: one file or device, or files one after the other. One goroutine uses it.
type area struct {
	dir  string // of files that are named by their number; or
	one  string // a single one
	each int64  // size of all files but the last; a multiple of every request
	make bool   // files don't exist yet

	open     *os.File
	number   int64 // of the open one
	buffered bool  // direct transfers don't work here
}

func (a *area) name(number int64) string {
	if a.one != "" {
		return a.one
	}
	return filepath.Join(a.dir, fmt.Sprintf("%06d", number))
}

// at returns the file that holds a position, and where in it.
func (a *area) at(pos int64) (*os.File, int64, error) {
	number := pos / a.each
	if a.open != nil && a.number == number {
		return a.open, pos % a.each, nil
	}
	if err := a.close(); err != nil {
		return nil, 0, err
	}
	flags := os.O_RDWR
	if a.make {
		flags |= os.O_CREATE
	}
	f, err := openUncached(a.name(number), flags, !a.buffered)
	if err != nil {
		return nil, 0, err
	}
	a.open, a.number = f, number
	return f, pos % a.each, nil
}

func (a *area) write(p []byte, pos int64) error {
	return a.transfer(pos, func(f *os.File, off int64) error {
		if _, err := f.WriteAt(p, off); err != nil || !a.buffered {
			return err
		}
		return writeOut(f, off, int64(len(p)))
	})
}

func (a *area) read(p []byte, pos int64) error {
	return a.transfer(pos, func(f *os.File, off int64) error {
		_, err := f.ReadAt(p, off)
		return err
	})
}

// transfer tries again through the system's cache where direct transfers turn out not to work.
func (a *area) transfer(pos int64, do func(f *os.File, off int64) error) error {
	f, off, err := a.at(pos)
	if err != nil {
		return err
	}
	if err = do(f, off); a.buffered || !notDirect(err) {
		return err
	}
	a.buffered = true
	if err := a.close(); err != nil {
		return err
	}
	if f, off, err = a.at(pos); err != nil {
		return err
	}
	return do(f, off)
}

// close syncs and closes the open file. The next one to be opened comes from the medium.
func (a *area) close() error {
	if a.open == nil {
		return nil
	}
	err := errors.Join(a.open.Sync(), a.open.Close())
	a.open = nil
	return err
}

// aligned returns a buffer that direct transfers take.
func aligned(n int) []byte {
	b := make([]byte, n+blockSize)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (blockSize - 1)
	return b[skip : skip+n : skip+n]
}
