package fanotify

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A log is a sequence of frames. Positions count its bytes from the journal's beginning.
//
//	frame   = length of payload (4, little endian) | CRC-32C (4) | payload
//	payload = 'e' record...             what happened
//	        | 's' time (8, Unix ns)     a sync was answered with the position behind this frame
//	        | 'c'                       the clock was set back
//	record  = changes (uvarint) | directory | name | file
//	directory, file = handle: length (uvarint) | type (4) and bytes, as name_to_handle_at(2) has them; length 0: not known
//	name    = length (uvarint) | bytes; empty: the directory itself
//
// The checksum is over the journal's id, the frame's position and the payload, so that nothing left over from another journal is taken for this one's.
const (
	frameHeader = 8
	maxPayload  = 1 << 20
	syncFrame   = frameHeader + 1 + 8

	payloadEvents = 'e'
	payloadSync   = 's'
	payloadClock  = 'c'
)

// changes are the ways in which something changed.
type changes uint32

const (
	metadata  changes = 1 << iota // of the inode, its link count among it
	written                       // content, by a call that says so
	closed                        // a descriptor or mapping that could write is gone
	created                       // the name was not there before
	moved                         // the name is one it was renamed to, or from
	removed                       // the name is gone
	directory                     // it is one
	nameless                      // it was told without a name; never in a log
)

// A handle is a file handle: its type in 4 bytes, little endian, and its bytes. It is empty where none is known.
type handle string

// A record says where something changed.
type record struct {
	changes changes
	dir     handle
	name    string // empty: the directory itself, or not known when dir is empty
	file    handle // what the name stands, or stood, for; empty for a directory's own changes
}

func (r *record) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.changes))
	for _, s := range [3]string{string(r.dir), r.name, string(r.file)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

var errRecord = errors.New("a record that is none")

// parseRecord takes a record off the front of b.
func parseRecord(b []byte) (r record, rest []byte, err error) {
	c, n := binary.Uvarint(b)
	if n <= 0 {
		return r, nil, errRecord
	}
	b = b[n:]
	var parts [3]string
	for i := range parts {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return r, nil, errRecord
		}
		parts[i] = string(b[n : n+int(length)])
		b = b[n+int(length):]
	}
	return record{changes: changes(c), dir: handle(parts[0]), name: parts[1], file: handle(parts[2])}, b, nil
}

// appendFrame appends the frame of a payload that goes to a position of a journal.
func appendFrame(b []byte, journal string, position uint64, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, checksum(journal, position, payload))
	return append(b, payload...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(journal string, position uint64, payload []byte) uint32 {
	place := binary.LittleEndian.AppendUint64([]byte(journal), position)
	return crc32.Update(crc32.Checksum(place, castagnoli), castagnoli, payload)
}
