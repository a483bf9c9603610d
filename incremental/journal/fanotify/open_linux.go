package fanotify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

// A holder is a way in which a process has a file of the volume open now.
type holder struct {
	link   string // in /proc: leads to the file
	root   string // of the process
	mapped bool   // shared and writable
}

// openFiles has all files looked at that are open for writing now: some writes to them are told only when they are closed. Those that are
// mapped shared and writable are read, because their times tell nothing. It returns the ids of all. Processes with rights that this one
// lacks can't be looked into; nobody has more than root, unless root was confined.
func (r *resolver) openFiles(ctx context.Context) (map[uint64]bool, error) {
	open := map[uint64]bool{}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, list := range []func(string) ([]holder, error){r.descriptors, r.mappings} {
			holders, err := list(p)
			if ended(err) || errors.Is(err, fs.ErrPermission) {
				continue
			}
			if err != nil {
				return nil, &journal.Gap{Reason: fmt.Sprintf("it can't be told which files are open: %v", err)}
			}
			for _, h := range holders {
				r.look(h, open)
			}
		}
	}
	return open, r.loops(open)
}

// ended says that a process has ended since it was listed.
func ended(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// descriptors lists what a process has open for writing.
func (r *resolver) descriptors(process string) ([]holder, error) {
	dir, err := os.Open(process + "/fd")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []holder
	for _, name := range names {
		var link, file unix.Stat_t
		if unix.Fstatat(int(dir.Fd()), name, &link, unix.AT_SYMLINK_NOFOLLOW) != nil || link.Mode&0o200 == 0 {
			continue // closed since, or for reading only
		}
		if unix.Fstatat(int(dir.Fd()), name, &file, 0) == nil && r.concerns(&file) {
			list = append(list, holder{link: process + "/fd/" + name, root: process + "/root"})
		}
	}
	return list, nil
}

// concerns tells whether a file is a regular one of the volume that has a name.
func (r *resolver) concerns(st *unix.Stat_t) bool {
	return uint64(st.Dev) == r.journal.self.dev && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink > 0
}

// mappings lists what a process has mapped shared and may write to (proc_pid_maps(5)).
func (r *resolver) mappings(process string) ([]holder, error) {
	b, err := os.ReadFile(process + "/maps")
	if err != nil {
		return nil, err
	}
	var list []holder
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 6 || len(f[1]) != 4 || f[1][3] != 's' || f[4] == "0" {
			continue // private, or no file
		}
		link := process + "/map_files/" + trimZeros(f[0])
		var st, file unix.Stat_t
		// What isn't writable may have been, and may be again, if the file was opened so: mprotect(2).
		if err := unix.Lstat(link, &st); err != nil || st.Mode&0o200 == 0 {
			if err != nil && err != unix.ENOENT {
				return nil, &fs.PathError{Op: "lstat", Path: link, Err: err}
			}
			continue
		}
		if err := unix.Stat(link, &file); err != nil && err != unix.ENOENT {
			return nil, &fs.PathError{Op: "stat", Path: link, Err: err}
		} else if err == nil && r.concerns(&file) {
			list = append(list, holder{link: link, root: process + "/root", mapped: true})
		}
	}
	return list, nil
}

// trimZeros makes the name that map_files has for a range of maps, which pads its numbers.
func trimZeros(addresses string) string {
	from, to, _ := strings.Cut(addresses, "-")
	trim := func(s string) string {
		if s = strings.TrimLeft(s, "0"); s == "" {
			return "0"
		}
		return s
	}
	return trim(from) + "-" + trim(to)
}

// look has an open file looked at.
func (r *resolver) look(h holder, open map[uint64]bool) {
	path, err := os.Readlink(h.link)
	var st unix.Stat_t
	if err != nil || unix.Stat(h.link, &st) != nil || !r.concerns(&st) {
		return // closed since, which is told, or removed
	}
	if !r.at(path, &st, h.mapped, open) && !r.at(h.root+path, &st, h.mapped, open) {
		r.elsewhere(st.Ino, h.mapped, open)
	}
}

// elsewhere has a file looked at that is not where it was opened: that name is gone, but not the others, or it is in another's mounts, or was renamed
// just now. The names that it has are in the base, or were given to it since and are in the log.
func (r *resolver) elsewhere(inode uint64, mapped bool, open map[uint64]bool) {
	open[inode] = true
	r.dirty.Link(inode)
	if mapped {
		r.dirty.File(inode).Read = true
	}
}

// at has the file at a path looked at, if it is the given one.
func (r *resolver) at(path string, want *unix.Stat_t, mapped bool, open map[uint64]bool) bool {
	dir, name := filepath.Split(path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Ino != want.Ino || st.Dev != want.Dev {
		return false
	}
	id, ok, err := r.lead(fd)
	if err != nil {
		return false
	}
	open[st.Ino] = true
	if !ok {
		return true // the directory is outside of what is mounted as the volume
	}
	r.dirty.Name(id, []byte(name))
	if st.Nlink > 1 {
		r.dirty.Link(st.Ino)
	}
	if mapped {
		r.dirty.File(st.Ino).Read = true
	}
	return true
}

// loops has the files looked at that loop devices are on, which the kernel itself has open and writes to.
func (r *resolver) loops(open map[uint64]bool) error {
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return err
	}
	for _, file := range devices {
		block := filepath.Dir(filepath.Dir(file))
		if ro, err := os.ReadFile(block + "/ro"); err == nil && strings.TrimSpace(string(ro)) == "1" {
			continue
		}
		path, err := os.ReadFile(file)
		if err != nil {
			continue // detached since
		}
		r.loop("/dev/"+filepath.Base(block), strings.TrimSuffix(string(path), "\n"), open)
	}
	return nil
}

func (r *resolver) loop(device, path string, open map[uint64]bool) {
	info, err := loopStatus(device)
	if errors.Is(err, unix.ENXIO) || err == nil && info.Device != r.journal.self.dev {
		return // detached since, or elsewhere
	}
	var st unix.Stat_t
	if err == nil {
		st.Dev, st.Ino = info.Device, info.Inode
	} else if unix.Stat(path, &st) != nil || st.Dev != r.journal.self.dev {
		return // no device node in a container, say, and no such file either
	}
	if !r.at(path, &st, false, open) {
		r.elsewhere(st.Ino, false, open)
	}
}

func loopStatus(device string) (*unix.LoopInfo64, error) {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	info := &unix.LoopInfo64{}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.LOOP_GET_STATUS64, uintptr(unsafe.Pointer(info)))
	if errno != 0 {
		return nil, fmt.Errorf("%s: %w", device, error(errno))
	}
	return info, nil
}
