// Package hwtest finds out whether a medium is fit to carry a backup.
//
// [Run] tests the disk that is mounted at a path: what it is, how it feels, whether it keeps what it takes, how fast it is, and what its
// file system can't do.
//
//	r, err := hwtest.Run(ctx, "/mnt/disk1", hwtest.Options{})
//	... r.Verdict, r.Reasons, r.Remarks; r.Err() is an *UnfitError if it is not fit ...
//
// The full form fills the free space with a pattern in which every block of 4096 bytes knows its place, and reads it back from the
// medium: counterfeit flash that wraps, and every sector that can't hold its data, is found. It takes as long as writing and reading the
// disk. The quick form takes seconds: it tests a short run and some dozens of places. What it finds is so; what it
// doesn't find may be there. [Glance] is the quick form for who is about to write a backup.
//
// What is written is in one temporary directory that is gone at the end, unless the machine stops or the disk is pulled out;
// then the next test on the disk removes it. [RunDevice] tests a medium without a file system, and destroys what is on it.
//
// Speed and latency are measured with the system's cache out of the way: by direct transfers where the file system has them. Whether fsync
// is honest, software can't see; it can only tell when it is too fast to be true. On Windows there is no quick test of
// places, no SMART, no link speed and no test of devices. Other systems compile, and can't test.
package hwtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// Options say how to test. The zero value is the full test.
type Options struct {
	Quick    bool
	Pack     int64     // bytes of the packs that will be written; 0 for any
	Serial   string    // for RunDevice: the serial number that the user typed, to confirm that all on the device may go
	Progress *Progress // told what is done; may be nil

	fileSize int64 // of the files that the full form fills; for tests
}

// Progress is how far a test is. It is safe to read while it runs.
type Progress struct {
	Reading      atomic.Bool  // back, after all was written
	Bytes, Total atomic.Int64 // written and read; Total is 0 before it is known
}

// ErrSystem says that the file system is the one the machine runs from, which must not be filled.
var ErrSystem = errors.New("this is the file system the machine runs from: a full test would fill it")

// ErrSerial says that the serial number that was typed is not the device's.
var ErrSerial = errors.New("the serial number is not the device's")

// ErrInUse says that a device is mounted or otherwise in use.
var ErrInUse = errors.New("the device is in use")

// Run tests the disk that is mounted at path, or holds the directory path. Whether it is fit is in the report; an error says that
// the test could not be done or was stopped, ErrSystem among them. It writes into a temporary directory that is gone when Run returns.
func Run(ctx context.Context, path string, o Options) (*Report, error) {
	began := time.Now()
	r, err := newReport(path, o)
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		return nil, fmt.Errorf("%s is no directory: name the one where the disk is mounted", path)
	}
	r.FileSystem, err = fileSystem(path)
	if err != nil {
		return nil, fmt.Errorf("looking at the file system of %s: %w", path, err)
	}
	if r.FileSystem.System && !o.Quick {
		return nil, fmt.Errorf("%s: %w", path, ErrSystem)
	}
	r.Device, err = Identity(path)
	if err != nil {
		return nil, fmt.Errorf("looking at the device of %s: %w", path, err)
	}
	r.Health = health(ctx, r.Device.path, o.Quick)
	r.limits(o.Pack)
	r.structure(path)
	if !r.FileSystem.ReadOnly {
		if err := r.measure(ctx, path, o); err != nil {
			return nil, err
		}
	}
	r.Seconds = time.Since(began).Seconds()
	r.judge()
	return r, nil
}

// Glance is the quick form for a disk that is about to be written, with packs of a size. It is nil without an error on the file system
// that the machine runs from: that is no medium that travels.
func Glance(ctx context.Context, path string, pack int64) (*Report, error) {
	system, err := OnSystem(path)
	if err != nil || system {
		return nil, err
	}
	return Run(ctx, path, Options{Quick: true, Pack: pack})
}

// OnSystem tells whether path is on the file system that the machine runs from.
func OnSystem(path string) (bool, error) {
	s, err := fileSystem(path)
	return s.System, err
}

// RunDevice tests a whole device, such as /dev/sdb, and destroys what is on it. The options must have its serial number, or ErrSerial is
// returned; for a device that has none, it is the device's name and size: "loop0-8388608". A device that is in use is refused: ErrInUse.
func RunDevice(ctx context.Context, device string, o Options) (*Report, error) {
	began := time.Now()
	r, err := newReport(device, o)
	if err != nil {
		return nil, err
	}
	r.Device, err = identityOfDevice(device)
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", device, err)
	}
	if o.Serial != r.Device.Confirmation() {
		return nil, fmt.Errorf("%s, %q of %s: %w", device, r.Device.Model, size(r.Device.Size), ErrSerial)
	}
	release, err := claim(device)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	defer release()
	r.Health = health(ctx, device, o.Quick)
	t := newTest(r, o, &area{one: device, each: 1 << 62})
	defer t.area.close() // what was written is durable already
	if err := t.whole(ctx, r.Device.Size/chunk*chunk, o.Quick); err != nil {
		return nil, err
	}
	r.Seconds = time.Since(began).Seconds()
	r.judge()
	return r, nil
}

func newReport(path string, o Options) (*Report, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	r := &Report{Path: abs, Form: Full, Reasons: []string{}, Remarks: []string{}, Capacity: Capacity{FirstBad: -1}}
	if o.Quick {
		r.Form = Quick
	}
	return r, nil
}

const tempPrefix = ".waybill-hwtest-"

// measure writes, in a temporary directory.
func (r *Report) measure(ctx context.Context, path string, o Options) (err error) {
	sweep(path)
	dir, err := os.MkdirTemp(path, tempPrefix)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("testing %s: %w", path, err)
	}
	if err != nil {
		r.unfit("it can't be written: %v", err)
		return nil
	}
	release := hold(dir)
	t := newTest(r, o, &area{dir: dir, each: o.fileSize, make: true})
	err = t.files(ctx, o.Quick)
	release()
	if rerr := os.RemoveAll(dir); rerr != nil {
		r.remark("%s could not be removed: %v", dir, rerr)
	}
	return err
}

// sweep removes what tests left behind that were killed.
func sweep(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return // the test itself will tell
	}
	for _, e := range entries {
		if dir := filepath.Join(path, e.Name()); e.IsDir() && strings.HasPrefix(e.Name(), tempPrefix) && abandoned(dir) {
			os.RemoveAll(dir)
		}
	}
}

func newKey() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
