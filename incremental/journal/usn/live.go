package usn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"waybill/incremental/journal"
)

// What the file systems of Windows are asked.
const (
	queryJournal     = 0x900f4
	createJournal    = 0x900e7
	readJournal      = 0x900bb
	readUnprivileged = 0x903ab
	enumFiles        = 0x900b3
	readFileUSN      = 0x900eb
)

// system is Windows, as far as a volume goes. Its errors are winErrors.
type system interface {
	control(code uint32, in, out []byte) (int, error) // DeviceIoControl on the volume
	open(id ID, wide bool) (opened, error)            // by id, whatever it is
	close() error
}

// opened is a file, or directory.
type opened interface {
	control(code uint32, in, out []byte) (int, error)
	links(wide bool) ([]byte, error) // FILE_LINKS_INFORMATION, with wide ids FILE_LINKS_FULL_ID_INFORMATION
	count() (int, error)             // of its links
	streams() ([]byte, error)        // FILE_STREAM_INFO; nothing if there are none
	basic() ([]byte, error)          // FILE_BASIC_INFO
	close()
}

// A winError is an error number of Windows.
type winError uint32

func (e winError) Error() string { return fmt.Sprintf("error %d of Windows", uint32(e)) }

// live is the journal of a volume in use.
type live struct {
	sys     system
	info    Info      // what doesn't change
	majors  [2]uint16 // versions of records that are understood both here and there; zero where they can't be chosen
	limited bool      // for want of privileges, some records are kept back
	gone    bool      // on this volume, the list of files tells whether there is one with an id
	out     []byte
}

// newLive makes a device of a volume. volume, root and wide are as in Info. It owns sys.
func newLive(sys system, volume string, root ID, wide, limited bool) (*Journal, error) {
	l := &live{sys: sys, info: Info{Volume: volume, Root: root, Wide: wide}, limited: limited, out: make([]byte, 64<<10)}
	err := l.try()
	if err != nil {
		return nil, errors.Join(err, sys.close())
	}
	return New(l), nil
}

// try sees whether there is a journal, and what is gone can be told from what can't be looked up: by the root, which is there.
func (l *live) try() error {
	if _, err := l.Query(); err != nil || l.limited {
		return err
	}
	if !l.info.Wide {
		_, err := l.listed(l.info.Root)
		l.gone = err == nil
	}
	f, err := l.sys.open(l.info.Root, l.info.Wide)
	if err == nil {
		f.close()
	}
	if err != nil && !l.gone {
		return &journal.Gap{Reason: fmt.Sprintf("files of the volume can't be found by their ids: %v", err)}
	}
	return nil
}

// Close implements Device, as do the methods below.
func (l *live) Close() error { return l.sys.close() }

// Query reads USN_JOURNAL_DATA. Its newer versions only add to it.
//
//	 0 id u64   8 first u64   16 next u64   24 lowest valid u64   32 greatest u64   40 size u64   48 delta u64
//	56 least version u16, greatest u16, flags u32: 1 ranges are tracked
func (l *live) Query() (Info, error) {
	var b [80]byte
	n, err := l.sys.control(queryJournal, nil, b[:])
	if err != nil {
		return Info{}, asGap(err)
	}
	if n < 56 {
		return Info{}, fmt.Errorf("the description of the journal has %d bytes", n)
	}
	info := l.info
	info.ID, info.First, info.Next, info.LowestValid = le64(b[:]), le64(b[8:]), le64(b[16:]), le64(b[24:])
	info.Size, info.Delta = int64(le64(b[40:])), int64(le64(b[48:]))
	if n >= 60 {
		l.majors = [2]uint16{max(2, binary.LittleEndian.Uint16(b[56:])), min(4, binary.LittleEndian.Uint16(b[58:]))}
	}
	if n >= 64 {
		info.Tracks = b[60]&1 != 0
	}
	info.Limited = l.limited
	return info, nil
}

