package treetest

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Make fills the existing directory dir with a random tree.
func Make(dir string, seed uint64, o Options) error {
	m := &maker{dice: newDice(seed), o: o.withDefaults()}
	m.left = m.o.Entries
	defer m.forget()
	root, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := errors.Join(m.showpieces(root), m.fill(root, 0)); err != nil {
		return fmt.Errorf("making a tree in %s, seed %d: %w", dir, seed, err)
	}
	return nil
}

type maker struct {
	dice
	o    Options
	left int   // entries yet to be made
	made []int // O_PATH descriptors of some entries, to be linked to
}

func (m *maker) forget() {
	for _, fd := range m.made {
		unix.Close(fd)
	}
}

// showpieces makes what every tree must have, whatever the dice say.
func (m *maker) showpieces(root int) error {
	var errs []error
	for _, size := range m.o.Sizes {
		for _, n := range []int64{size - 1, size, size + 1} {
			if n >= 0 && n <= m.o.MaxFile {
				errs = append(errs, m.file(root, fmt.Sprintf("size %d", n), n))
			}
		}
	}
	if m.o.Wide > 0 {
		errs = append(errs, m.dir(root, "wide", m.wide))
	}
	if !m.o.Shallow {
		errs = append(errs, m.deep(root, 4300/210))
	}
	return errors.Join(errs...)
}

func (m *maker) wide(dir int) error {
	for i := range m.o.Wide {
		if err := m.file(dir, fmt.Sprintf("entry %07d", i), int64(i%3)); err != nil {
			return err
		}
	}
	return nil
}

// deep makes directories in each other until no path can name what is at the bottom.
func (m *maker) deep(dir, levels int) error {
	if levels == 0 {
		return errors.Join(m.file(dir, "bottom", 1000), m.symlink(dir, "link at the bottom"), m.fifo(dir, "fifo at the bottom"))
	}
	return m.dir(dir, long(fmt.Sprintf("deep %d ", levels), 220), func(fd int) error { return m.deep(fd, levels-1) })
}

// fill makes entries in dir, some of which are directories filled in turn.
func (m *maker) fill(dir, depth int) error {
	for n := 1 + m.IntN(30); n > 0 && m.left > 0 || depth == 0 && m.left > 0; n-- {
		m.left--
		if err := m.entry(dir, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry makes one entry of a random kind. A name that is taken, or that isn't UTF-8 where it has to be, is no error.
func (m *maker) entry(dir, depth int) (err error) {
	name := m.name()
	switch m.IntN(20) {
	case 0, 1, 2, 3:
		err = m.dir(dir, name, func(fd int) error { return m.fill(fd, depth+1) })
	case 4:
		err = m.symlink(dir, name)
	case 5:
		err = m.fifo(dir, name)
	case 6:
		err = m.special(dir, name)
	case 7, 8:
		err = m.link(dir, name)
	case 9, 10:
		err = m.sparse(dir, name, m.size(m.o))
	default:
		err = m.file(dir, name, m.size(m.o))
	}
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EILSEQ) {
		return nil
	}
	return err
}

func (m *maker) dir(parent int, name string, fill func(fd int) error) error {
	if err := unix.Mkdirat(parent, name, 0o755); err != nil {
		return fmt.Errorf("mkdir %q: %w", name, err)
	}
	fd, err := openDir(parent, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := fill(fd); err != nil {
		return err
	}
	return m.dress(parent, name, unix.S_IFDIR)
}

func (m *maker) file(dir int, name string, size int64) error {
	fd, err := create(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := writeAt(fd, m.content(size), 0); err != nil {
		return err
	}
	return m.finish(dir, name, unix.S_IFREG)
}

// sparse makes a file with holes in it: anywhere, often unaligned data between them, perhaps nothing else.
func (m *maker) sparse(dir int, name string, size int64) error {
	fd, err := create(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, size); err != nil {
		return fmt.Errorf("truncate %q: %w", name, err)
	}
	for range m.IntN(6) {
		if size == 0 {
			break
		}
		at := m.Int64N(size)
		n := min(size-at, m.Int64N(200_000))
		if err := writeAt(fd, m.content(n), at); err != nil {
			return err
		}
	}
	return m.finish(dir, name, unix.S_IFREG)
}

func (m *maker) symlink(dir int, name string) error {
	target := pick(m.dice, m.name(), "../"+m.name(), "/etc/passwd", "/no/such/file", ".", "..", long("x/", 4000), "\xff\n", "trailing/")
	err := unix.Symlinkat(target, dir, name)
	if err == unix.ENAMETOOLONG { // xfs takes 1,023 bytes
		err = unix.Symlinkat(target[:1023], dir, name)
	}
	if err != nil {
		return fmt.Errorf("symlink %q: %w", name, err)
	}
	return m.finish(dir, name, unix.S_IFLNK)
}

func (m *maker) fifo(dir int, name string) error { return m.node(dir, name, unix.S_IFIFO, 0) }

// special makes a socket or, where that is allowed, a device.
func (m *maker) special(dir int, name string) error {
	dev := int(unix.Mkdev(pick[uint32](m.dice, 1, 8, 259, 511, 4095), pick[uint32](m.dice, 0, 3, 255, 256, 70000)))
	switch m.IntN(3) {
	case 0:
		return m.node(dir, name, unix.S_IFCHR, dev)
	case 1:
		return m.node(dir, name, unix.S_IFBLK, dev)
	}
	return m.node(dir, name, unix.S_IFSOCK, 0)
}

func (m *maker) node(dir int, name string, kind uint32, dev int) error {
	err := unix.Mknodat(dir, name, kind|0o644, dev)
	if errors.Is(err, unix.EPERM) { // no devices for users, or in containers
		kind = unix.S_IFIFO
		err = unix.Mknodat(dir, name, kind|0o644, 0)
	}
	if err != nil {
		return fmt.Errorf("mknod %q: %w", name, err)
	}
	return m.finish(dir, name, kind)
}

// link gives an entry made before, of any kind but directory and perhaps in another one, a further name.
func (m *maker) link(dir int, name string) error {
	if len(m.made) == 0 {
		return nil
	}
	return linkTo(pick(m.dice, m.made...), dir, name)
}

// linkTo goes by /proc because AT_EMPTY_PATH needs a privilege.
func linkTo(fd, dir int, name string) error {
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), dir, name, unix.AT_SYMLINK_FOLLOW)
	if err != nil && !refused(err) {
		return fmt.Errorf("link %q: %w", name, err)
	}
	return nil
}

// finish dresses a new entry and remembers some.
func (m *maker) finish(dir int, name string, kind uint32) error {
	if err := m.dress(dir, name, kind); err != nil {
		return err
	}
	if len(m.made) < 20 && m.one(4) {
		fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %q: %w", name, err)
		}
		m.made = append(m.made, fd)
	}
	return nil
}

func create(dir int, name string) (int, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return -1, fmt.Errorf("create %q: %w", name, err)
	}
	return fd, nil
}

func openDir(dir int, name string) (int, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open directory %q: %w", name, err)
	}
	return fd, nil
}

// walkTo opens the directory at a path below root that may be longer than any system call takes. The empty path is root.
func walkTo(root int, path string) (int, error) {
	fd, err := openDir(root, ".")
	for name := range strings.SplitSeq(path, "/") {
		if err != nil || name == "" {
			break
		}
		var next int
		next, err = openDir(fd, name)
		unix.Close(fd)
		fd = next
	}
	return fd, err
}

func writeAt(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}
