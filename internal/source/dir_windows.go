package source

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/windows"
)

type dirHandle struct {
	h   windows.Handle
	vol *volume
}

func (d *dirHandle) openDir(name []byte) (dirHandle, error) {
	h, err := openAt(d.h, name, listIt, alone|windows.FILE_DIRECTORY_FILE)
	if err != nil {
		return dirHandle{}, fmt.Errorf("open directory: %w", err)
	}
	var st Stat
	if err = statHandle(h, d.vol, false, &st); err == nil && st.Kind != Directory {
		err = ErrReplaced
	}
	if err != nil {
		windows.CloseHandle(h)
		return dirHandle{}, fmt.Errorf("open directory: %w", err)
	}
	return dirHandle{h, d.vol}, nil
}

func (d *dirHandle) close() error {
	h := d.h
	d.h = windows.InvalidHandle
	return closeHandle(h)
}

func (d *dirHandle) self(st *Stat) error { return statHandle(d.h, d.vol, false, st) }

func (d *dirHandle) born() (time.Time, bool) { return time.Time{}, false }

func (d *dirHandle) stat(l *Listing, i int, st *Stat) error {
	if l.stat(i, st) {
		return nil
	}
	return d.statName(l.Name(i), st)
}

func (d *dirHandle) statName(name []byte, st *Stat) error { return statAt(d.h, name, d.vol, st) }

func (d *dirHandle) open(name []byte, f *File) error {
	f.sys = fileHandle{vol: d.vol, stream: isStream(name)}
	err := f.sys.open(d.h, name, alone)
	if err == nil {
		err = f.sys.identify(&f.opened)
	}
	if err == nil && Served(f.sys.tag) {
		windows.CloseHandle(f.sys.h)
		if err = f.sys.open(d.h, name, through); err == nil {
			err = f.sys.identify(&f.opened)
		}
	}
	if err == nil && f.opened.Kind != Regular {
		err = ErrReplaced
	}
	if err != nil {
		if f.sys.h != 0 {
			windows.CloseHandle(f.sys.h)
		}
		f.sys = fileHandle{}
		return fmt.Errorf("open: %w", err)
	}
	return nil
}

func (d *dirHandle) readlink(name []byte) ([]byte, error) {
	h, err := openAt(d.h, name, lookAt, alone)
	if err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	defer windows.CloseHandle(h)
	b, err := reparsePoint(h)
	if err == windows.ERROR_NOT_A_REPARSE_POINT {
		return nil, fmt.Errorf("read link: %w", ErrReplaced)
	}
	if err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	target, ok := LinkTarget(b)
	if !ok {
		return nil, fmt.Errorf("read link: %w", ErrReplaced)
	}
	return target, nil
}

func (d *dirHandle) xattrs(name []byte, b *XattrBuffer) ([]Xattr, error) {
	if isStream(name) {
		return nil, nil
	}
	return d.describe(name, b)
}

func (d *dirHandle) selfXattrs(b *XattrBuffer) ([]Xattr, error) { return d.describe(nil, b) }

func (d *dirHandle) describe(name []byte, b *XattrBuffer) ([]Xattr, error) {
	h, err := openFully(d.h, name, describe, alone)
	if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	defer windows.CloseHandle(h)
	return b.fill(d.vol.attributes(h))
}

func (d *dirHandle) fileSystem() (FileSystem, error) { return d.vol.fileSystem(), nil }

// noAudit is set once it turned out that the right to read what is audited doesn't go as far as files.
var noAudit atomic.Bool

// openFully is openAt with the right to read all of the security descriptor, if that can be had.
func openFully(dir windows.Handle, name []byte, access, options uint32) (windows.Handle, error) {
	if rights() && !noAudit.Load() {
		h, err := openAt(dir, name, access|windows.ACCESS_SYSTEM_SECURITY, options)
		if err != windows.ERROR_PRIVILEGE_NOT_HELD && err != windows.ERROR_ACCESS_DENIED {
			return h, err
		}
		if h, err = openAt(dir, name, access, options); err == nil {
			noAudit.Store(true)
		}
		return h, err
	}
	return openAt(dir, name, access, options)
}
