package source

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
)

// Listing is the names in one directory, in ascending byte order. The zero value is empty and ready for [Dir.List]; use one again
// for the next directory, it keeps its memory (up to 4 MiB: that of a very wide directory is let go). It takes about 40
// bytes and the name for each entry.
type Listing struct {
	// Names stay where the system wrote them: blocks hold directory records as Linux's getdents64 gives them.
	//
	//	0  inode u64   8  offset u64   16  record length u16   18  type u8   19  name, 0
	//
	// Numbers are in the machine's byte order. A block is at most 64 KiB, and has 8 bytes to spare so that key can read past a name.
	// Where the entry was added with its metadata the offset is withStat, and a Stat follows the name, see putStat.
	blocks [][]byte
	items  []item
	end    int // of what Add has written to the last block
}

// item is one entry: where its name is, and what sorts it.
type item struct {
	key uint64 // a part of the name, big-endian, zero behind its end
	at  uint32 // block number << 16 | offset of the name in it
	len uint16 // of the name
	typ Kind
}

const (
	recordHead   = 19
	firstBlock   = 8 << 10 // most directories are small, and deep trees have many listings open
	blockSize    = 64 << 10
	blockSpare   = 8
	blocksToKeep = 64
	maxBlocks    = 1 << 16
)

// Len returns the number of entries.
func (l *Listing) Len() int { return len(l.items) }

// Name returns the name of entry i, valid until the listing's next use.
func (l *Listing) Name(i int) []byte { return l.name(l.items[i]) }

func (l *Listing) name(it item) []byte {
	b := l.blocks[it.at>>16][it.at&0xffff:]
	return b[:it.len:it.len]
}

// Kind returns the kind of entry i as the directory tells it: Unknown where it doesn't.
func (l *Listing) Kind(i int) Kind { return l.items[i].typ }

// Inode returns the inode number of entry i as the directory tells it. For a mount point it is that of the directory mounted over.
func (l *Listing) Inode(i int) uint64 {
	at := l.items[i].at
	return binary.NativeEndian.Uint64(l.blocks[at>>16][at&0xffff-recordHead:])
}

// Find returns the entry called name, if there is one.
func (l *Listing) Find(name []byte) (i int, found bool) {
	return sort.Find(l.Len(), func(i int) int { return bytes.Compare(name, l.Name(i)) })
}

func (l *Listing) reset() {
	clear(l.blocks[min(len(l.blocks), blocksToKeep):])
	l.blocks = l.blocks[:0]
	if cap(l.items) > 1<<17 {
		l.items = nil
	}
	l.items = l.items[:0]
	l.end = 0
}

// room returns the next block to write records into, nil if that would be one too many. Then used says how much was written.
func (l *Listing) room() []byte {
	n := len(l.blocks)
	if n == maxBlocks {
		return nil
	}
	if n < cap(l.blocks) {
		l.blocks = l.blocks[:n+1] // with the memory it had before reset
	} else {
		l.blocks = append(l.blocks, nil)
	}
	if l.blocks[n] == nil {
		size := blockSize
		if n == 0 {
			size = firstBlock
		}
		l.blocks[n] = make([]byte, size+blockSpare)
	}
	return l.blocks[n][:len(l.blocks[n])-blockSpare]
}

// used takes in the n bytes of records written to the last block.
func (l *Listing) used(n int) {
	last := len(l.blocks) - 1
	b, base := l.blocks[last], uint32(last)<<16
	for at := 0; at < n; {
		size := int(binary.NativeEndian.Uint16(b[at+16:]))
		name := b[at+recordHead : at+size]
		length := bytes.IndexByte(name, 0)
		if !(length == 1 && name[0] == '.' || length == 2 && name[0] == '.' && name[1] == '.') {
			l.items = append(l.items, item{
				key: load(b, at+recordHead, length),
				at:  base | uint32(at+recordHead),
				len: uint16(length),
				typ: kinds[b[at+18]&15],
			})
		}
		at += size
	}
}

// kinds translates the types of directory records (DT_REG ...), which are also the top bits of st_mode.
var kinds = [16]Kind{1: FIFO, 2: CharDevice, 4: Directory, 6: BlockDevice, 8: Regular, 10: Symlink, 12: Socket}

// load returns the 8 bytes of b from at as a number that sorts as they do, counting only the first n, which are followed by zeros then.
func load(b []byte, at, n int) uint64 {
	key := binary.BigEndian.Uint64(b[at:])
	if n >= 8 {
		return key
	}
	return key &^ (^uint64(0) >> (8 * max(n, 0)))
}

// sort orders items by name: first by the 8 bytes that are in the item itself, then those that have these in common by their
// next 8 bytes, and so on. Names are looked at only once for each 8 bytes, and nothing is allocated.
func (l *Listing) sort() {
	l.sortFrom(l.items, 0)
	// Some file systems, network ones and FUSE, list a name again that is replaced meanwhile.
	l.items = slices.CompactFunc(l.items, func(a, b item) bool {
		return a.key == b.key && a.len == b.len && bytes.Equal(l.name(a), l.name(b))
	})
}

func (l *Listing) sortFrom(items []item, depth int) {
	sortKeys(items, 56)
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && items[j].key == items[i].key {
			j++
		}
		// A key with a zero at its end has the name's end in it: then these names are equal, see sort.
		if j-i > 1 && items[i].key&0xff != 0 {
			l.reload(items[i:j], depth+8)
			l.sortFrom(items[i:j], depth+8)
		}
		i = j
	}
}

// sortKeys orders items by what their keys have from the byte at shift on: many at a time byte by byte, into a bucket for each
// value (an American flag sort, McIlroy, Bostic and McIlroy 1993), few by comparing. A million names take half the time that comparing all takes.
func sortKeys(items []item, shift int) {
	if len(items) < 256 || shift < 0 {
		slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.key, b.key) })
		return
	}
	var next, end [256]int
	for i := range items {
		end[byte(items[i].key>>shift)]++
	}
	sum := 0
	for v := range end {
		next[v] = sum
		sum += end[v]
		end[v] = sum
	}
	for v := range end {
		for next[v] < end[v] {
			it := items[next[v]]
			for to := byte(it.key >> shift); to != byte(v); to = byte(it.key >> shift) {
				items[next[to]], it = it, items[next[to]]
				next[to]++
			}
			items[next[v]] = it
			next[v]++
		}
	}
	start := 0
	for _, stop := range end {
		if stop-start > 1 {
			sortKeys(items[start:stop], shift-8)
		}
		start = stop
	}
}

func (l *Listing) reload(items []item, depth int) {
	for i := range items {
		it := &items[i]
		b := l.blocks[it.at>>16]
		rest := int(it.len) - depth
		if rest <= 0 {
			it.key = 0
			continue
		}
		it.key = load(b, int(it.at&0xffff)+depth, rest)
	}
}
