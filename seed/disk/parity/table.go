package parity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"waybill/manifest"
)

// Block is the unit of checksums and of mending, in bytes.
const Block = 64 << 10

const (
	headFormat = "waybill parity 1"
	maxHead    = 64 << 10
	maxBlocks  = 1 << 24 // of a group
	maxSize    = maxBlocks * Block
	maxDisk    = 9999
	tailSize   = 24
	tailMark   = "WAYBPRTY"
)

// A Member is a file that a group protects.
type Member struct {
	Index int    `json:"index"` // its column of the matrix, 0 to 127
	Disk  int    `json:"disk"`
	Name  string `json:"name"`
	Size  int64  `json:"size"`
}

// A Shard is a file of parity of a group.
type Shard struct {
	Index int `json:"index"` // its row of the matrix, 0 to 15
	Disk  int `json:"disk"`
}

// A Head says what a group is of. It proves itself by the group's name; that it is honest, nothing proves.
type Head struct {
	Machine manifest.ID `json:"machine"`
	Set     manifest.ID `json:"set"`
	Members []Member    `json:"members"` // ascending by index
	Shards  []Shard     `json:"shards"`  // ascending by index
}

// Encode returns the head's bytes and the group's name. It fails with manifest.ErrFormat where ParseHead would.
func (h *Head) Encode() (b []byte, group string, err error) {
	if err := h.check(); err != nil {
		return nil, "", err
	}
	b, err = manifest.EncodeDocument(struct {
		Format string `json:"format"`
		*Head
	}{headFormat, h})
	if err == nil && len(b) > maxHead {
		err = fmt.Errorf("parity table: %w: its head has %d bytes", manifest.ErrFormat, len(b))
	}
	return b, groupName(b), err
}

func groupName(head []byte) string { return fmt.Sprintf("%.32s", manifest.Sum(head)) }

// ParseHead reads the head that begins b and belongs to the group of that name; it fails with manifest.ErrFormat.
func ParseHead(b []byte, group string) (*Head, error) {
	line, _, ended := bytes.Cut(b[:min(len(b), maxHead)], []byte("\n"))
	if !ended || groupName(b[:len(line)+1]) != group {
		return nil, fmt.Errorf("parity table of %s: %w: its head is damaged", group, manifest.ErrFormat)
	}
	h := &Head{}
	if err := manifest.ParseDocument(line, maxHead, headFormat, h); err != nil {
		return nil, err
	}
	return h, h.check()
}

func (h *Head) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("parity table: %w: %s", manifest.ErrFormat, fmt.Sprintf(format, args...))
	}
	_, err1 := manifest.ParseID(string(h.Machine))
	_, err2 := manifest.ParseID(string(h.Set))
	if err1 != nil || err2 != nil || len(h.Members) < 1 || len(h.Members) > MaxData || len(h.Shards) < 1 || len(h.Shards) > MaxShards {
		return bad("%d members, %d shards of machine %.40q, set %.40q", len(h.Members), len(h.Shards), h.Machine, h.Set)
	}
	names, last, blocks := map[string]bool{}, -1, int64(0)
	for _, m := range h.Members {
		if m.Index <= last || m.Index >= MaxData || m.Disk < 1 || m.Disk > maxDisk || m.Size < 1 || m.Size > maxSize || names[m.Name] || !h.protects(m.Name) {
			return bad("member %d of %d bytes on disk %d, %.200q", m.Index, m.Size, m.Disk, m.Name)
		}
		last, names[m.Name] = m.Index, true
		blocks += blocksOf(m.Size)
	}
	last = -1
	for _, s := range h.Shards {
		if s.Index <= last || s.Index >= MaxShards || s.Disk < 1 || s.Disk > maxDisk {
			return bad("shard %d on disk %d", s.Index, s.Disk)
		}
		last = s.Index
	}
	if blocks += int64(len(h.Shards)) * blocksOf(h.Length()); blocks > maxBlocks {
		return bad("%d blocks, it may have %d", blocks, maxBlocks)
	}
	return nil
}

// protects tells what may be a member: the machine's packs and shards.
func (h *Head) protects(name string) bool {
	m, _, pack := manifest.ParsePackName(name)
	if !pack {
		var shard int
		m, _, shard, pack = manifest.ParseParityName(name)
		pack = pack && shard >= 0
	}
	return pack && m == h.Machine
}

// Across tells a row across disks from a group within a disk.
func (h *Head) Across() bool { return h.Members[0].Disk != h.Shards[0].Disk }

