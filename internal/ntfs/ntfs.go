// Package ntfs reads NTFS volumes as they lie on a disk or in an image: the master file table, directories, streams,
// security descriptors. It needs no system that knows NTFS, and no privilege beyond reading the device.
//
//	v, err := ntfs.Open(file, size)
//	root, err := v.Lookup(v.Root())
//	err = v.List(v.Root(), func(e *ntfs.DirEntry) error { ... })
//	err = v.Each(ctx, func(r *ntfs.Record) error { ... })    // all files, in the order of the master file table
//	s, err := v.OpenStream(frn, "$J")                        // a stream; "" is the file's data
//	d, err := r.OpenData()                                   // the same, also of files that Windows compresses as a whole
//
// What is read is what the disk says. Windows keeps changes in memory and in $LogFile for a while, so the volume should be
// unmounted, or be a snapshot that the file system was told of; [Volume.State] says whether it looks so. The package
// doesn't replay $LogFile, doesn't decrypt EFS, and writes nothing.
//
// All input is hostile: what makes no sense is a [DamagedError], never a panic, and memory stays bounded by a fixed
// cache and the size of what is asked for. Names are WTF-8: UTF-8 which keeps unpaired surrogates.
//
// Except where said, everything is safe for concurrent use.
package ntfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The records that every volume has at the same place.
const (
	recordMFT    = 0
	recordLog    = 2
	recordVolume = 3
	recordRoot   = 5
	recordSecure = 9
	recordUpcase = 10
	recordExtend = 11

	// FirstUser is the first record that isn't kept for the file system itself.
	FirstUser = 24
)

// Volume is an opened volume. It holds no resources but memory: there is no Close.
type Volume struct {
	dev     io.ReaderAt // uncached, for bulk data
	meta    *cache      // the same device, for records
	blocks  *cache      // and for blocks of indexes that are looked up in
	boot    boot
	mft     *Stream
	records uint64 // that the master file table has room for
	root    FRN
	info    Info
	upcase  []uint16
	secure  secure
}

// Info is what a volume says about itself.
type Info struct {
	Serial       uint64
	Label        string
	Major, Minor byte // 3.1 since Windows XP
	Size         int64
	ClusterSize  int
}

// Open opens the volume in the first size bytes of r, which must allow for concurrent calls. It reads the boot sector (or its copy in the last
// sector), the beginning of the master file table and the table of upper-case letters.
func Open(r io.ReaderAt, size int64) (*Volume, error) {
	v := newVolume(r, size)
	if err := v.readBoot(size); err != nil {
		return nil, err
	}
	if err := v.openMFT(); err != nil {
		return nil, err
	}
	root, err := v.Record(recordRoot)
	if err != nil {
		return nil, fmt.Errorf("root directory: %w", err)
	}
	v.root = root.FRN
	if err := v.readUpcase(); err != nil {
		return nil, err
	}
	return v, v.readInfo()
}

func newVolume(r io.ReaderAt, size int64) *Volume {
	return &Volume{dev: r, meta: newCache(r, size, recordChunk, recordChunks), blocks: newCache(r, size, blockChunk, blockChunks)}
}

// Root returns the number of the root directory.
func (v *Volume) Root() FRN { return v.root }

// Extend returns the number of $Extend, the directory of $UsnJrnl and other files of the system.
func (v *Volume) Extend() (FRN, error) {
	r, err := v.Record(recordExtend)
	if err != nil {
		return 0, err
	}
	return r.FRN, nil
}

// Info returns what the volume says about itself.
func (v *Volume) Info() Info { return v.info }

// Records returns the number of records in the master file table, used or not.
func (v *Volume) Records() uint64 { return v.records }

func (v *Volume) readInfo() error {
	r, err := v.Record(recordVolume)
	if err != nil {
		return fmt.Errorf("$Volume: %w", err)
	}
	v.info = Info{Serial: v.boot.serial, Size: v.boot.size, ClusterSize: int(v.boot.cluster)}
	if a := r.find(attrVolumeName, ""); a != nil && a.resident {
		v.info.Label = string(appendWTF8(nil, a.value))
	}
	a := r.find(attrVolumeInfo, "")
	if a == nil || !a.resident || len(a.value) < 12 {
		return damaged(r.place(), "no volume information")
	}
	v.info.Major, v.info.Minor = a.value[8], a.value[9]
	return nil
}

// ErrEncrypted is the error for streams that are encrypted (EFS).
var ErrEncrypted = errors.New("it is encrypted (EFS): only its owner's key on Windows opens it")

// ErrDamaged is what a *DamagedError is.
var ErrDamaged = errors.New("damaged NTFS structure")

// A DamagedError says that the volume makes no sense somewhere.
type DamagedError struct {
	Place string // "boot sector", "record 5", "index of record 5, block 2"
	What  string
}

func (e *DamagedError) Error() string { return "damaged: " + e.Place + ": " + e.What }

// Is makes every DamagedError an ErrDamaged.
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }

func damaged(place, format string, args ...any) error {
	return &DamagedError{Place: place, What: fmt.Sprintf(format, args...)}
}

func u16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
