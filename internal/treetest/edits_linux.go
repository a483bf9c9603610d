package treetest

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The changes an editor makes, in the order of its table.

const editedFile = 300_000 // no file grows by more at a time

func (e *editor) maker() *maker {
	return &maker{dice: e.dice, o: Options{MaxFile: editedFile}.withDefaults(), left: 8}
}

func (e *editor) createFile(p place) error {
	m := e.maker()
	defer m.forget()
	size := m.size(m.o)
	if e.one(3) {
		return m.sparse(p.dir, p.name, size)
	}
	return m.file(p.dir, p.name, size)
}

func (e *editor) createDir(p place) error {
	m := e.maker()
	defer m.forget()
	return m.dir(p.dir, p.name, func(fd int) error {
		if e.one(3) {
			return nil
		}
		return m.fill(fd, 1)
	})
}

func (e *editor) createOther(p place) error {
	m := e.maker()
	defer m.forget()
	return pick(e.dice, m.symlink, m.fifo, m.special)(p.dir, p.name)
}

// open opens a file for writing, with what is known of it.
func (e *editor) open(p place, do func(fd int, st *unix.Stat_t) error) error {
	fd, err := unix.Openat(p.dir, p.name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return do(fd, &st)
}

func (e *editor) modify(p place) error {
	return e.open(p, func(fd int, st *unix.Stat_t) error { return e.overwrite(fd, st.Size) })
}

// overwrite changes bytes and not the size.
func (e *editor) overwrite(fd int, size int64) error {
	if size == 0 {
		return unix.ENODATA
	}
	for range 1 + e.IntN(4) {
		at := e.Int64N(size)
		b := make([]byte, min(size-at, 1+e.Int64N(9000)))
		e.fill(b)
		if err := writeAt(fd, b, at); err != nil {
			return err
		}
	}
	return nil
}

// modifySilently leaves only ctime to tell.
func (e *editor) modifySilently(p place) error {
	return e.open(p, func(fd int, st *unix.Stat_t) error {
		if err := e.overwrite(fd, st.Size); err != nil {
			return err
		}
		return unix.UtimesNanoAt(p.dir, p.name, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (e *editor) grow(p place) error {
	return e.open(p, func(fd int, st *unix.Stat_t) error {
		gap := pick(e.dice, 0, 0, e.Int64N(100_000))
		return writeAt(fd, e.content(1+e.Int64N(editedFile)), st.Size+gap)
	})
}

func (e *editor) truncate(p place) error {
	return e.open(p, func(fd int, st *unix.Stat_t) error {
		return unix.Ftruncate(fd, pick(e.dice, 0, e.Int64N(st.Size+1), st.Size+e.Int64N(editedFile)))
	})
}

func (e *editor) punch(p place) error {
	return e.open(p, func(fd int, st *unix.Stat_t) error {
		if st.Size == 0 {
			return unix.ENODATA
		}
		at := e.Int64N(st.Size)
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, 1+e.Int64N(editedFile))
	})
}

// replace renames another file over one, which has its size and mtime: only the inode tells.
func (e *editor) replace(p place) error {
	var st unix.Stat_t
	if err := unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	const aside = "being written"
	fd, err := create(p.dir, aside)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	b := make([]byte, min(st.Size, editedFile))
	e.fill(b)
	return errors.Join(writeAt(fd, b, 0), unix.Ftruncate(fd, st.Size),
		unix.UtimesNanoAt(p.dir, aside, []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW),
		unix.Renameat(p.dir, aside, p.dir, p.name))
}

func (e *editor) swapKind() error {
	return e.on(pick[uint32](e.dice, unix.S_IFREG, unix.S_IFDIR), func(p place) error {
		was := e.kind(p)
		if err := removeAt(p.dir, p.name); err != nil {
			return err
		}
		if was == unix.S_IFREG {
			return e.createDir(p)
		}
		return e.createFile(p)
	})
}

func (e *editor) renameWithin(p place) error {
	to := e.name()
	e.note(" to %q", to)
	return unix.Renameat2(p.dir, p.name, p.dir, to, unix.RENAME_NOREPLACE)
}

func (e *editor) rename(from, to place) error {
	return unix.Renameat2(from.dir, from.name, to.dir, to.name, unix.RENAME_NOREPLACE)
}

// exchange needs a name that exists.
func (e *editor) exchange(from, to place) error {
	names, err := readNames(to.dir)
	if err != nil || len(names) == 0 {
		return errors.Join(unix.ENOENT, err)
	}
	to.name = pick(e.dice, names...)
	e.note(", that is, %q", to.name)
	return unix.Renameat2(from.dir, from.name, to.dir, to.name, unix.RENAME_EXCHANGE)
}

func (e *editor) hardLink(from, to place) error {
	return unix.Linkat(from.dir, from.name, to.dir, to.name, 0)
}

// remove removes an entry, and what is in it if it is small: half a tree at once would leave little to edit.
func (e *editor) remove(p place) error {
	if e.kind(p) == unix.S_IFDIR && !e.one(3) {
		return unix.ENOTEMPTY
	}
	return removeAt(p.dir, p.name)
}

func (e *editor) retarget(p place) error {
	if err := unix.Unlinkat(p.dir, p.name, 0); err != nil {
		return err
	}
	m := e.maker()
	defer m.forget()
	return m.symlink(p.dir, p.name)
}
