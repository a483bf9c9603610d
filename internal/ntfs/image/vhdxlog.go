package image

import (
	"encoding/binary"
	"io"
	"slices"
)

// replayed is a file as it will be once its log is played back: some of its sectors of 4 KiB are others.
type replayed struct {
	file    *io.SectionReader
	end     int64
	sectors map[int64][]byte // by number; nil is zeros
	changed int64            // how often one was made zero
}

const (
	logSector = 4 << 10
	maxLog    = 64 << 20
	maxSector = 1 << 20 // that it changes
)

// entry is an entry of the log. It is a multiple of 4 KiB: head and descriptors first, then a sector for each descriptor of data.
//
//	0 "loge"   4 checksum   8 length u32   12 tail u32   16 sequence u64   24 descriptors u32   32 log's id   48 file's size, flushed u64   56 file's size u64
//	from 64: "desc"   4 last 4 bytes   8 first 8 bytes   16 place u64   24 sequence u64
//	     or: "zero"   8 length u64   16 place u64   24 sequence u64
//	sector: 0 "data"   4 high half of sequence u32   8 bytes 8 to 4092   4092 low half u32
type entry struct {
	at, size int64
	sequence uint64
	tail     int64
	end      int64
	raw      []byte
}

// replay finds the entries that count: the last unbroken sequence that reaches back to what its last entry says is the first one needed.
func replay(f *io.SectionReader, id []byte, at, size int64) (*replayed, error) {
	if at < 1<<20 || size <= 0 || size > maxLog || at > f.Size()-size || size%logSector != 0 {
		return nil, damaged("a log of %d bytes at %d", size, at)
	}
	log := make([]byte, size)
	if err := readFull(f, log, at); err != nil {
		return nil, err
	}
	all := map[int64]*entry{}
	var list []*entry
	budget := 4 * size // entries don't overlap, but for remains of old ones
	for at := int64(0); at < size && budget > 0; at += logSector {
		e := entryAt(log, at, id)
		if e == nil {
			continue
		}
		if budget -= e.size; whole(e.raw, "loge") {
			all[at], list = e, append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return int(min(max(int64(b.sequence-a.sequence), -1), 1)) })
	for _, last := range list {
		if chain := follow(all, last, size); chain != nil {
			r := &replayed{file: f, end: max(f.Size(), last.end), sectors: map[int64][]byte{}}
			for _, e := range chain {
				if err := r.apply(e); err != nil {
					return nil, err
				}
			}
			return r, nil
		}
	}
	return nil, damaged("its log, which is needed, isn't whole")
}

// follow returns the entries from the tail of the last one to itself.
func follow(all map[int64]*entry, last *entry, size int64) []*entry {
	var chain []*entry
	for at, e := last.tail, all[last.tail]; e != nil; e = all[at] {
		if n := len(chain); n > 0 && e.sequence != chain[n-1].sequence+1 {
			return nil
		}
		chain = append(chain, e)
		if e == last {
			return chain
		}
		at = (at + e.size) % size
	}
	return nil
}

// entryAt returns the entry there, which may go on at the beginning of the log; nil if there is none. Its checksum is yet to be looked at.
func entryAt(log []byte, at int64, id []byte) *entry {
	le := binary.LittleEndian
	h := log[at:]
	if string(h[:4]) != "loge" || string(h[32:48]) != string(id) {
		return nil
	}
	e := &entry{at: at, size: int64(le.Uint32(h[8:])), tail: int64(le.Uint32(h[12:])), sequence: le.Uint64(h[16:]), end: int64(le.Uint64(h[56:]))}
	if e.size < logSector || e.size > int64(len(log)) || e.size%logSector != 0 || e.sequence == 0 || e.tail%logSector != 0 {
		return nil
	}
	e.raw = append(e.raw, h[:min(e.size, int64(len(h)))]...)
	e.raw = append(e.raw, log[:e.size-int64(len(e.raw))]...)
	return e
}

// apply takes in what an entry writes.
func (r *replayed) apply(e *entry) error {
	le := binary.LittleEndian
	count := int64(le.Uint32(e.raw[24:]))
	data := (64 + 32*count + logSector - 1) / logSector * logSector
	for i := range count {
		if 64+32*(i+1) > int64(len(e.raw)) {
			return damaged("an entry of the log with %d descriptors", count)
		}
		d := e.raw[64+32*i:]
		at, length := int64(le.Uint64(d[16:])), int64(le.Uint64(d[8:]))
		if at < 0 || at%logSector != 0 || le.Uint64(d[24:]) != e.sequence {
			return damaged("a descriptor in its log")
		}
		switch string(d[:4]) {
		case "zero":
			if length < 0 || length%logSector != 0 || length/logSector > maxSector-r.changed {
				return damaged("%d zeros in its log", length)
			}
			r.changed += length / logSector
			for n := range length / logSector {
				r.sectors[at/logSector+n] = nil
			}
		case "desc":
			if data+logSector > int64(len(e.raw)) {
				return damaged("an entry of the log ends too soon")
			}
			s := e.raw[data : data+logSector]
			if string(s[:4]) != "data" || uint64(le.Uint32(s[4:]))<<32|uint64(le.Uint32(s[4092:])) != e.sequence {
				return damaged("a sector in its log")
			}
			r.sectors[at/logSector] = slices.Concat(d[8:16], s[8:4092], d[4:8])
			data += logSector
		default:
			return damaged("a descriptor in its log is %q", d[:4])
		}
	}
	return nil
}

// ReadAt is [io.ReaderAt].
func (r *replayed) ReadAt(p []byte, off int64) (int, error) {
	return readBlocks(p, off, r.end, logSector, func(p []byte, n, in int64) error {
		b, ok := r.sectors[n]
		switch {
		case !ok:
			m, err := r.file.ReadAt(p, n*logSector+in)
			if err == io.EOF {
				clear(p[m:]) // the file grows when the log is played back
				err = nil
			}
			return err
		case b == nil:
			clear(p)
		default:
			copy(p, b[in:])
		}
		return nil
	})
}
