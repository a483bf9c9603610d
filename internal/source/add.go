package source

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Add adds an entry, for a [Backend] whose List was called. The name is copied; it is not empty, nor longer than 4096 bytes, and has no
// slash and no zero byte in it. "." and ".." are left out. The kind may be Unknown and the inode zero.
func (l *Listing) Add(name []byte, kind Kind, inode uint64) error {
	_, err := l.add(name, kind, inode, 0)
	return err
}

// AddStat is Add with the metadata, which [Dir.Stat] then returns without asking the backend. It takes 72 bytes more.
func (l *Listing) AddStat(name []byte, st *Stat) error {
	b, err := l.add(name, st.Kind, st.Inode, statSize)
	if b != nil {
		putStat(b, st)
	}
	return err
}

// withStat is the offset in records that a Stat follows.
const withStat = 1

const maxName = 4096

var errTooMany = errors.New("list directory: more than 4 GiB of names")

// add writes a record and returns the room for extra bytes behind the name, nil if the name is left out.
func (l *Listing) add(name []byte, kind Kind, inode uint64, extra int) ([]byte, error) {
	if string(name) == "." || string(name) == ".." {
		return nil, nil
	}
	if len(name) == 0 || len(name) > maxName {
		return nil, fmt.Errorf("list directory: a name has %d bytes", len(name))
	}
	size := recordHead + len(name) + 1 + extra
	if len(l.blocks) == 0 || l.end+size > len(l.blocks[len(l.blocks)-1])-blockSpare {
		if l.room() == nil {
			return nil, errTooMany
		}
		l.end = 0
	}
	last := len(l.blocks) - 1
	at := l.end + recordHead
	b := l.blocks[last][l.end:]
	binary.NativeEndian.PutUint64(b, inode)
	binary.NativeEndian.PutUint64(b[8:], 0)
	if extra > 0 {
		binary.NativeEndian.PutUint64(b[8:], withStat)
	}
	copy(b[recordHead:], name)
	b[recordHead+len(name)] = 0
	l.items = append(l.items, item{key: load(l.blocks[last], at, len(name)), at: uint32(last)<<16 | uint32(at), len: uint16(len(name)), typ: kind})
	l.end += size
	return b[size-extra : size], nil
}

// stat returns the metadata that an entry was added with.
func (l *Listing) stat(i int, st *Stat) bool {
	it := l.items[i]
	b := l.blocks[it.at>>16][int(it.at&0xffff)-recordHead:]
	if binary.NativeEndian.Uint64(b[8:]) != withStat {
		return false
	}
	getStat(b[recordHead+int(it.len)+1:], st)
	st.Kind, st.Inode = it.typ, binary.NativeEndian.Uint64(b)
	return true
}

// A Stat behind a name, but for what the record has before it:
//
//	0  dev u64   8  size u64   16  blocks u64   24  mtime s u64, ns u32   36  ctime s u64, ns u32
//	48  mode u32, nlink u32   56  uid u32, gid u32   64  device's major u32, minor u32
const statSize = 72

func putStat(b []byte, st *Stat) {
	o := binary.NativeEndian
	o.PutUint64(b, st.Dev)
	o.PutUint64(b[8:], uint64(st.Size))
	o.PutUint64(b[16:], uint64(st.Blocks))
	o.PutUint64(b[24:], uint64(st.MtimeSec))
	o.PutUint32(b[32:], st.MtimeNsec)
	o.PutUint64(b[36:], uint64(st.CtimeSec))
	o.PutUint32(b[44:], st.CtimeNsec)
	o.PutUint32(b[48:], st.Mode)
	o.PutUint32(b[52:], uint32(min(st.Nlink, 1<<32-1)))
	o.PutUint32(b[56:], st.UID)
	o.PutUint32(b[60:], st.GID)
	o.PutUint32(b[64:], st.RdevMajor)
	o.PutUint32(b[68:], st.RdevMinor)
}

func getStat(b []byte, st *Stat) {
	o := binary.NativeEndian
	*st = Stat{
		Dev: o.Uint64(b), Size: int64(o.Uint64(b[8:])), Blocks: int64(o.Uint64(b[16:])),
		MtimeSec: int64(o.Uint64(b[24:])), MtimeNsec: o.Uint32(b[32:]),
		CtimeSec: int64(o.Uint64(b[36:])), CtimeNsec: o.Uint32(b[44:]),
		Mode: o.Uint32(b[48:]), Nlink: uint64(o.Uint32(b[52:])), UID: o.Uint32(b[56:]), GID: o.Uint32(b[60:]),
		RdevMajor: o.Uint32(b[64:]), RdevMinor: o.Uint32(b[68:]),
	}
}
