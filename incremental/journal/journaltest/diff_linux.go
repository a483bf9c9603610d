package journaltest

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"waybill/incremental/journal"
)

// A Diff is a journal that compares two listings of a tree: it tells exactly the names that changed. It is for tests of what is
// told by journals.
type Diff struct {
	Root string // of the volume
	// Links has only one name told of a file of several, when none of them is new or gone.
	Links  bool
	before map[name]state
	after  map[name]state
	up     map[uint64]uint64 // from each directory to the one that holds it
}

type name struct {
	dir  uint64
	name string
}

type state struct {
	dir          bool
	inode, nlink uint64
	mode         uint32
	uid, gid     uint32
	size         int64
	mtime, ctime syscall.Timespec
}

// Now implements journal.Journal.
func (d *Diff) Now(context.Context) (*journal.Cursor, error) {
	d.before, d.after, d.up = d.after, map[name]state{}, map[uint64]uint64{}
	err := filepath.WalkDir(d.Root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == d.Root {
			return err
		}
		var parent, st syscall.Stat_t
		if err := syscall.Lstat(filepath.Dir(path), &parent); err != nil {
			return err
		}
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		d.after[name{parent.Ino, e.Name()}] = state{e.IsDir(), st.Ino, uint64(st.Nlink), st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim}
		if e.IsDir() {
			d.up[st.Ino] = parent.Ino
		}
		return nil
	})
	return &journal.Cursor{Kind: "diff"}, err
}

// Changes implements journal.Journal: from must be of the last Now but one.
func (d *Diff) Changes(_ context.Context, _, _ *journal.Cursor, dirty *journal.Dirty) error {
	told := map[uint64]bool{}
	for n, s := range d.after {
		was, ok := d.before[n]
		if ok && was == s {
			continue
		}
		if d.Links && !s.dir && (s.nlink > 1 || was.nlink > 1) {
			dirty.Link(s.inode)
			if ok && was.inode == s.inode && told[s.inode] {
				continue
			}
			told[s.inode] = true
		}
		d.name(n, dirty)
	}
	for n, s := range d.before {
		if _, ok := d.after[n]; !ok {
			d.name(n, dirty)
			if d.Links && !s.dir && s.nlink > 1 {
				dirty.Link(s.inode)
			}
		}
	}
	return nil
}

func (d *Diff) name(n name, dirty *journal.Dirty) {
	dirty.Name(n.dir, []byte(n.name))
	for id, ok := n.dir, true; ok && dirty.Lead(id); {
		id, ok = d.up[id]
	}
	if info, err := os.Stat(d.Root); err == nil {
		dirty.Lead(info.Sys().(*syscall.Stat_t).Ino)
	}
}

// Status implements journal.Journal.
func (d *Diff) Status(context.Context) (journal.Status, error) {
	return journal.Status{Kind: "diff"}, nil
}

// Close implements journal.Journal.
func (d *Diff) Close() error { return nil }
