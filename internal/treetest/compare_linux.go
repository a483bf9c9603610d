package treetest

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Compare says in which ways the tree at b differs from the one at a, its origin; nothing if in none: names, kinds, content, sizes, link targets,
// device numbers, modes, owners, mtimes, extended attributes, which names are one file, and holes: where a occupies no space b must not either, by blocks.
// What can't be read is a difference.
func Compare(a, b string, ignore ...Aspect) []string {
	c := &comparison{ids: [2]map[id]id{{}, {}}}
	for _, aspect := range ignore {
		c.ignore |= aspect
	}
	fa, err := openDir(unix.AT_FDCWD, a)
	if err != nil {
		return []string{err.Error()}
	}
	defer unix.Close(fa)
	fb, err := openDir(unix.AT_FDCWD, b)
	if err != nil {
		return []string{err.Error()}
	}
	defer unix.Close(fb)
	if c.ignore&Root == 0 {
		c.metadata(fa, fb, ".", ".")
	}
	c.dir(fa, fb, ".")
	return c.found
}

type comparison struct {
	ignore Aspect
	found  []string
	ids    [2]map[id]id // what a file of one tree is in the other
}

type id struct{ dev, inode uint64 }

func (c *comparison) differ(path, format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf("%q: ", path)+fmt.Sprintf(format, args...))
}

// failed notes an error, if it is one.
func (c *comparison) failed(path, doing string, errs ...error) bool {
	for _, err := range errs {
		if err != nil {
			c.differ(path, "%s: %v", doing, err)
			return true
		}
	}
	return false
}

// dir compares what is in two open directories.
func (c *comparison) dir(fa, fb int, path string) {
	na, erra := readNames(fa)
	nb, errb := readNames(fb)
	if c.failed(path, "listing", erra, errb) {
		return
	}
	for len(na) > 0 || len(nb) > 0 {
		switch {
		case len(nb) == 0 || len(na) > 0 && na[0] < nb[0]:
			c.differ(path+"/"+na[0], "missing")
			na = na[1:]
		case len(na) == 0 || nb[0] < na[0]:
			c.differ(path+"/"+nb[0], "not in the origin")
			nb = nb[1:]
		default:
			c.entry(fa, fb, na[0], path+"/"+na[0])
			na, nb = na[1:], nb[1:]
		}
	}
}

func (c *comparison) entry(fa, fb int, name, path string) {
	switch c.metadata(fa, fb, name, path) {
	case unix.S_IFREG:
		c.both(fa, fb, name, path, unix.O_RDONLY, c.content)
	case unix.S_IFDIR:
		c.both(fa, fb, name, path, unix.O_RDONLY|unix.O_DIRECTORY, c.dir)
	case unix.S_IFLNK:
		ta, erra := readlink(fa, name)
		tb, errb := readlink(fb, name)
		if !c.failed(path, "reading link", erra, errb) && ta != tb {
			c.differ(path, "links to %q, want %q", tb, ta)
		}
	}
}

