package btrfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Hold is [journal.Holder]. Snapshots that runs left behind which were killed are removed first.
//
// A run locks its snapshot (flock(2)) as long as it lives, and the place while it takes or removes one: so what isn't locked
// is of a dead run, on whatever side of a container's wall that was.
func (v *Volume) Hold(ctx context.Context) (dir string, release func() error, err error) {
	if v.held != nil {
		return "", nil, fmt.Errorf("it is held already")
	}
	var s *snapshot
	name := newName(v.sub.id, os.Getpid(), time.Now())
	err = v.inPlace(ctx, func(place *os.File) error {
		if err := v.sweep(place); err != nil {
			return err
		}
		s, err = v.snapshot(place, name)
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("taking a snapshot in %s: %w", v.place, err)
	}
	v.held = s
	return filepath.Join(v.place, name), func() error { return v.release(s, name) }, nil
}

// inPlace runs do while no other run takes snapshots in the place or removes some.
func (v *Volume) inPlace(ctx context.Context, do func(place *os.File) error) error {
	if err := os.MkdirAll(v.place, 0o700); err != nil {
		return refusal(err)
	}
	place, err := os.Open(v.place)
	if err != nil {
		return err
	}
	defer place.Close()
	for unix.Flock(int(place.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return do(place)
}

// snapshot takes a read-only one of the volume and locks it.
func (v *Volume) snapshot(place *os.File, name string) (s *snapshot, err error) {
	s = &snapshot{}
	if s.taken, err = v.remember(); err != nil {
		return nil, err
	}
	if err := create(place, v.root, name); err != nil {
		return nil, refusal(err)
	}
	if s.dir, err = os.Open(filepath.Join(place.Name(), name)); err == nil {
		err = unix.Flock(int(s.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		var is subvolume
		is, err = subvolumeOf(s.dir)
		s.made = is.made
	}
	if err != nil {
		return nil, errors.Join(err, s.remove(place, name))
	}
	return s, nil
}

// remove deletes the snapshot; what it holds is freed in the background.
func (s *snapshot) remove(place *os.File, name string) error {
	err := destroy(place, name)
	if s.dir != nil {
		s.dir.Close()
	}
	return err
}

func (v *Volume) release(s *snapshot, name string) error {
	if v.held != s {
		return nil
	}
	v.held = nil
	err := v.inPlace(context.Background(), func(place *os.File) error { return s.remove(place, name) })
	if err != nil {
		return fmt.Errorf("removing the snapshot %s: %w", filepath.Join(v.place, name), err)
	}
	return nil
}

// create takes a read-only snapshot.
func create(place, of descriptor, name string) error {
	const readOnly = 1 << 1
	var args [4096]byte // struct btrfs_ioctl_vol_args_v2
	binary.NativeEndian.PutUint64(args[:], uint64(of.Fd()))
	binary.NativeEndian.PutUint64(args[16:], readOnly)
	copy(args[56:], name)
	return ioctl(place, iocSnapCreate, unsafe.Pointer(&args))
}

// destroy deletes a snapshot.
func destroy(place *os.File, name string) error {
	var args [4096]byte // struct btrfs_ioctl_vol_args
	copy(args[8:], name)
	return ioctl(place, iocSnapDestroy, unsafe.Pointer(&args))
}

// sweep removes the snapshots of this subvolume that dead runs left.
func (v *Volume) sweep(place *os.File) error {
	entries, err := os.ReadDir(place.Name())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && isOurs(e.Name()) && v.isLeft(filepath.Join(place.Name(), e.Name())) {
			if err := destroy(place, e.Name()); err != nil {
				return fmt.Errorf("removing %s, which an earlier run left: %w", e.Name(), err)
			}
		}
	}
	return nil
}

// isLeft tells whether a directory is a snapshot of this subvolume that no run holds.
func (v *Volume) isLeft(path string) bool {
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	if isRoot(dir) != nil {
		return false
	}
	s, err := subvolumeOf(dir)
	return err == nil && s.readOnly && s.parent == v.sub.uuid && unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// refusal says in words for people why there can be no snapshot.
func refusal(err error) error {
	for errno, words := range map[unix.Errno]string{
		unix.EROFS:   "it is mounted read-only",
		unix.ENOSPC:  "the file system is full",
		unix.EDQUOT:  "the quota is used up",
		unix.EPERM:   "only root may",
		unix.EACCES:  "only root may",
		unix.ETXTBSY: "a swap file in the subvolume is in use",
		unix.EXDEV:   "that is on another file system",
	} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%s: %w", words, err)
		}
	}
	return err
}
