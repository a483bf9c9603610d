package fanotify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

// A resolver finds out what handles stand for now, and fills a dirty set. A handle whose file is gone is dropped: the
// directory it was in is in the log for that, or is gone itself.
type resolver struct {
	journal *Journal
	dirty   *journal.Dirty
	set     *changeSet
	from    *journal.Cursor
	to      *journal.Cursor
	changed map[uint64]changes // of files that are there, by inode
	linked  map[handle]*linked // files of which names may not be in the log
}

// linked is a file that has, or had, several names: what is done by one of them shows at all.
type linked struct {
	inode uint64
	names uint64 // that it has now
	known map[place]struct{}
}

// A place is a name in a directory.
type place struct {
	dir  handle
	name string
}

// A fileID is a file's identity while it is there.
type fileID struct{ dev, ino uint64 }

func identify(fd int) (fileID, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return fileID{uint64(st.Dev), st.Ino}, err
}

func (r *resolver) resolve(ctx context.Context) error {
	r.changed, r.linked = map[uint64]changes{}, map[handle]*linked{}
	for h, names := range r.set.dirs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.directory(h, names); err != nil {
			return err
		}
	}
	for h, c := range r.set.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.file(h, c); err != nil {
			return err
		}
	}
	return r.links(ctx)
}

// directory adds a directory with the names that changed in it.
func (r *resolver) directory(h handle, names map[string]struct{}) error {
	fd, err := openByHandle(int(r.journal.root.Fd()), h, unix.O_PATH|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return unresolved(err)
	}
	defer unix.Close(fd)
	id, ok, err := r.lead(fd)
	if err != nil || !ok {
		return err
	}
	r.dirty.Dir(id)
	for name := range names {
		r.dirty.Name(id, []byte(name))
	}
	for name := range r.set.unknown[h] {
		if err := r.byName(fd, name); err != nil {
			return err
		}
	}
	return nil
}

// byName does for a name what file does for a handle, where the kernel gives none.
func (r *resolver) byName(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if gone(err) || err == unix.ENAMETOOLONG {
		return nil
	}
	if err != nil {
		return unresolved(err)
	}
	defer unix.Close(fd)
	return r.opened("", fd, created)
}

func gone(err error) bool { return err == unix.ESTALE || err == unix.ENOENT || err == unix.ENOTDIR }

func unresolved(err error) error {
	return &journal.Gap{Reason: fmt.Sprintf("a directory that changed can't be found: %v", err)}
}

// lead notes the directories that lead to an open one, and returns its own id. It returns false if the directory isn't in the volume, or no longer.
func (r *resolver) lead(fd int) (uint64, bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, false, unresolved(err)
	}
	self := fileID{uint64(st.Dev), st.Ino}
	root := r.journal.self
	if st.Nlink == 0 || self.dev != root.dev { // removed but open; another subvolume
		return 0, false, nil
	}
	way, ok, err := r.climb(fd, self)
	if err != nil || !ok {
		return 0, false, err
	}
	for _, id := range way {
		r.dirty.Lead(id)
	}
	return self.ino, true, nil
}

// climb returns the directories above one, up to the volume's root or one that is known to lead.
func (r *resolver) climb(fd int, self fileID) (way []uint64, ok bool, err error) {
	root := r.journal.self
	at := fd
	defer func() {
		if at != fd {
			unix.Close(at)
		}
	}()
	for self != root {
		above, err := unix.Openat(at, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT { // it isn't below the mount's root: open_by_handle_at opens all of the file system
			return nil, false, nil
		}
		if err != nil {
			return nil, false, unresolved(err)
		}
		if at != fd {
			unix.Close(at)
		}
		at = above
		up, err := identify(at)
		if err != nil {
			return nil, false, unresolved(err)
		}
		if up == self || up.dev != root.dev { // the top, and the root was not met
			return nil, false, nil
		}
		self = up
		if _, known := r.dirty.Via[self.ino]; known {
			break
		}
		way = append(way, self.ino)
	}
	return way, true, nil
}

// file adds what is known of a file beside its names.
func (r *resolver) file(h handle, c changes) error {
	fd, err := openByHandle(int(r.journal.root.Fd()), h, unix.O_PATH)
	if gone(err) {
		return nil
	}
	if err != nil {
		return unresolved(err)
	}
	defer unix.Close(fd)
	return r.opened(h, fd, c)
}

func (r *resolver) opened(h handle, fd int, c changes) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return unresolved(err)
	}
	if st.Nlink == 0 || uint64(st.Dev) != r.journal.self.dev {
		return nil
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return r.newDirectory(fd, c)
	}
	// There are several names, or one of several is gone, or was renamed over, which is told without a name: all show other metadata.
	if st.Nlink > 1 || c&(removed|nameless) != 0 || r.byGone(h, c, st.Ino) {
		r.linked[h] = &linked{inode: st.Ino, names: uint64(st.Nlink), known: map[place]struct{}{}}
		if h == "" {
			r.dirty.Link(st.Ino)
		}
	}
	r.changed[st.Ino] |= c
	return nil
}

// byGone tells whether a file was changed by a name that it has no longer, as by who had opened it before that was removed. A name given to it since would be told.
func (r *resolver) byGone(h handle, c changes, inode uint64) bool {
	p, ok := r.set.at[h]
	return ok && c&(created|moved) == 0 && !r.stands(p, inode)
}

// links tells of the files whose names are not all in the log that they are to be looked for in the base. Those names may have been their
// only ones when the base was saved: link(2) tells the new name only.
func (r *resolver) links(ctx context.Context) error {
	delete(r.linked, "")
	if len(r.linked) == 0 {
		return nil
	}
	err := r.journal.eachRecord(ctx, r.from, r.to, func(x *record) {
		if l := r.linked[x.file]; l != nil && x.dir != "" && x.name != "" {
			l.known[place{x.dir, x.name}] = struct{}{}
		}
	})
	if err != nil {
		return err
	}
	for _, l := range r.linked {
		for p := range l.known {
			if !r.stands(p, l.inode) {
				delete(l.known, p)
			}
		}
		if uint64(len(l.known)) < l.names {
			r.dirty.Link(l.inode)
		}
	}
	return nil
}

// stands tells whether a name stands for an inode now, and is in the volume.
func (r *resolver) stands(p place, inode uint64) bool {
	fd, err := openByHandle(int(r.journal.root.Fd()), p.dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	return unix.Fstatat(fd, p.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Ino == inode
}

// newDirectory has all of a new directory looked at: its inode may have been another's when the base was saved.
func (r *resolver) newDirectory(fd int, c changes) error {
	if c&created == 0 {
		return nil
	}
	id, ok, err := r.lead(fd)
	if ok {
		r.dirty.List(id)
	}
	return err
}

// contents says of which files the content is to be read again, and of which it certainly need not be. Writes by a call set a file's times. Stores
// to mapped memory do so only now and then, but end in a close.
func (r *resolver) contents(open map[uint64]bool) {
	for id, c := range r.changed {
		switch {
		case c&closed != 0 || c&written != 0 && r.set.setBack:
			r.dirty.File(id).Read = true
		case c&(written|created) == 0 && !open[id]:
			r.dirty.File(id).Kept = true
		}
	}
}

// list has a whole directory looked at, if it is in the volume.
func (r *resolver) list(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	id, ok, err := r.lead(fd)
	if ok {
		r.dirty.List(id)
	}
	return err
}