// Length is the length of the shards.
func (h *Head) Length() (n int64) {
	for _, m := range h.Members {
		n = max(n, m.Size)
	}
	return n
}

// tableSize is the size of the table, for a head of so many bytes.
func (h *Head) tableSize(head int) int64 {
	n := int64(len(h.Shards)) * blocksOf(h.Length())
	for _, m := range h.Members {
		n += blocksOf(m.Size)
	}
	return int64(head) + 4*n + sha256.Size
}

// size is the bytes of a member or, behind the members, of a shard.
func (h *Head) size(row int) int64 {
	if row < len(h.Members) {
		return h.Members[row].Size
	}
	return h.Length()
}

func blocksOf(size int64) int64 { return (size + Block - 1) / Block }

// A Table is a group's head and the checksums of its blocks.
type Table struct {
	Head
	Group string
	head  int    // bytes
	bytes []byte // the whole table
	first []int  // where in bytes the sums of each member and shard begin
}

// newTable is a table whose sums are to be filled in.
func newTable(h *Head) (*Table, error) {
	b, group, err := h.Encode()
	if err != nil {
		return nil, err
	}
	t := &Table{Head: *h, Group: group, head: len(b), bytes: make([]byte, h.tableSize(len(b)))}
	copy(t.bytes, b)
	t.layOut()
	return t, nil
}

func (t *Table) layOut() {
	at := t.head
	for row := range len(t.Members) + len(t.Shards) {
		t.first = append(t.first, at)
		at += 4 * int(blocksOf(t.size(row)))
	}
}

// ParseTable reads a whole table of the group of that name; it fails with manifest.ErrFormat. It keeps b.
func ParseTable(b []byte, group string) (*Table, error) {
	h, err := ParseHead(b, group)
	if err != nil {
		return nil, err
	}
	t := &Table{Head: *h, Group: group, head: bytes.IndexByte(b, '\n') + 1, bytes: b}
	if int64(len(b)) != h.tableSize(t.head) {
		return nil, fmt.Errorf("parity table of %s: %w: %d bytes, its head says %d", group, manifest.ErrFormat, len(b), h.tableSize(t.head))
	}
	if sum := sha256.Sum256(b[:len(b)-sha256.Size]); !bytes.Equal(sum[:], b[len(b)-sha256.Size:]) {
		return nil, fmt.Errorf("parity table of %s: %w: it is damaged", group, manifest.ErrFormat)
	}
	t.layOut()
	return t, nil
}

// finish seals the table when all sums are there, and returns its bytes.
func (t *Table) finish() []byte {
	sum := sha256.Sum256(t.bytes[:len(t.bytes)-sha256.Size])
	copy(t.bytes[len(t.bytes)-sha256.Size:], sum[:])
	return t.bytes
}

// tail is what ends a shard's file.
func (t *Table) tail() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(t.Length()))
	b = binary.BigEndian.AppendUint64(b, uint64(len(t.bytes)))
	return append(b, tailMark...)
}

// sums is where the sum of a block is.
func (t *Table) sums(row int, block int64) []byte { return t.bytes[t.first[row]+4*int(block):][:4] }

// note enters the sums of the blocks in p, which begins with that block.
func (t *Table) note(row int, block int64, p []byte) {
	for ; len(p) > 0; block++ {
		b := p[:min(len(p), Block)]
		binary.BigEndian.PutUint32(t.sums(row, block), checksum(b))
		p = p[len(b):]
	}
}

// good tells whether a block of a member or shard is right.
func (t *Table) good(row int, block int64, b []byte) bool {
	return binary.BigEndian.Uint32(t.sums(row, block)) == checksum(b)
}

// CheckShard tells whether all blocks in p, which begins at the block boundary off of a shard given by its place, are right.
func (t *Table) CheckShard(shard int, off int64, p []byte) bool {
	for block := off / Block; len(p) > 0; block++ {
		b := p[:min(len(p), Block)]
		if !t.good(len(t.Members)+shard, block, b) {
			return false
		}
		p = p[len(b):]
	}
	return true
}

// Bytes are the table as it is in its file; not to be changed.
func (t *Table) Bytes() []byte { return t.bytes }

// Trailer is what follows a shard in its file: the table, and where both are.
func (t *Table) Trailer() []byte { return append(t.bytes[:len(t.bytes):len(t.bytes)], t.tail()...) }

// FileSize is the size of a shard's file.
func (t *Table) FileSize() int64 { return t.Length() + int64(len(t.bytes)) + tailSize }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
