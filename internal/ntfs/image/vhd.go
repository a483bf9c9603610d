package image

import (
	"encoding/binary"
	"io"
)

// vhd is a disk of blocks, found by one table. Each block is behind a map of its sectors, which need not be looked at: what was never written is
// zero. See "Virtual Hard Disk Image Format Specification". Numbers are big-endian.
//
//	footer, the last 512 bytes, of dynamic disks also the first: 0 "conectix"   16 header offset u64   48 size u64
//	       60 type u32: 2 fixed, 3 dynamic, 4 differencing   64 checksum u32
//	header: 0 "cxsparse"   16 table offset u64   28 entries u32   32 block size u32   36 checksum u32
type vhd struct {
	file  *io.SectionReader
	size  int64
	block int64
	skip  int64 // the map of sectors
	table []uint32
}

const (
	footerSize   = 512
	vhdFixed     = 2
	vhdDynamic   = 3
	notThere     = 1<<32 - 1
	maxVHDBlocks = 4 << 20
)

// checksum is that of a footer or a header, which has it at a place that doesn't count.
func checksum(b []byte, at int) uint32 {
	sum := uint32(0)
	for i, c := range b {
		if i < at || i >= at+4 {
			sum += uint32(c)
		}
	}
	return ^sum
}

func readFooter(f *io.SectionReader, at int64) ([]byte, bool) {
	b := make([]byte, footerSize)
	if at < 0 || readFull(f, b, at) != nil || string(b[:8]) != "conectix" {
		return nil, false
	}
	return b, binary.BigEndian.Uint32(b[64:]) == checksum(b, 64)
}

// openFixed opens a disk that has nothing but a footer at its end, nil if there is none.
func openFixed(f *io.SectionReader) (disk, error) {
	b, ok := readFooter(f, f.Size()-footerSize)
	if !ok {
		return nil, nil
	}
	size, kind := int64(binary.BigEndian.Uint64(b[48:])), binary.BigEndian.Uint32(b[60:])
	if kind != vhdFixed {
		return nil, damaged("its beginning is missing")
	}
	if size < 0 || size > f.Size()-footerSize {
		return nil, damaged("a disk of %d bytes in %d", size, f.Size())
	}
	return io.NewSectionReader(f, 0, size), nil
}

func openVHD(f *io.SectionReader) (disk, error) {
	b, ok := readFooter(f, f.Size()-footerSize)
	if !ok {
		if b, ok = readFooter(f, 0); !ok {
			return nil, damaged("neither copy of its footer is whole")
		}
	}
	d := &vhd{file: f, size: int64(binary.BigEndian.Uint64(b[48:]))}
	switch kind := binary.BigEndian.Uint32(b[60:]); kind {
	case vhdDynamic:
	case vhdFixed: // of a disk whose first sector looks like this
		return openFixed(f)
	default:
		return nil, notRead("it is a differencing disk, which needs its parent: merge them first")
	}
	return d, d.readHeader(int64(binary.BigEndian.Uint64(b[16:])))
}

func (d *vhd) readHeader(at int64) error {
	h := make([]byte, 1024)
	if at < 0 || at > d.file.Size() {
		return damaged("its header is behind its end")
	}
	if err := readFull(d.file, h, at); err != nil {
		return err
	}
	if string(h[:8]) != "cxsparse" || binary.BigEndian.Uint32(h[36:]) != checksum(h, 36) {
		return damaged("its header isn't whole")
	}
	d.block = int64(binary.BigEndian.Uint32(h[32:]))
	if d.block < 512 || d.block&(d.block-1) != 0 {
		return damaged("blocks of %d bytes", d.block)
	}
	d.skip = (d.block/512/8 + 511) / 512 * 512
	need, at := (d.size-1)/d.block+1, int64(binary.BigEndian.Uint64(h[16:]))
	if d.size < 0 || need > maxVHDBlocks || need > int64(binary.BigEndian.Uint32(h[28:])) || at < 0 || at > d.file.Size()-4*need {
		return damaged("a table of %d entries for a disk of %d bytes", binary.BigEndian.Uint32(h[28:]), d.size)
	}
	b := make([]byte, 4*need)
	if err := readFull(d.file, b, at); err != nil {
		return err
	}
	d.table = make([]uint32, need)
	for i := range d.table {
		d.table[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return nil
}

func (d *vhd) Size() int64 { return d.size }

func (d *vhd) ReadAt(p []byte, off int64) (int, error) {
	return readBlocks(p, off, d.size, d.block, func(p []byte, n, in int64) error {
		if d.table[n] == notThere {
			clear(p)
			return nil
		}
		return readFull(d.file, p, int64(d.table[n])*512+d.skip+in)
	})
}
