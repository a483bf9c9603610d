package proof

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// A snapshot is what a tree holds: a line for each path below its root that says all that a point must have.
type snapshot map[string]string

// differences says where two snapshots differ; nothing if nowhere.
func (want snapshot) differences(got snapshot) (all []string) {
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[path]; !ok {
			all = append(all, fmt.Sprintf("%q is missing", path))
		} else if w := want[path]; g != w {
			all = append(all, fmt.Sprintf("%q is\n  %s, want\n  %s", path, g, w))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[path]; !ok {
			all = append(all, fmt.Sprintf("%q is too much", path))
		}
	}
	return all
}

// line is what a snapshot says of an entry. Inodes tell hard links from copies.
func line(kind byte, mode, uid, gid uint32, mtime, ctime catalog.Time, size int64, inode uint64, rest string) string {
	return fmt.Sprintf("%c %o %d:%d %d.%09d %d.%09d %d #%d %s", kind, mode, uid, gid, mtime.Sec, mtime.Nsec, ctime.Sec, ctime.Nsec, size, inode, rest)
}

func sum(content []byte) string {
	h := sha256.Sum256(content)
	return fmt.Sprintf("%x", h[:12])
}

// snap reads the tree at root from the file system.
func snap(t *testing.T, root string) snapshot {
	t.Helper()
	s := snapshot{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		kind, rest, size := byte('?'), "", int64(0)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			kind, size = '-', st.Size
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rest = sum(b)
		case unix.S_IFDIR:
			kind = 'd'
		case unix.S_IFLNK:
			kind = 'l'
			if rest, err = os.Readlink(path); err != nil {
				return err
			}
		case unix.S_IFIFO:
			kind = 'p'
		case unix.S_IFSOCK:
			kind = 's'
		case unix.S_IFCHR, unix.S_IFBLK:
			kind = map[bool]byte{true: 'c', false: 'b'}[st.Mode&unix.S_IFMT == unix.S_IFCHR]
			rest = fmt.Sprintf("%d,%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
		}
		s[path[len(root)+1:]] = line(kind, st.Mode&0o7777, st.Uid, st.Gid, catalog.Time{Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)},
			catalog.Time{Sec: st.Ctim.Sec, Nsec: uint32(st.Ctim.Nsec)}, size, st.Ino, rest+attributes(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// attributes are a file's extended attributes, as text.
func attributes(path string) string {
	list := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		return ""
	}
	names := strings.Split(strings.Trim(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		value := make([]byte, 1<<16)
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			fmt.Fprintf(&b, " %q=%q", name, value[:n])
		}
	}
	return b.String()
}

// read reads the tree that a point has at root, which a partial one may not have got to. Contents are read
// whole and checked on the way.
func (m *machine) read(d *domain.Domain, p domain.Point, root string) (snapshot, error) {
	m.t.Helper()
	s := snapshot{}
	top, err := m.entry(d, p, root)
	if errors.Is(err, fs.ErrNotExist) && p.State == catalog.PartialState {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	return s, catalog.Walk(m.t.Context(), d, top, nil, func(path []byte, e catalog.Entry) (bool, error) {
		rest := ""
		switch e.Kind {
		case catalog.File:
			b, cerr := m.content(d, e)
			if cerr != nil {
				return false, fmt.Errorf("%s: %w", path, cerr)
			}
			rest = sum(b)
		case catalog.Symlink:
			rest = string(e.Target)
		case catalog.CharDevice, catalog.BlockDevice:
			rest = fmt.Sprintf("%d,%d", e.Major, e.Minor)
		}
		e.EachXattr(func(name, value []byte) bool {
			rest += fmt.Sprintf(" %q=%q", name, value)
			return true
		})
		s[string(path[1:])] = line(e.Kind.String()[0], e.Mode, e.UID, e.GID, e.Mtime, e.Ctime, e.Size, e.Inode, rest)
		return true, nil
	})
}

// content reads a file of a point.
func (m *machine) content(d *domain.Domain, e catalog.Entry) (data []byte, err error) {
	for it, err := range catalog.Content(m.t.Context(), d, e) {
		if err != nil {
			return nil, err
		}
		if it.IsHole() {
			data = append(data, make([]byte, it.Length)...)
			continue
		}
		loc, ok := d.Locate(it.ID)
		if !ok {
			return nil, fmt.Errorf("chunk %v is nowhere", it.ID)
		}
		frame, err := m.frame(d, loc)
		if err != nil {
			return nil, err
		}
		b, err := d.Chunk(it.ID, frame, loc)
		if err != nil {
			return nil, err
		}
		if int64(len(b)) != it.Length {
			return nil, fmt.Errorf("chunk %v has %d bytes, want %d", it.ID, len(b), it.Length)
		}
		data = append(data, b...)
	}
	return data, nil
}

// frame opens a frame, or has it from the chunk before.
func (m *machine) frame(d *domain.Domain, loc index.Loc) ([]byte, error) {
	at := place{loc.Pack, loc.Frame}
	if b, ok := m.frames[at]; ok {
		return b, nil
	}
	b, err := d.Frame(m.t.Context(), loc, nil)
	if err == nil {
		m.frames[at] = b
	}
	return b, err
}

// A place is a frame's.
type place struct {
	pack  manifest.Digest
	frame uint32
}
