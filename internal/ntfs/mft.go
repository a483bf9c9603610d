package ntfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
)

// maxList is the most an attribute list may hold, as in Windows.
const maxList = 256 << 10

// openMFT finds all parts of the master file table. Its first record says where its beginning is; when that isn't all, also which records
// say more, each of which lies in the parts known before it.
func (v *Volume) openMFT() error {
	r := &Record{v: v, buf: make([]byte, v.boot.record)}
	err := v.firstRecord(r, v.boot.mft)
	if err != nil && v.boot.mirror > 0 && v.boot.mirror < v.boot.size/v.boot.cluster {
		if v.firstRecord(r, v.boot.mirror) == nil {
			err = nil
		}
	}
	if err == nil {
		err = v.growMFT(r)
	}
	if err != nil {
		return fmt.Errorf("master file table: %w", err)
	}
	more, err := r.others()
	if err != nil {
		return fmt.Errorf("master file table: %w", err)
	}
	for _, frn := range more {
		if err := r.extend(frn); err != nil {
			return fmt.Errorf("master file table: %w", err)
		}
		if err := v.growMFT(r); err != nil {
			return fmt.Errorf("master file table: %w", err)
		}
	}
	if a := r.find(attrData, ""); v.mft.size < a.size {
		return fmt.Errorf("master file table: %w", damaged("record 0", "%d of its %d bytes are somewhere", v.mft.size, a.size))
	}
	return nil
}

// firstRecord reads the record of the master file table itself, alone.
func (v *Volume) firstRecord(r *Record, cluster int64) error {
	if _, err := v.meta.ReadAt(r.buf, cluster*v.boot.cluster); err != nil {
		return err
	}
	r.attrs, r.FRN = r.attrs[:0], 0
	if string(r.buf[:4]) != "FILE" {
		return damaged("record 0", "it is no record")
	}
	if err := fixup(r.buf, "record 0"); err != nil {
		return err
	}
	var err error
	r.attrs, err = appendAttrs(r.attrs, r.buf, "record 0")
	return err
}

// growMFT takes the master file table for what r says so far.
func (v *Volume) growMFT(r *Record) error {
	s, err := r.parts(attrData, nil)
	if err != nil {
		return err
	}
	if s.resident != nil || s.unit != 0 {
		return damaged("record 0", "the master file table isn't plain")
	}
	s.dev = v.meta
	v.mft, v.records = s, uint64(s.size/v.boot.record)
	return nil
}

// readRecord reads record n as it is on disk.
func (v *Volume) readRecord(n uint64, b []byte) error {
	if n >= v.records {
		return fs.ErrNotExist
	}
	if _, err := v.mft.ReadAt(b, int64(n)*v.boot.record); err != nil {
		return fmt.Errorf("record %d: %w", n, err)
	}
	return nil
}

// Each calls f for each file, in the order of the master file table, until f returns an error, which Each then returns. The record is
// valid until f returns. Records that make no sense end it with a DamagedError.
func (v *Volume) Each(ctx context.Context, f func(*Record) error) error {
	table := *v.mft
	table.dev = v.dev
	per := uint64(max(1, (1<<20)/v.boot.record))
	b := make([]byte, per*uint64(v.boot.record))
	var r Record
	for n := uint64(0); n < v.records; n += per {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := table.ReadAt(b, int64(n)*v.boot.record)
		if err != nil && err != io.EOF {
			return fmt.Errorf("record %d: %w", n, err)
		}
		if err := v.eachIn(b[:got], n, &r, f); err != nil {
			return err
		}
	}
	return nil
}