// Read sends READ_USN_JOURNAL_DATA: all reasons, at once, without waiting for more.
//
//	0 start u64   8 reasons u32   12 only closed u32   16 timeout u64   24 bytes to wait for u64   32 id u64   40 least version u16, greatest u16
func (l *live) Read(id, start uint64, buf []byte) (int, error) {
	var b [48]byte
	binary.LittleEndian.PutUint64(b[:], start)
	binary.LittleEndian.PutUint32(b[8:], 0xffffffff)
	binary.LittleEndian.PutUint64(b[32:], id)
	in := b[:40]
	if l.majors[1] != 0 {
		binary.LittleEndian.PutUint16(b[40:], l.majors[0])
		binary.LittleEndian.PutUint16(b[42:], l.majors[1])
		in = b[:]
	}
	code := uint32(readJournal)
	if l.limited {
		code = readUnprivileged
	}
	n, err := l.sys.control(code, in, buf)
	if errors.Is(err, winError(errInvalidParameter)) {
		return 0, recreated() // the id is of a journal that is no more
	}
	return n, asGap(err)
}

// Lookup opens the file. What can't be opened may still be in the volume's list of files.
func (l *live) Lookup(id ID, f *File) error {
	*f = File{Names: f.Names[:0], Streams: f.Streams[:0]}
	o, err := l.sys.open(id, l.info.Wide)
	if err == nil {
		defer o.close()
		return l.describe(o, f)
	}
	if l.gone {
		r, err := l.listed(id)
		if err != nil {
			return err
		}
		f.add(r)
		f.More = true
		return nil
	}
	number, _ := errors.AsType[winError](err)
	switch number {
	case errFileNotFound, errPathNotFound, errInvalidParameter, errNotFound:
		return fs.ErrNotExist // what is there could be opened: the root was
	case errAccessDenied, errSharingViolation, errDeletePending:
		f.More = true
		return nil
	}
	return err
}

// describe asks an opened file what it is called.
func (l *live) describe(o opened, f *File) error {
	n, err := o.control(readFileUSN, []byte{2, 0, 3, 0}, l.out)
	if err != nil {
		return err
	}
	var r Record
	if _, err := parse(l.out[:n], &r); err != nil {
		return err
	}
	f.add(&r)
	if !f.Directory {
		l.allNames(o, f)
	}
	b, err := o.streams()
	if err == nil {
		f.Streams, err = appendStreams(f.Streams, b)
	}
	f.More = f.More || err != nil
	if b, err := o.basic(); err == nil && len(b) >= 32 {
		f.Modified, f.Changed = fileTime(le64(b[16:])), fileTime(le64(b[24:]))
	}
	return nil
}

// allNames replaces the one name of a file by all that it has.
func (l *live) allNames(o opened, f *File) {
	b, err := o.links(l.info.Wide)
	if err == nil {
		var names []Name
		if names, err = parseLinks(b, l.info.Wide); err == nil && len(names) > 0 {
			f.Names = append(f.Names[:0], names...)
			return
		}
	}
	n, err := o.count()
	f.More = err != nil || n != 1
}

// add takes the name in a record.
func (f *File) add(r *Record) {
	f.Directory = r.Directory()
	f.Names = append(f.Names, Name{r.Parent, appendName(nil, r.Name)})
}

// Each reads the volume's list of files. ReFS has none.
func (l *live) Each(ctx context.Context, f func(ID, uint64) error) error {
	if !l.gone {
		return errWrapped
	}
	var r Record
	for at := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := l.enum(at, l.out)
		if errors.Is(err, winError(errHandleEOF)) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing the volume's files from record %d on: %w", at, err)
		}
		next := le64(l.out) & (1<<48 - 1)
		if n < 8 || next <= at {
			return fmt.Errorf("the list of the volume's files doesn't go on at record %d", at)
		}
		at = next
		for b := l.out[8:n]; len(b) > 0; {
			size, err := parse(b, &r)
			if err == nil {
				err = f(r.File, r.USN)
			}
			if err != nil {
				return err
			}
			b = b[size:]
		}
	}
}

// enum reads from the volume's list of files: MFT_ENUM_DATA. The answer is the record number to go on from, and the last records, without their
// reasons, of files from this one on.
//
//	0 start u64   8 least usn u64   16 greatest usn u64   24 least version u16, greatest u16
func (l *live) enum(from uint64, out []byte) (int, error) {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:], from)
	binary.LittleEndian.PutUint64(b[16:], 1<<63-1)
	in := b[:24]
	if l.majors[1] != 0 {
		binary.LittleEndian.PutUint16(b[24:], 2)
		binary.LittleEndian.PutUint16(b[26:], min(3, l.majors[1]))
		in = b[:]
	}
	return l.sys.control(enumFiles, in, out)
}

