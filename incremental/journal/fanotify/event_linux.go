package fanotify

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// interest is what the kernel is asked for; oldInterest where it doesn't know FAN_RENAME and the names' own files, before Linux 5.17.
const (
	interest    = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_RENAME | unix.FAN_ATTRIB | unix.FAN_MODIFY | unix.FAN_CLOSE_WRITE | unix.FAN_ONDIR
	oldInterest = interest&^unix.FAN_RENAME | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO
)

// An event is one of the kernel's, which are laid out so (fanotify(7)), all in the machine's byte order:
//
//	event = length (4) | version (1) | 0 (1) | length of this part (2) | mask (8) | descriptor (4) | pid (4) | info...
//	info  = type (1) | 0 (1) | length (2) | file system (8) | length of handle (4) | type of handle (4) | handle | name, 0...
type event struct {
	mask    uint64
	pid     int32
	records [2]record
	n       int // of records
}

var errEvent = errors.New("the kernel tells events in a form unknown here")

// parseEvent takes an event off the front of b.
func parseEvent(b []byte) (e event, rest []byte, err error) {
	if len(b) < unix.FAN_EVENT_METADATA_LEN {
		return e, nil, errEvent
	}
	length, head := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint16(b[6:])
	if b[4] != unix.FANOTIFY_METADATA_VERSION || int(length) > len(b) || uint32(head) > length || head < unix.FAN_EVENT_METADATA_LEN {
		return e, nil, errEvent
	}
	e.mask, e.pid = binary.NativeEndian.Uint64(b[8:]), int32(binary.NativeEndian.Uint32(b[20:]))
	err = e.parseInfo(b[head:length])
	return e, b[length:], err
}

func (e *event) parseInfo(b []byte) error {
	var from, to record
	var file handle
	for len(b) > 0 {
		if len(b) < 4 {
			return errEvent
		}
		kind, n := b[0], int(binary.NativeEndian.Uint16(b[2:]))
		if n < 20 || n > len(b) {
			return errEvent
		}
		h, name, err := parseHandle(b[12:n])
		if err != nil {
			return err
		}
		switch kind {
		case unix.FAN_EVENT_INFO_TYPE_FID:
			file = h
		case unix.FAN_EVENT_INFO_TYPE_DFID_NAME, unix.FAN_EVENT_INFO_TYPE_DFID, unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
			to.dir, to.name = h, name
		case unix.FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
			from.dir, from.name = h, name
		}
		b = b[n:]
	}
	to.changes, to.file = changesOf(e.mask), file
	if to.name == "." { // a directory's own event
		to.name, to.file = "", ""
	}
	e.records[0], e.n = to, 1
	if from.dir != "" {
		from.changes, from.file = to.changes, file
		e.records[1], e.n = from, 2
	}
	return nil
}

func parseHandle(b []byte) (handle, string, error) {
	if len(b) < 8 {
		return "", "", errEvent
	}
	size, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
	b = b[8:]
	if size > len(b) {
		return "", "", errEvent
	}
	name, _, _ := bytes.Cut(b[size:], []byte{0})
	if size == 0 {
		return "", string(name), nil
	}
	return handle(binary.LittleEndian.AppendUint32(nil, kind)) + handle(b[:size]), string(name), nil
}

func changesOf(mask uint64) (c changes) {
	for _, x := range [...]struct {
		mask uint64
		c    changes
	}{
		{unix.FAN_ATTRIB, metadata},
		{unix.FAN_MODIFY, written},
		{unix.FAN_CLOSE_WRITE, closed},
		{unix.FAN_CREATE, created},
		{unix.FAN_RENAME | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO, moved},
		{unix.FAN_DELETE, removed},
		{unix.FAN_ONDIR, directory},
	} {
		if mask&x.mask != 0 {
			c |= x.c
		}
	}
	return c
}
