package source

import (
	"fmt"
	"time"
)

// Dir is an open directory. Its methods may be called from several goroutines at once, except List and Close.
type Dir struct {
	sys  dirHandle
	tree Backend // instead of sys, for what isn't the system's own
}

// OpenDir opens the directory at path, following symbolic links. On Windows "/" is a directory of the drives, and "/C:/Users" is C:\Users.
func OpenDir(path string) (*Dir, error) { return openRoot(path) }

// OpenDir opens the directory called name in d, not following a symbolic link: if name isn't a directory (any more) the error
// is ErrReplaced. The new Dir doesn't need d to stay open.
func (d *Dir) OpenDir(name []byte) (*Dir, error) {
	if d.tree != nil {
		return d.tree.OpenDir(name)
	}
	h, err := d.sys.openDir(name)
	if err != nil {
		return nil, err
	}
	return &Dir{sys: h}, nil
}

// Close closes d.
func (d *Dir) Close() error {
	if d.tree != nil {
		return d.tree.Close()
	}
	return d.sys.close()
}

// Self returns the metadata of the directory itself.
func (d *Dir) Self() (Stat, error) {
	if d.tree != nil {
		return d.tree.Self()
	}
	var st Stat
	err := d.sys.self(&st)
	return st, err
}

// Born tells when the directory was made, where the file system notes that and the system tells it.
func (d *Dir) Born() (t time.Time, ok bool) {
	if d.tree != nil {
		return time.Time{}, false
	}
	return d.sys.born()
}

// List fills l with all names in d, replacing what it held. It reads the directory anew at every call. After an error l is empty.
func (d *Dir) List(l *Listing) error {
	l.reset()
	if err := d.list(l); err != nil {
		l.reset()
		return err
	}
	l.sort()
	return nil
}

func (d *Dir) list(l *Listing) error {
	if d.tree != nil {
		return d.tree.List(l)
	}
	return d.sys.list(l)
}

// Stat fills st with the metadata of entry i of l, which must be a listing of d. Symbolic links aren't followed.
// The error is fs.ErrNotExist when the entry vanished since, unless the listing brought the metadata along, as it does on Windows.
func (d *Dir) Stat(l *Listing, i int, st *Stat) error {
	if d.tree == nil {
		return d.sys.stat(l, i, st)
	}
	if l.stat(i, st) {
		return nil
	}
	return d.StatName(l.Name(i), st)
}

// StatName is Stat for a name that is in no listing.
func (d *Dir) StatName(name []byte, st *Stat) (err error) {
	if d.tree == nil {
		return d.sys.statName(name, st)
	}
	*st, err = d.tree.Stat(name)
	return err
}

// Open opens the regular file called name for reading. If name is anything else (by now), the error is ErrReplaced:
// a fifo doesn't block, a device isn't read.
func (d *Dir) Open(name []byte) (*File, error) {
	f := new(File)
	if err := d.OpenInto(name, f); err != nil {
		return nil, err
	}
	return f, nil
}

// OpenInto is Open into an f of the caller's, which must be new or closed: for a caller that opens many files in turn.
// After an error f is as good as closed.
func (d *Dir) OpenInto(name []byte, f *File) error {
	f.off, f.tree = 0, nil
	if d.tree == nil {
		return d.sys.open(name, f)
	}
	b, err := d.tree.Open(name)
	if err != nil {
		return err
	}
	if f.opened, err = b.Stat(); err == nil && f.opened.Kind != Regular {
		err = fmt.Errorf("open: %w", ErrReplaced)
	}
	if err != nil {
		b.Close()
		return err
	}
	f.tree = b
	return nil
}

// Readlink returns the target of the symbolic link called name.
func (d *Dir) Readlink(name []byte) ([]byte, error) {
	if d.tree != nil {
		return d.tree.Readlink(name)
	}
	return d.sys.readlink(name)
}

// Xattrs returns the extended attributes of the entry called name, of whatever kind, without opening it; see [File.Xattrs].
func (d *Dir) Xattrs(name []byte, b *XattrBuffer) ([]Xattr, error) {
	if d.tree != nil {
		return b.fill(func(add func(string, []byte)) error { return d.tree.Xattrs(name, add) })
	}
	return d.sys.xattrs(name, b)
}

// SelfXattrs returns the extended attributes of the directory itself; see [File.Xattrs].
func (d *Dir) SelfXattrs(b *XattrBuffer) ([]Xattr, error) {
	if d.tree != nil {
		return b.fill(func(add func(string, []byte)) error { return d.tree.Xattrs(nil, add) })
	}
	return d.sys.selfXattrs(b)
}

// FileSystem says what kind of file system d lies on.
func (d *Dir) FileSystem() (FileSystem, error) {
	if d.tree != nil {
		return d.tree.FileSystem()
	}
	return d.sys.fileSystem()
}