// listed finds a file in the volume's list of them, whose answer begins with the file that has this id, or comes after it.
func (l *live) listed(id ID) (*Record, error) {
	n, err := l.enum(id.Low, l.out[:1024])
	if errors.Is(err, winError(errHandleEOF)) {
		return nil, fs.ErrNotExist // there is none after it either
	}
	if err != nil {
		return nil, fmt.Errorf("looking for file %x in the list: %w", id.Low, err)
	}
	if n <= 8 {
		return nil, fs.ErrNotExist
	}
	r := &Record{}
	if _, err := parse(l.out[8:n], r); err != nil {
		return nil, err
	}
	if r.File != id {
		return nil, fs.ErrNotExist
	}
	return r, nil
}

// asGap makes an error of Windows what it means for the journal.
func asGap(err error) error {
	if number, ok := errors.AsType[winError](err); ok {
		if gap := gapOf(uint32(number)); gap != nil {
			return gap
		}
	}
	return err
}

// parseLinks reads a list of a file's names. The length counts characters.
//
//	0 bytes needed u32, entries u32    8 entries: next u32, pad, parent u64 (or parent 16 bytes without pad), length u32, name
func parseLinks(b []byte, wide bool) ([]Name, error) {
	parent, head := 8, 20
	if wide {
		parent, head = 4, 24
	}
	bad := errors.New("a list of names that makes no sense")
	if len(b) < 8 {
		return nil, bad
	}
	count, b := binary.LittleEndian.Uint32(b[4:]), b[8:]
	var names []Name
	for range count {
		if len(b) < head {
			return nil, bad
		}
		next, size := int64(binary.LittleEndian.Uint32(b)), 2*int64(binary.LittleEndian.Uint32(b[head-4:]))
		if int64(head)+size > int64(len(b)) || next > int64(len(b)) {
			return nil, bad
		}
		n := Name{ID{Low: le64(b[parent:])}, appendName(nil, b[head:int64(head)+size])}
		if wide {
			n.Parent.High = le64(b[parent+8:])
		}
		names = append(names, n)
		b = b[next:]
		if next == 0 {
			b = nil
		}
	}
	return names, nil
}

// appendStreams reads a list of streams, and leaves that of the data out. The length counts bytes.
//
//	0 next u32, length u32, size u64, allocated u64, name, as in :zone:$DATA
func appendStreams(to [][]byte, b []byte) ([][]byte, error) {
	for len(b) > 0 {
		bad := errors.New("a list of streams that makes no sense")
		if len(b) < 24 {
			return to, bad
		}
		next, size := int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:]))
		if 24+size > int64(len(b)) || next > int64(len(b)) {
			return to, bad
		}
		name, data := strings.CutSuffix(string(appendName(nil, b[24:24+size])), longForm)
		if name, ok := strings.CutPrefix(name, ":"); ok && data && name != "" {
			to = append(to, []byte(name))
		}
		if next == 0 {
			break
		}
		b = b[next:]
	}
	return to, nil
}

// journalSize is CREATE_USN_JOURNAL_DATA: the size, and how much is given up at a time.
func journalSize(size, delta int64) []byte {
	if delta == 0 {
		delta = max(size/8, 1<<20) &^ (64<<10 - 1)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(size))
	return binary.LittleEndian.AppendUint64(b, uint64(delta))
}

// create makes a journal of a volume that has none; resize changes the one it has, now or, when it shrinks, by and by.
func create(sys system, size, delta int64, exists bool) error {
	_, err := (&live{sys: sys}).Query()
	gap, isGap := errors.AsType[*journal.Gap](err)
	switch {
	case err == nil && !exists:
		return errors.New("the volume has a change journal already: it can be resized")
	case err != nil && (exists || !isGap || gap.Reason != noJournal):
		return err
	}
	if _, err := sys.control(createJournal, journalSize(size, delta), nil); err != nil {
		return asGap(err)
	}
	return nil
}
