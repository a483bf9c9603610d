package restore

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
	"waybill/manifest"
)

// Metadata is set in this order: the owner (which takes set-id bits and capabilities away), the attributes (for
// which the mode must still let us), the mode, the times, and what is NTFS' own: its security descriptor is what an owner and a
// mode are made of there.

// An output is an open file being made.
type output struct {
	fd   int
	made birth
}

// A birth is what a file was made as, to spare the calls that would change nothing.
type birth struct {
	mode     uint32
	uid, gid uint32
}

const unknownMode = 1 << 31

// Close closes the file.
func (o output) Close() error { return unix.Close(o.fd) }

// write writes all of a file's data. What lies between the parts is holes.
func (o output) write(parts []part, size int64) error {
	if err := o.writeParts(parts); err != nil {
		return err
	}
	if n := len(parts); n > 0 && parts[n-1].off+int64(len(parts[n-1].b)) == size || size == 0 {
		return nil
	}
	return o.truncate(size)
}

func (o output) writeParts(parts []part) error {
	for _, p := range parts {
		for b, off := p.b, p.off; len(b) > 0; {
			n, err := unix.Pwrite(o.fd, b, off)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}
			b, off = b[n:], off+int64(n)
		}
	}
	return nil
}

func (o output) truncate(size int64) error {
	if err := retry(func() error { return unix.Ftruncate(o.fd, size) }); err != nil {
		return fmt.Errorf("setting the size: %w", err)
	}
	return nil
}

// dress sets a file's metadata as far as it can, and says what it couldn't.
func (o output) dress(e *catalog.Entry, m *manner) error {
	return dress(o.fd, e, m, o.made)
}

// dress sets the directory's own metadata.
func (h *handle) dress(e *catalog.Entry, m *manner) error {
	var st unix.Stat_t
	if err := unix.Fstat(h.sys.fd, &st); err != nil {
		return err
	}
	return dress(h.sys.fd, e, m, birth{st.Mode & 0o7777, st.Uid, st.Gid})
}

func dress(fd int, e *catalog.Entry, m *manner, made birth) error {
	var errs []error
	uid, gid := m.owner(e, made.uid, made.gid)
	if uid != made.uid || gid != made.gid {
		if err := unix.Fchown(fd, int(uid), int(gid)); err != nil {
			errs = append(errs, fmt.Errorf("owner %d:%d not set: %w", uid, gid, err))
			uid, gid = made.uid, made.gid
		}
	}
	set := func(name string, value []byte) error { return unix.Fsetxattr(fd, name, value, 0) }
	if len(e.Xattrs) > 0 {
		errs = append(errs, attributes(e, set))
	}
	mode := m.mode(e, uid, gid)
	if mode != e.Mode {
		errs = append(errs, errSetID)
	}
	if mode != made.mode || e.Mode&setID != 0 {
		if err := unix.Fchmod(fd, mode); err != nil {
			errs = append(errs, fmt.Errorf("mode %o not set: %w", mode, err))
		}
	}
	if err := futimens(fd, e.Mtime); err != nil {
		errs = append(errs, fmt.Errorf("time not set: %w", err))
	}
	if len(e.Xattrs) > 0 {
		errs = append(errs, m.ntfsAttributes(e, set))
	}
	if errs == nil {
		return nil
	}
	return errors.Join(errs...)
}

var errSetID = errors.New("its set-id bits were left away: it belongs to someone else now")

// dressOther sets the metadata of what can't be opened.
func (h *handle) dressOther(name string, e *catalog.Entry, m *manner) error {
	var errs []error
	madeGID := h.newGID(m)
	if uid, gid := m.owner(e, m.uid, madeGID); uid != m.uid || gid != madeGID {
		if err := unix.Fchownat(h.sys.fd, name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			errs = append(errs, fmt.Errorf("owner %d:%d not set: %w", uid, gid, err))
		}
	}
	set := h.setter(name)
	if len(e.Xattrs) > 0 {
		errs = append(errs, attributes(e, set))
	}
	if e.Kind != catalog.Symlink {
		if err := h.chmod(name, e.Mode); err != nil {
			errs = append(errs, fmt.Errorf("mode %o not set: %w", e.Mode, err))
		}
	}
	if ts, err := timespecs(e.Mtime); err != nil {
		errs = append(errs, err)
	} else if err := unix.UtimesNanoAt(h.sys.fd, name, ts[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		errs = append(errs, fmt.Errorf("time not set: %w", err))
	}
	if len(e.Xattrs) > 0 {
		errs = append(errs, m.ntfsAttributes(e, set))
	}
	if errs == nil {
		return nil
	}
	return errors.Join(errs...)
}

// setter sets attributes of what can't be opened.
func (h *handle) setter(name string) func(string, []byte) error {
	path := fmt.Sprintf("/proc/self/fd/%d/%s", h.sys.fd, name)
	return func(attr string, value []byte) error { return unix.Lsetxattr(path, attr, value, 0) }
}

// chmod changes the mode of what is there now, not of what a link put there meanwhile leads to:
// fchmodat(2) follows links, so it goes by a descriptor.
func (h *handle) chmod(name string, mode uint32) error {
	fd, err := unix.Openat(h.sys.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return errors.New("it was replaced meanwhile")
	}
	return unix.Fchmodat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), mode, 0)
}

// attributes sets an entry's extended attributes, POSIX ACLs among them, but for those of NTFS.
func attributes(e *catalog.Entry, set func(name string, value []byte) error) error {
	var errs []error
	e.EachXattr(func(name, value []byte) bool {
		if isNTFS(name) {
			return true
		}
		if err := set(string(name), value); err != nil {
			errs = append(errs, fmt.Errorf("attribute %s not set: %w", manifest.EscapePath(name), err))
		}
		return true
	})
	return errors.Join(errs...)
}

// ntfsAttributes sets what is NTFS' own. Where the file system has no such thing, the entry is counted. The reparse point comes last, as its name
// does: little else can be done to one.
func (m *manner) ntfsAttributes(e *catalog.Entry, set func(name string, value []byte) error) error {
	var errs []error
	e.EachXattr(func(name, value []byte) bool {
		if !isNTFS(name) {
			return true
		}
		err := set(string(name), value)
		if errors.Is(err, unix.EOPNOTSUPP) {
			m.unkept.Add(1)
			return false
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("attribute %s not set: %w", manifest.EscapePath(name), err))
		}
		return true
	})
	return errors.Join(errs...)
}

// futimens sets a file's time; package unix can't call utimensat(2) without a path.
func futimens(fd int, t catalog.Time) error {
	ts, err := timespecs(t)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// timespecs leaves the time of access as it is.
func timespecs(t catalog.Time) (ts [2]unix.Timespec, err error) {
	ts[0].Nsec = unix.UTIME_OMIT
	ts[1], err = unix.TimeToTimespec(time.Unix(t.Sec, int64(t.Nsec)))
	return ts, err
}
