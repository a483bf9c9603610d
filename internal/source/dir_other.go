//go:build !linux && !windows

package source

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

type dirHandle struct{ path string }

func openRoot(path string) (*Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", plain(err))
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open directory: it is none")
	}
	return &Dir{sys: dirHandle{path: path}}, nil
}

func (d *dirHandle) join(name []byte) string { return filepath.Join(d.path, string(name)) }

func (d *dirHandle) openDir(name []byte) (dirHandle, error) {
	info, err := os.Lstat(d.join(name))
	if err != nil {
		return dirHandle{}, fmt.Errorf("open directory: %w", plain(err))
	}
	if !info.IsDir() {
		return dirHandle{}, fmt.Errorf("open directory: %w", ErrReplaced)
	}
	return dirHandle{path: d.join(name)}, nil
}

func (d *dirHandle) close() error { return nil }

func (d *dirHandle) self(st *Stat) error {
	info, err := os.Stat(d.path)
	if err != nil {
		return fmt.Errorf("stat: %w", plain(err))
	}
	st.set(info)
	return nil
}

func (d *dirHandle) list(l *Listing) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("list directory: %w", plain(err))
	}
	for _, e := range entries {
		if err := l.Add([]byte(e.Name()), kinds[typeOf(e.Type())], 0); err != nil {
			return err
		}
	}
	return nil
}

func (d *dirHandle) stat(l *Listing, i int, st *Stat) error { return d.statName(l.Name(i), st) }

func (d *dirHandle) statName(name []byte, st *Stat) error {
	info, err := os.Lstat(d.join(name))
	if err != nil {
		return fmt.Errorf("stat: %w", plain(err))
	}
	st.set(info)
	return nil
}

func (d *dirHandle) open(name []byte, f *File) error {
	if err := d.statName(name, &f.opened); err != nil {
		return err
	}
	if f.opened.Kind != Regular {
		return fmt.Errorf("open: %w", ErrReplaced)
	}
	file, err := os.Open(d.join(name))
	if err != nil {
		return fmt.Errorf("open: %w", plain(err))
	}
	f.sys.f = file
	return nil
}

func (d *dirHandle) readlink(name []byte) ([]byte, error) {
	target, err := os.Readlink(d.join(name))
	if err != nil {
		return nil, fmt.Errorf("read link: %w", plain(err))
	}
	return []byte(target), nil
}

func (d *dirHandle) xattrs([]byte, *XattrBuffer) ([]Xattr, error) { return nil, nil }
func (d *dirHandle) born() (time.Time, bool)                      { return time.Time{}, false }
func (d *dirHandle) selfXattrs(*XattrBuffer) ([]Xattr, error)     { return nil, nil }
func (d *dirHandle) fileSystem() (FileSystem, error)              { return FileSystem{Slack: coarseSlack}, nil }

type fileHandle struct{ f *os.File }

func (f *fileHandle) stat(st *Stat) error {
	info, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("stat: %w", plain(err))
	}
	st.set(info)
	return nil
}

func (f *fileHandle) readAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF {
		err = nil // n tells
	}
	if err != nil {
		return n, fmt.Errorf("read: %w", plain(err))
	}
	return n, nil
}

func (f *fileHandle) nextData(off int64) (start, end int64, err error) {
	var st Stat
	if err := f.stat(&st); err != nil {
		return 0, 0, err
	}
	if off >= st.Size {
		return 0, 0, io.EOF
	}
	return off, st.Size, nil
}

func (f *fileHandle) xattrs(*XattrBuffer) ([]Xattr, error) { return nil, nil }
func (f *fileHandle) fileSystem() (FileSystem, error)      { return FileSystem{Slack: coarseSlack}, nil }
func (f *fileHandle) close() error                         { return f.f.Close() }

func (f *fileHandle) descriptor() (uintptr, bool) { return 0, false }

func rotational(string) bool { return false }

func (st *Stat) set(info fs.FileInfo) {
	mtime := info.ModTime()
	*st = Stat{
		Kind:      kinds[typeOf(info.Mode().Type())],
		Mode:      uint32(info.Mode().Perm()),
		Nlink:     1,
		Size:      info.Size(),
		Blocks:    (info.Size() + 511) / 512,
		MtimeSec:  mtime.Unix(),
		MtimeNsec: uint32(mtime.Nanosecond()),
		CtimeSec:  mtime.Unix(),
		CtimeNsec: uint32(mtime.Nanosecond()),
	}
}

// typeOf gives the number that stands for a type in a directory record.
func typeOf(mode fs.FileMode) byte {
	switch {
	case mode == 0:
		return 8
	case mode&fs.ModeDir != 0:
		return 4
	case mode&fs.ModeSymlink != 0:
		return 10
	case mode&fs.ModeNamedPipe != 0:
		return 1
	case mode&fs.ModeSocket != 0:
		return 12
	case mode&fs.ModeCharDevice != 0:
		return 2
	case mode&fs.ModeDevice != 0:
		return 6
	}
	return 0
}

// plain strips the path and the call's name, which the caller says better.
func plain(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *os.SyscallError:
		return e.Err
	}
	return err
}
