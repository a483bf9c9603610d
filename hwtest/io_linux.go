package hwtest

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openUncached opens a file or device past the system's cache: with O_DIRECT, or after what it holds of it was dropped.
func openUncached(name string, flags int, direct bool) (*os.File, error) {
	if direct {
		f, err := os.OpenFile(name, flags|unix.O_DIRECT, 0o600)
		if err == nil || !errors.Is(err, unix.EINVAL) {
			return f, err
		}
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "fadvise", Path: name, Err: err}
	}
	return f, nil
}

// notDirect tells that a file can't be transferred to or from directly.
func notDirect(err error) bool { return errors.Is(err, unix.EINVAL) }

// writeOut has the system write a part of a file and drop it from its cache. Whether it could, the next sync tells.
func writeOut(f *os.File, off, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := unix.SyncFileRange(int(f.Fd()), off, n, all); err != nil && !errors.Is(err, unix.ESPIPE) {
		return err
	}
	return unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// reserve makes a file that has as much of size as can be set aside quickly, and returns how much that is. Where
// fallocate(2) would take long, or memory, the file has holes, if the file system knows them.
func reserve(name string, size int64, s FileSystem) (int64, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if !s.SetsAside {
		if !holes(f) {
			return 0, errors.ErrUnsupported
		}
		return size, f.Truncate(size)
	}
	began := time.Now()
	done := int64(0)
	for step := max(size/64/chunk*chunk, chunk); done+step <= size && time.Since(began) < patience; done += step {
		if err := unix.Fallocate(int(f.Fd()), 0, done, step); err != nil {
			break
		}
	}
	return done, nil
}

// holes tells whether a file system leaves room out that was never written. Others would write zeros up to each place.
func holes(f *os.File) bool {
	const size = 4 << 20
	if f.Truncate(size) != nil {
		return false
	}
	if _, err := f.WriteAt(make([]byte, blockSize), size-blockSize); err != nil {
		return false
	}
	var st unix.Stat_t
	return f.Sync() == nil && unix.Fstat(int(f.Fd()), &st) == nil && st.Blocks*512 < size/4 && f.Truncate(0) == nil
}

// hold marks a directory as in use until release, or this process's end.
func hold(dir string) (release func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // where there are no locks, none is needed: abandoned can't take it either
	return func() { f.Close() }
}

// abandoned tells whether nobody holds a directory.
func abandoned(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}
