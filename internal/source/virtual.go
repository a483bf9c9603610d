package source

import (
	"fmt"
	"io/fs"
)

// Virtual makes a directory of other trees: each name opens one. Nothing is opened before it is asked for, so a tree that
// can't be opened is an entry that can't. The map must not change any more.
func Virtual(trees map[string]func() (*Dir, error)) *Dir { return NewDir(virtualDir(trees)) }

// virtualDir implements [Backend].
type virtualDir map[string]func() (*Dir, error)

func (v virtualDir) Self() (Stat, error) {
	return Stat{Kind: Directory, Mode: 0o755, Inode: 1, Nlink: 1}, nil
}

func (v virtualDir) List(l *Listing) error {
	for name := range v {
		if err := l.Add([]byte(name), Directory, 0); err != nil {
			return err
		}
	}
	return nil
}

func (v virtualDir) Stat(name []byte) (Stat, error) {
	d, err := v.OpenDir(name)
	if err != nil {
		return Stat{}, err
	}
	defer d.Close()
	return d.Self()
}

func (v virtualDir) OpenDir(name []byte) (*Dir, error) {
	open, ok := v[string(name)]
	if !ok {
		return nil, fmt.Errorf("open directory: %w", fs.ErrNotExist)
	}
	return open()
}

func (v virtualDir) Open(name []byte) (FileBackend, error) {
	return nil, fmt.Errorf("open: %w", v.other(name))
}

func (v virtualDir) Readlink(name []byte) ([]byte, error) {
	return nil, fmt.Errorf("read link: %w", v.other(name))
}

// other is the error for what is asked for as something else than a directory.
func (v virtualDir) other(name []byte) error {
	if _, ok := v[string(name)]; ok {
		return ErrReplaced
	}
	return fs.ErrNotExist
}

func (v virtualDir) Xattrs([]byte, func(string, []byte)) error { return nil }
func (v virtualDir) FileSystem() (FileSystem, error)           { return FileSystem{}, nil }
func (v virtualDir) Close() error                              { return nil }