func (v *Volume) eachIn(b []byte, n uint64, r *Record, f func(*Record) error) error {
	size := int(v.boot.record)
	for ; len(b) >= size; b, n = b[size:], n+1 {
		r.buf = b[:size:size]
		ok, err := r.decode(v, n)
		if err == nil && ok {
			err = f(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decode takes in the record in r.buf, and those that it is continued in. It returns false when no file begins in it.
//
//	0x00 "FILE"   0x04 update sequence   0x10 sequence number u16   0x14 attributes offset u16   0x16 flags u16: 1 in use, 2 directory
//	0x18 bytes used u32   0x20 base record u64, of a continuation   0x2c its own number u32, since Windows XP
func (r *Record) decode(v *Volume, n uint64) (bool, error) {
	b := r.buf
	*r = Record{v: v, buf: b, FRN: FRN(n) | FRN(u16(b, 0x10))<<48,
		Names: r.Names[:0], Streams: r.Streams[:0], attrs: r.attrs[:0], text: r.text[:0], ext: r.ext[:0]}
	switch string(b[:4]) {
	case "FILE":
	case "\x00\x00\x00\x00":
		return false, nil
	default:
		return false, damaged(r.place(), "it begins with %q", b[:4])
	}
	flags := u16(b, 0x16)
	if flags&1 == 0 || u64(b, 0x20) != 0 {
		return false, nil
	}
	if err := r.check(b, n); err != nil {
		return false, err
	}
	r.Directory = flags&2 != 0
	var err error
	if r.attrs, err = appendAttrs(r.attrs, b, "record"); err != nil {
		return false, fmt.Errorf("%s: %w", r.place(), err)
	}
	if err := r.extendAll(); err != nil {
		return false, fmt.Errorf("%s: %w", r.place(), err)
	}
	return true, r.interpret()
}

func (r *Record) check(b []byte, n uint64) error {
	if u16(b, 4) >= 0x30 && u32(b, 0x2c) != uint32(n) {
		return damaged(r.place(), "it says to be record %d", u32(b, 0x2c))
	}
	return fixup(b, "record")
}

func (r *Record) extendAll() error {
	more, err := r.others()
	for _, frn := range more {
		if err == nil {
			err = r.extend(frn)
		}
	}
	return err
}

// others returns the numbers of the records that r is continued in.
func (r *Record) others() ([]FRN, error) {
	a := r.find(attrList, "")
	if a == nil {
		return nil, nil
	}
	list, err := r.value(a, maxList)
	if err != nil {
		return nil, fmt.Errorf("attribute list: %w", err)
	}
	return r.extensions(list)
}

// extend adds the attributes in another record.
func (r *Record) extend(frn FRN) error {
	size := int(r.v.boot.record)
	at := len(r.ext)
	if cap(r.ext) < at+size {
		r.ext = append(make([]byte, 0, max(4*size, 2*cap(r.ext))), r.ext...) // attributes go on pointing into the old memory
	}
	r.ext = r.ext[:at+size]
	b := r.ext[at : at+size : at+size]
	place := fmt.Sprintf("record %d, continued in %d", r.FRN.Record(), frn.Record())
	if err := r.v.readRecord(frn.Record(), b); err != nil {
		return damaged(place, "%v", err)
	}
	base := FRN(u64(b, 0x20))
	if !bytes.Equal(b[:4], []byte("FILE")) || u16(b, 0x16)&1 == 0 || u16(b, 0x10) != frn.Sequence() || base.Record() != r.FRN.Record() {
		return damaged(place, "which isn't a part of it")
	}
	if err := fixup(b, place); err != nil {
		return err
	}
	var err error
	r.attrs, err = appendAttrs(r.attrs, b, place)
	return err
}

// interpret fills what is exported from the attributes.
func (r *Record) interpret() error {
	for i := range r.attrs {
		a := &r.attrs[i]
		if !a.resident && a.vcn > 0 {
			continue
		}
		switch a.typ {
		case attrStandard:
			if err := r.standard(a); err != nil {
				return err
			}
		case attrFileName:
			if err := r.name(a); err != nil {
				return err
			}
		case attrData:
			r.stream(a)
		case attrReparsePoint:
			r.ReparseLen = a.size
			if a.resident && len(a.value) >= 4 {
				r.ReparseTag = u32(a.value, 0)
			} else if err := r.readTag(a); err != nil {
				return err
			}
		case attrEA:
			r.EALen = a.size
		}
	}
	return nil
}

// standard decodes $STANDARD_INFORMATION.
//
//	0x00 created   0x08 modified   0x10 changed   0x18 accessed   0x20 attributes u32   0x34 security id u32   0x40 usn u64; the last two since NTFS 3.0
func (r *Record) standard(a *attr) error {
	b := a.value
	if !a.resident || len(b) < 0x30 {
		return damaged(r.place(), "standard information of %d bytes", a.size)
	}
	r.Standard = Standard{Created: Time(u64(b, 0)), Modified: Time(u64(b, 8)), Changed: Time(u64(b, 16)), Accessed: Time(u64(b, 24)), Attributes: u32(b, 32)}
	if len(b) >= 0x48 {
		r.Standard.Security, r.Standard.Usn = u32(b, 0x34), u64(b, 0x40)
	}
	return nil
}

func (r *Record) name(a *attr) error {
	if !a.resident {
		return damaged(r.place(), "a name that isn't in a record")
	}
	key, ok := parseFileName(a.value)
	if !ok {
		return damaged(r.place(), "a name of %d bytes", len(a.value))
	}
	if key.space == DOS {
		return nil
	}
	r.Names = append(r.Names, Name{Parent: key.parent, Name: r.decodeName(key.name), Namespace: key.space})
	return nil
}

func (r *Record) stream(a *attr) {
	r.Streams = append(r.Streams, StreamInfo{
		Name:       r.decodeName(a.name),
		Size:       a.size,
		Valid:      a.valid,
		Allocated:  a.alloc,
		Resident:   a.resident,
		Compressed: a.flags&flagCompressed != 0,
		Sparse:     a.flags&flagSparse != 0,
		Encrypted:  a.flags&flagEncrypted != 0,
	})
}

// decodeName keeps names in memory of the record's own. What was decoded before stays where it is when that grows.
func (r *Record) decodeName(utf16 []byte) []byte {
	if len(utf16) == 0 {
		return nil
	}
	at := len(r.text)
	r.text = appendWTF8(r.text, utf16)
	return r.text[at:len(r.text):len(r.text)]
}

func (r *Record) readTag(a *attr) error {
	b, err := r.value(a, maxReparse)
	if err != nil {
		return fmt.Errorf("reparse point: %w", err)
	}
	if len(b) < 8 {
		return damaged(r.place(), "a reparse point of %d bytes", len(b))
	}
	r.ReparseTag = u32(b, 0)
	return nil
}
