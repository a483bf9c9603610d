package ntfs

import (
	"fmt"
	"io/fs"
	"time"
)

// FRN is a file reference number: a record of the master file table and how often that was used for another file before.
type FRN uint64

// Record returns the number of the record.
func (f FRN) Record() uint64 { return uint64(f) & (1<<48 - 1) }

// Sequence returns the number that changes when the record is used for another file.
func (f FRN) Sequence() uint16 { return uint16(f >> 48) }

func (f FRN) String() string { return fmt.Sprintf("%d-%d", f.Record(), f.Sequence()) }

// Time is a moment as NTFS keeps it: units of 100 ns since 1601.
type Time int64

const unixEpoch = 11644473600 // in seconds since 1601

// Unix returns the moment in seconds and nanoseconds since 1970.
func (t Time) Unix() (sec int64, nsec uint32) {
	sec, rest := int64(t)/1e7, int64(t)%1e7
	if rest < 0 {
		sec, rest = sec-1, rest+1e7
	}
	return sec - unixEpoch, uint32(rest * 100)
}

// Time returns the moment.
func (t Time) Time() time.Time {
	sec, nsec := t.Unix()
	return time.Unix(sec, int64(nsec))
}

// Attributes of files (Standard.Attributes, DirEntry.Attributes).
const (
	AttrReadOnly     = 0x1
	AttrHidden       = 0x2
	AttrSystem       = 0x4
	AttrDirectory    = 0x10
	AttrArchive      = 0x20
	AttrNormal       = 0x80
	AttrSparse       = 0x200
	AttrReparsePoint = 0x400
	AttrCompressed   = 0x800
	AttrOffline      = 0x1000
	AttrEncrypted    = 0x4000
	AttrRecallOnOpen = 0x40000
	AttrRecallOnData = 0x400000
)

// Record is one file or directory: a base record of the master file table with all that belongs to it. What its slices hold belongs to it.
type Record struct {
	FRN        FRN
	Directory  bool
	Names      []Name // as often as it has hard links; DOS 8.3 names, which only stand beside others, are left out
	Standard   Standard
	Streams    []StreamInfo // all $DATA attributes; a directory has no unnamed one
	ReparseTag uint32       // 0 if it is no reparse point
	ReparseLen int64        // bytes of reparse data
	EALen      int64        // bytes of extended attributes

	v     *Volume
	buf   []byte // the base record
	ext   []byte // extension records, one behind the other
	attrs []attr
	text  []byte // what names are slices of
}

// Name is one hard link to a file.
type Name struct {
	Parent    FRN
	Name      []byte // WTF-8
	Namespace Namespace
}

// Namespace says for whom a name is.
type Namespace uint8

// The namespaces. Names of POSIX may differ in case only.
const (
	POSIX Namespace = iota
	Win32
	DOS
	Win32DOS
)

// Standard is the $STANDARD_INFORMATION attribute.
type Standard struct {
	Created, Modified, Changed, Accessed Time // Modified: its data; Changed: its record
	Attributes                           uint32
	Security                             uint32 // id for [Volume.Security]; 0 for files of NTFS 1.2 or of drivers that don't care
	Usn                                  uint64 // of its last record in the change journal; 0 for none
}

// StreamInfo is what a record says about one stream.
type StreamInfo struct {
	Name       []byte // WTF-8; empty for the file's data
	Size       int64
	Valid      int64 // bytes that were ever written; what follows reads as zeros
	Allocated  int64 // bytes on disk, for sparse and compressed ones those that really are
	Resident   bool  // the data is in the record itself
	Compressed bool
	Sparse     bool
	Encrypted  bool
}

// Data returns the stream of the file's data, nil if there is none.
func (r *Record) Data() *StreamInfo { return r.Stream("") }

// Stream returns the stream of this name, nil if there is none.
func (r *Record) Stream(name string) *StreamInfo {
	for i := range r.Streams {
		if string(r.Streams[i].Name) == name {
			return &r.Streams[i]
		}
	}
	return nil
}

// Lookup returns the file with this number. If it is gone, or another file has its record, the error is fs.ErrNotExist.
func (v *Volume) Lookup(frn FRN) (*Record, error) {
	r := new(Record)
	return r, v.LookupInto(frn, r)
}

// LookupInto is Lookup into an r of the caller's, whose memory is used again. After an error r is as good as new.
func (v *Volume) LookupInto(frn FRN, r *Record) error {
	err := v.RecordInto(frn.Record(), r)
	if err == nil && r.FRN != frn {
		return fs.ErrNotExist
	}
	return err
}

// Record returns the file whose base record has this number, fs.ErrNotExist if there is none.
func (v *Volume) Record(n uint64) (*Record, error) {
	r := new(Record)
	return r, v.RecordInto(n, r)
}

// RecordInto is Record into an r of the caller's, whose memory is used again.
func (v *Volume) RecordInto(n uint64, r *Record) error {
	size := int(v.boot.record)
	if cap(r.buf) < size {
		r.buf = make([]byte, size)
	}
	r.buf = r.buf[:size]
	if err := v.readRecord(n, r.buf); err != nil {
		return err
	}
	ok, err := r.decode(v, n)
	if err == nil && !ok {
		err = fs.ErrNotExist
	}
	return err
}

func (r *Record) place() string { return fmt.Sprintf("record %d", r.FRN.Record()) }
