package hwtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"waybill/internal/mountinfo"
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
	s := FileSystem{Type: m.System, Source: m.Source, Size: int64(st.Blocks) * unit, Free: int64(st.Bavail) * unit,
		FreeFiles: -1, ReadOnly: st.Flags&unix.ST_RDONLY != 0}
	if st.Files > 0 {
		s.FreeFiles = int64(st.Ffree)
	}
	s.known()
	s.System, err = sameSystem(path, m)
	return s, err
}

// sameSystem tells whether path is on the file system of /.
func sameSystem(path string, m mountinfo.Mount) (bool, error) {
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
	return err == nil && filepath.IsAbs(m.Source) && m.Source == root.Source, nil // another subvolume of it
}

// mountOf finds the mount that path is on: the last one of the longest mount point.
func mountOf(path string) (mountinfo.Mount, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return mountinfo.Mount{}, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	all, err := mountinfo.Read()
	if err != nil {
		return mountinfo.Mount{}, err
	}
	var best mountinfo.Mount
	for _, m := range all {
		inside := abs == m.Path || m.Path == "/" || strings.HasPrefix(abs, m.Path+"/")
		if inside && len(m.Path) >= len(best.Path) {
			best = m
		}
	}
	return best, nil
}

// claim makes sure that nobody uses a device, and keeps it so until release: open(2) with O_EXCL.
func claim(device string) (release func(), err error) {
	f, err := os.OpenFile(device, os.O_RDWR|syscall.O_EXCL, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return func() { f.Close() }, nil
}