// both opens name in two directories.
func (c *comparison) both(fa, fb int, name, path string, flags int, then func(fa, fb int, path string)) {
	a, err := unix.Openat(fa, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if c.failed(path, "opening in the origin", err) {
		return
	}
	defer unix.Close(a)
	b, err := unix.Openat(fb, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if c.failed(path, "opening", err) {
		return
	}
	defer unix.Close(b)
	then(a, b, path)
}

// metadata compares all that is known without opening, and returns the kind if both are of the same.
func (c *comparison) metadata(fa, fb int, name, path string) (kind uint32) {
	var a, b unix.Stat_t
	if c.failed(path, "stat", unix.Fstatat(fa, name, &a, unix.AT_SYMLINK_NOFOLLOW), unix.Fstatat(fb, name, &b, unix.AT_SYMLINK_NOFOLLOW)) {
		return 0
	}
	kind = a.Mode & unix.S_IFMT
	if got := b.Mode & unix.S_IFMT; got != kind {
		c.differ(path, "is of kind %#o, want %#o", got, kind)
		return 0
	}
	if c.ignore&Modes == 0 && a.Mode != b.Mode {
		c.differ(path, "mode %#o, want %#o", b.Mode&0o7777, a.Mode&0o7777)
	}
	if c.ignore&Owners == 0 && (a.Uid != b.Uid || a.Gid != b.Gid) {
		c.differ(path, "owner %d:%d, want %d:%d", b.Uid, b.Gid, a.Uid, a.Gid)
	}
	if c.ignore&Times == 0 && a.Mtim != b.Mtim {
		c.differ(path, "mtime %d.%09d, want %d.%09d", b.Mtim.Sec, b.Mtim.Nsec, a.Mtim.Sec, a.Mtim.Nsec)
	}
	if kind == unix.S_IFREG && a.Size != b.Size {
		c.differ(path, "size %d, want %d", b.Size, a.Size)
	}
	if (kind == unix.S_IFCHR || kind == unix.S_IFBLK) && a.Rdev != b.Rdev {
		c.differ(path, "device %#x, want %#x", b.Rdev, a.Rdev)
	}
	if c.ignore&Links == 0 && kind != unix.S_IFDIR {
		c.links(path, &a, &b)
	}
	if c.ignore&Xattrs == 0 {
		c.xattrs(procPath(fa, name), procPath(fb, name), path)
	}
	return kind
}

// links: names are one file in b if and only if they are in a.
func (c *comparison) links(path string, a, b *unix.Stat_t) {
	if a.Nlink < 2 && b.Nlink < 2 {
		return
	}
	ida, idb := id{a.Dev, a.Ino}, id{b.Dev, b.Ino}
	if want, ok := c.ids[0][ida]; ok && want != idb {
		c.differ(path, "isn't linked to names it was linked to")
	}
	if want, ok := c.ids[1][idb]; ok && want != ida {
		c.differ(path, "is linked to names it wasn't linked to")
	}
	c.ids[0][ida], c.ids[1][idb] = idb, ida
}

func (c *comparison) xattrs(pa, pb, path string) {
	a, erra := readXattrs(pa)
	b, errb := readXattrs(pb)
	if c.failed(path, "reading attributes", erra, errb) {
		return
	}
	for name, want := range a {
		if got, ok := b[name]; !ok {
			c.differ(path, "attribute %q is missing", name)
		} else if got != want {
			c.differ(path, "attribute %q is %.60q, want %.60q", name, got, want)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			c.differ(path, "attribute %q is not in the origin", name)
		}
	}
}

// content compares bytes and holes of two open files.
func (c *comparison) content(fa, fb int, path string) {
	ba, bb := make([]byte, 256<<10), make([]byte, 256<<10)
	for off := int64(0); ; {
		na, erra := readAt(fa, ba, off)
		nb, errb := readAt(fb, bb, off)
		if c.failed(path, "reading", erra, errb) {
			return
		}
		if !bytes.Equal(ba[:na], bb[:nb]) {
			n := 0
			for n < min(na, nb) && ba[n] == bb[n] {
				n++
			}
			c.differ(path, "content differs from byte %d on", off+int64(n))
			return
		}
		if na == 0 {
			break
		}
		off += int64(na)
	}
	if c.ignore&Holes == 0 {
		c.holes(fa, fb, path)
	}
}

// readAt fills p unless the file ends before.
func readAt(fd int, p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(fd, p[n:], off+int64(n))
		if err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, nil
}

func readlink(dir int, name string) (string, error) {
	b := make([]byte, 1<<16)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

func readXattrs(path string) (map[string]string, error) {
	list := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, list)
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make(map[string]string)
	value := make([]byte, 1<<16)
	for name := range bytes.SplitSeq(bytes.TrimSuffix(list[:n], []byte{0}), []byte{0}) {
		if len(name) == 0 {
			continue
		}
		n, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		all[string(name)] = string(value[:n])
	}
	return all, nil
}

// readNames lists an open directory from its start, sorted.
func readNames(fd int) (names []string, err error) {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			slices.Sort(names)
			return names, nil
		}
		for b := buf[:n]; len(b) > 0; {
			var used int
			used, _, names = unix.ParseDirent(b, -1, names)
			b = b[used:]
		}
	}
}
