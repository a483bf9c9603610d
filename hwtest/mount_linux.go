package hwtest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileSystem describes the one that path is on.
func fileSystem(path string) (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return FileSystem{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	m, err := mountOf(path)
	if err != nil {
		return FileSystem{}, err
	}
	unit := int64(st.Bsize)
	s := FileSystem{Type: m.kind, Source: m.source, Size: int64(st.Blocks) * unit, Free: int64(st.Bavail) * unit,
		FreeFiles: -1, ReadOnly: st.Flags&unix.ST_RDONLY != 0}
	if st.Files > 0 {
		s.FreeFiles = int64(st.Ffree)
	}
	s.known()
	s.System, err = sameSystem(path, m)
	return s, err
}

// sameSystem tells whether path is on the file system of /.
func sameSystem(path string, m mount) (bool, error) {
	a, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	b, err := os.Stat("/")
	if err != nil {
		return false, err
	}
	if a.Sys().(*syscall.Stat_t).Dev == b.Sys().(*syscall.Stat_t).Dev {
		return true, nil
	}
	root, err := mountOf("/")
	return err == nil && filepath.IsAbs(m.source) && m.source == root.source, nil // another subvolume of it
}

// A mount is a line of /proc/self/mountinfo, see proc(5).
type mount struct {
	point, kind, source string
}

// mountOf finds the mount that path is on: the last one of the longest mount point.
func mountOf(path string) (mount, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return mount{}, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	all, err := mounts()
	if err != nil {
		return mount{}, err
	}
	var best mount
	for _, m := range all {
		inside := abs == m.point || m.point == "/" || strings.HasPrefix(abs, m.point+"/")
		if inside && len(m.point) >= len(best.point) {
			best = m
		}
	}
	return best, nil
}

func mounts() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mount
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		a, b := strings.Fields(before), strings.Fields(after)
		if ok && len(a) >= 5 && len(b) >= 2 {
			all = append(all, mount{point: unescape(a[4]), kind: b[0], source: unescape(b[1])})
		}
	}
	return all, lines.Err()
}

// unescape replaces \ooo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// claim makes sure that nobody uses a device, and keeps it so until release: open(2) with O_EXCL.
func claim(device string) (release func(), err error) {
	f, err := os.OpenFile(device, os.O_RDWR|syscall.O_EXCL, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return func() { f.Close() }, nil
}
