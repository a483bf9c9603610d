package restore

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
)

// handleSys is what a Linux directory passes on to what is made in it.
type handleSys struct {
	fd     int
	gid    int64 // the group that new entries get, -1 for the process's
	hasACL bool  // they get a default ACL
}

// look finds out what new entries of the directory inherit.
func (h *handle) look(*handle, string) error {
	h.sys.fd, h.sys.gid = int(h.self.Fd()), -1
	var st unix.Stat_t
	if err := unix.Fstat(h.sys.fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_ISGID != 0 {
		h.sys.gid = int64(st.Gid)
	}
	n, err := unix.Fgetxattr(h.sys.fd, defaultACL, nil)
	h.sys.hasACL = err == nil && n > 0
	return nil
}

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// localName refuses what the system could not name.
func localName(string) error { return nil }

// lstat looks at a name and follows no link.
func (h *handle) lstat(name string) (st stat, err error) {
	var x unix.Statx_t
	const mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	err = retry(func() error { return unix.Statx(h.sys.fd, name, unix.AT_SYMLINK_NOFOLLOW, mask, &x) })
	if err != nil {
		return st, fmt.Errorf("looking at it: %w", err)
	}
	st = stat{kind: kinds[x.Mode>>12], mode: uint32(x.Mode & 0o7777), uid: x.Uid, gid: x.Gid, size: int64(x.Size),
		mtime: timeOf(x.Mtime), changed: timeOf(x.Ctime), born: timeOf(x.Ctime)}
	if x.Mask&unix.STATX_BTIME != 0 {
		st.born = timeOf(x.Btime)
	}
	return st, nil
}

var kinds = [16]catalog.Kind{unix.S_IFREG >> 12: catalog.File, unix.S_IFDIR >> 12: catalog.Directory, unix.S_IFLNK >> 12: catalog.Symlink,
	unix.S_IFIFO >> 12: catalog.Fifo, unix.S_IFSOCK >> 12: catalog.Socket, unix.S_IFCHR >> 12: catalog.CharDevice, unix.S_IFBLK >> 12: catalog.BlockDevice}

func timeOf(t unix.StatxTimestamp) catalog.Time { return catalog.Time{Sec: t.Sec, Nsec: t.Nsec} }

// freshen takes from a directory just made what it inherited by default ACLs: it will get its own.
func (h *handle) freshen(name string) error {
	if !h.sys.hasACL {
		return nil
	}
	kid, err := h.sub(name)
	if err != nil {
		return err
	}
	defer kid.Close()
	for _, acl := range []string{accessACL, defaultACL} {
		if err := unix.Fremovexattr(kid.sys.fd, acl); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("removing an inherited ACL: %w", err)
		}
	}
	return unix.Fchmod(kid.sys.fd, 0o700)
}

// create makes a file that nobody else can open before its metadata is complete: those that could
// can't enter a private directory, and elsewhere the mode comes last.
func (h *handle) create(name string, e *catalog.Entry, private bool, m *manner) (output, error) {
	perm := uint32(0o600)
	if private && e.Mode&0o200 != 0 && len(e.Xattrs) == 0 {
		perm = e.Mode & 0o777 &^ m.umask
	}
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(h.sys.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		return err
	})
	if err != nil {
		return output{}, fmt.Errorf("creating it: %w", err)
	}
	out := output{fd: fd, made: birth{mode: perm, uid: m.uid, gid: h.newGID(m)}}
	if h.sys.hasACL || m.umask == allBits {
		unix.Fremovexattr(fd, accessACL) // there may be none
		out.made.mode = unknownMode
	}
	return out, nil
}

// newGID is the group of what is made in the directory.
func (h *handle) newGID(m *manner) uint32 {
	if h.sys.gid >= 0 {
		return uint32(h.sys.gid)
	}
	return m.gid
}

// reopen opens a file that create made. What it was born as is not known any more.
func (h *handle) reopen(name string) (output, error) {
	fd, err := unix.Openat(h.sys.fd, name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return output{}, fmt.Errorf("opening it again: %w", err)
	}
	out := output{fd: fd, made: birth{mode: unknownMode}}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return output{}, err
	}
	out.made.uid, out.made.gid = st.Uid, st.Gid
	return out, nil
}

// make makes what is neither file nor directory, with its metadata. A *metadataError tells that only part of that could be set.
func (h *handle) make(name string, e *catalog.Entry, m *manner) error {
	var err error
	switch e.Kind {
	case catalog.Symlink:
		err = h.symlink(name, e)
	case catalog.Fifo:
		err = unix.Mknodat(h.sys.fd, name, unix.S_IFIFO|0o600, 0)
	case catalog.Socket:
		err = unix.Mknodat(h.sys.fd, name, unix.S_IFSOCK|0o600, 0)
	case catalog.CharDevice:
		err = unix.Mknodat(h.sys.fd, name, unix.S_IFCHR|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	case catalog.BlockDevice:
		err = unix.Mknodat(h.sys.fd, name, unix.S_IFBLK|0o600, int(unix.Mkdev(e.Major, e.Minor)))
	}
	if err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	if err := h.dressOther(name, e, m); err != nil {
		return &metadataError{err}
	}
	return nil
}

// symlink makes a symbolic link. One that was a reparse point becomes one again where the file system has them, for a junction is more than
// where it leads: then only what the reparse point is set to, with the other attributes, is made here.
func (h *handle) symlink(name string, e *catalog.Entry) error {
	n := ntfsOf(e)
	if n.reparse == nil || !h.hasNTFS() {
		return unix.Symlinkat(string(e.Target), h.sys.fd, name)
	}
	if n.attrib&attribDirectory != 0 {
		return unix.Mkdirat(h.sys.fd, name, 0o700)
	}
	return unix.Mknodat(h.sys.fd, name, unix.S_IFREG|0o600, 0)
}

// hasNTFS tells whether the directory's file system knows what NTFS knows.
func (h *handle) hasNTFS() bool {
	_, err := unix.Fgetxattr(h.sys.fd, ntfsAttrib, nil)
	return err == nil
}

// sync makes durable what was written to the directory's file system.
func (h *handle) sync() error { return unix.Syncfs(h.sys.fd) }

// lock keeps a second run out; the lock goes with the process.
func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return nil // a file system without locks: then it is up to the user
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it nothing is trusted but what was synced
	return strings.TrimSpace(string(b))
}

// isRoot tells whether we may give files to others.
func isRoot() bool { return os.Geteuid() == 0 }

// allBits is the umask when it is not known.
const allBits = 0o777

// umask reads the process's: setting it to see it would show in files made meanwhile.
func umask() uint32 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Umask:"); ok {
			if v, err := strconv.ParseUint(strings.TrimSpace(rest), 8, 32); err == nil {
				return uint32(v)
			}
		}
	}
	return allBits
}

// retry repeats a system call that a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
