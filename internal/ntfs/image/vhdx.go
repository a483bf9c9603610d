package image

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// vhdx is a disk of blocks, found by one table. See Microsoft, [MS-VHDX]. Numbers are little-endian.
//
//	0       "vhdxfile"
//	64 KiB  header, and again at 128 KiB: 0 "head"   4 checksum   8 sequence u64   48 log's id   68 log's length u32   72 its offset u64
//	192 KiB regions, and again at 256 KiB: 0 "regi"   4 checksum   8 count u32   from 16: id (16 bytes), offset u64, length u32, required u32
//	metadata, a region: 0 "metadata"   10 count u16   from 32: id, offset u32, length u32, flags u32, 4 zeros
type vhdx struct {
	file   io.ReaderAt
	end    int64 // of the file
	size   int64
	block  int64
	sector int64
	table  []byte // entries of 8 bytes
	per    int64  // blocks between entries for maps
}

// The ids of regions and metadata, as they lie on disk.
var (
	regionTable    = guid("2DC27766-F623-4200-9D64-115E9BFD4A08")
	regionMetadata = guid("8B7CA206-4790-4B9A-B8FE-575F050F886E")
	metaParameters = guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
	metaSize       = guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
	metaSector     = guid("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	vhdxHeader   = 4 << 10
	vhdxTable    = 64 << 10
	maxVHDXBlock = 256 << 20
	maxVHDXSize  = 64 << 40
	maxMetadata  = 1 << 20
	maxEntries   = 16 << 20
)

func openVHDX(f *io.SectionReader) (disk, error) {
	h := latest(f)
	if h == nil {
		return nil, damaged("neither of its headers is whole")
	}
	d := &vhdx{file: f, end: f.Size()}
	if binary.LittleEndian.Uint16(h[66:]) != 1 {
		return nil, notRead("only version 1 is")
	}
	if id := h[48:64]; string(id) != string(make([]byte, 16)) {
		r, err := replay(f, id, int64(binary.LittleEndian.Uint64(h[72:])), int64(binary.LittleEndian.Uint32(h[68:])))
		if err != nil {
			return nil, err
		}
		d.file, d.end = r, r.end
	}
	regions, err := d.regions()
	if err != nil {
		return nil, err
	}
	if err := d.metadata(regions[regionMetadata]); err != nil {
		return nil, err
	}
	return d, d.readTable(regions[regionTable])
}

// whole says whether a structure has its checksum, in the 4 bytes behind its name, which count as zeros.
func whole(b []byte, name string) bool {
	if string(b[:4]) != name {
		return false
	}
	sum := crc32.Update(0, castagnoli, b[:4])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, b[8:]) == binary.LittleEndian.Uint32(b[4:])
}

// latest returns the header that was written last.
func latest(f io.ReaderAt) (found []byte) {
	for _, at := range []int64{64 << 10, 128 << 10} {
		b := make([]byte, vhdxHeader)
		if readFull(f, b, at) != nil || !whole(b, "head") {
			continue
		}
		if found == nil || binary.LittleEndian.Uint64(b[8:]) > binary.LittleEndian.Uint64(found[8:]) {
			found = b
		}
	}
	return found
}

// region is a part of the file.
type region struct{ at, size int64 }

func (d *vhdx) regions() (map[string]region, error) {
	var b []byte
	for _, at := range []int64{192 << 10, 256 << 10} {
		try := make([]byte, vhdxTable)
		if readFull(d.file, try, at) == nil && whole(try, "regi") {
			b = try
			break
		}
	}
	if b == nil {
		return nil, damaged("neither of its tables of regions is whole")
	}
	found := map[string]region{}
	count := binary.LittleEndian.Uint32(b[8:])
	if count > 2047 {
		return nil, damaged("%d regions", count)
	}
	for i := range int(count) {
		e := b[16+32*i:]
		id := string(e[:16])
		if id != regionTable && id != regionMetadata && binary.LittleEndian.Uint32(e[28:])&1 != 0 {
			return nil, notRead("it has a part that isn't known here")
		}
		found[id] = region{int64(binary.LittleEndian.Uint64(e[16:])), int64(binary.LittleEndian.Uint32(e[24:]))}
	}
	return found, nil
}

func (d *vhdx) metadata(r region) error {
	if r.at <= 0 || r.size < 64<<10 {
		return damaged("it has no metadata")
	}
	b := make([]byte, min(r.size, maxMetadata))
	if err := readFull(d.file, b, r.at); err != nil {
		return err
	}
	count := int(binary.LittleEndian.Uint16(b[10:]))
	if string(b[:8]) != "metadata" || count > 2047 {
		return damaged("its metadata makes no sense")
	}
	for i := range count {
		e := b[32+32*i:]
		at, size := int64(binary.LittleEndian.Uint32(e[16:])), int64(binary.LittleEndian.Uint32(e[20:]))
		if at+size > int64(len(b)) {
			return damaged("metadata of %d bytes at %d", size, at)
		}
		if err := d.item(string(e[:16]), b[at:at+size]); err != nil {
			return err
		}
	}
	if d.block < 1<<20 || d.block > maxVHDXBlock || d.block&(d.block-1) != 0 || d.size <= 0 || d.size > maxVHDXSize || d.sector != 512 && d.sector != 4096 {
		return damaged("a disk of %d bytes, blocks of %d, sectors of %d", d.size, d.block, d.sector)
	}
	return nil
}

func (d *vhdx) item(id string, b []byte) error {
	switch {
	case id == metaParameters && len(b) >= 8:
		d.block = int64(binary.LittleEndian.Uint32(b))
		if binary.LittleEndian.Uint32(b[4:])&2 != 0 {
			return notRead("it is a differencing disk, which needs its parent: merge them first")
		}
	case id == metaSize && len(b) >= 8:
		d.size = int64(binary.LittleEndian.Uint64(b))
	case id == metaSector && len(b) >= 4:
		d.sector = int64(binary.LittleEndian.Uint32(b))
	}
	return nil
}

// readTable reads where blocks are. After so many of them that the map of their sectors, which differencing disks need, fills
// a MiB, the table has an entry for that map.
func (d *vhdx) readTable(r region) error {
	d.per = 1 << 23 * d.sector / d.block
	blocks := (d.size-1)/d.block + 1
	entries := blocks + (blocks-1)/d.per
	if r.at <= 0 || entries > r.size/8 || entries > maxEntries {
		return damaged("a table of %d bytes for %d blocks", r.size, blocks)
	}
	if r.at > d.end-8*entries {
		return damaged("its table is behind its end")
	}
	d.table = make([]byte, 8*entries)
	return readFull(d.file, d.table, r.at)
}

func (d *vhdx) Size() int64 { return d.size }

func (d *vhdx) ReadAt(p []byte, off int64) (int, error) {
	const isThere, isPartly = 6, 7
	return readBlocks(p, off, d.size, d.block, func(p []byte, n, in int64) error {
		e := binary.LittleEndian.Uint64(d.table[8*(n+n/d.per):])
		switch e & 7 {
		case isThere:
			return readFull(d.file, p, int64(e&^(1<<20-1))+in)
		case isPartly:
			return damaged("block %d needs a parent", n)
		}
		clear(p)
		return nil
	})
}

// guid writes an id as it lies on disk: three numbers little-endian, then bytes.
func guid(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '-' {
			b = append(b, hex(s[i])<<4|hex(s[i+1]))
			i++
		}
	}
	for _, n := range [][2]int{{0, 4}, {4, 6}, {6, 8}} {
		for i, j := n[0], n[1]-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	return string(b)
}

func hex(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}
