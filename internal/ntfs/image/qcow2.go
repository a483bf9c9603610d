package image

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
)

// qcow2 is a disk of clusters, found by two tables: entries of the first are where the second's parts are, entries of those where clusters
// are. See QEMU, docs/interop/qcow2.txt.
//
//	0  "QFI\xfb"   4 version u32   8 backing file offset u64   20 log2 of cluster size u32   24 size u64   32 encryption u32
//	36 entries of the first table u32   40 its offset u64   from version 3: 72 features u64   104 compression u8
//
// All numbers are big-endian.
type qcow2 struct {
	file     *io.SectionReader
	size     int64
	bits     uint // of a cluster
	extended bool // second tables have entries of 16 bytes, which tell of 32 parts of a cluster
	first    []uint64
	tables   kept
	plain    kept // clusters that were compressed
}

const (
	offsetBits = 1<<56 - 1<<9

	featureDirty    = 1 << 0 // of counts that only writers need
	featureCorrupt  = 1 << 1
	featureData     = 1 << 2
	featurePacking  = 1 << 3
	featureExtended = 1 << 4

	packedCluster = 1 << 62
	zeroCluster   = 1 << 0
)

func openQcow2(f *io.SectionReader) (disk, error) {
	h := make([]byte, 112)
	if _, err := f.ReadAt(h, 0); err != nil && err != io.EOF {
		return nil, err
	}
	be := binary.BigEndian
	d := &qcow2{file: f, size: int64(be.Uint64(h[24:])), bits: uint(be.Uint32(h[20:])), tables: kept{room: 64}, plain: kept{room: 8}}
	version := be.Uint32(h[4:])
	switch {
	case version != 2 && version != 3:
		return nil, notRead("only versions 2 and 3 are")
	case be.Uint64(h[8:]) != 0:
		return nil, notRead("it needs the file that it is a change to: merge them with qemu-img")
	case be.Uint32(h[32:]) != 0:
		return nil, notRead("it is encrypted")
	case d.bits < 9 || d.bits > 21:
		return nil, damaged("clusters of 2^%d bytes", d.bits)
	case d.size < 0:
		return nil, damaged("a disk of %d bytes", d.size)
	}
	if version == 3 {
		if err := d.features(be.Uint64(h[72:]), be.Uint32(h[100:]), h[104]); err != nil {
			return nil, err
		}
	}
	return d, d.readFirst(int64(be.Uint32(h[36:])), int64(be.Uint64(h[40:])))
}

func (d *qcow2) features(features uint64, head uint32, packing byte) error {
	switch {
	case features&featureCorrupt != 0:
		return damaged("it is marked as corrupt: qemu-img check -r mends it")
	case features&featureData != 0:
		return notRead("its data is in another file")
	case features&featurePacking != 0 && head > 104 && packing != 0:
		return notRead("it is compressed by zstd")
	case features&^(featureDirty|featurePacking|featureExtended) != 0:
		return notRead("it has features that aren't known here")
	}
	d.extended = features&featureExtended != 0
	if d.extended && d.bits < 14 {
		return damaged("clusters of 2^%d bytes with parts", d.bits)
	}
	return nil
}

// perTable returns how many clusters one part of the second table is for.
func (d *qcow2) perTable() int64 { return 1 << d.bits / d.entry() }

func (d *qcow2) entry() int64 {
	if d.extended {
		return 16
	}
	return 8
}

func (d *qcow2) readFirst(count, at int64) error {
	covers := d.perTable() << d.bits
	need := d.size / covers
	if d.size%covers != 0 {
		need++
	}
	if count < need || need > 4<<20 {
		return damaged("a first table of %d entries for a disk of %d bytes", count, d.size)
	}
	b := make([]byte, 8*need)
	if at > d.file.Size()-int64(len(b)) || at < 0 {
		return damaged("the first table is behind its end")
	}
	if err := readFull(d.file, b, at); err != nil {
		return err
	}
	d.first = make([]uint64, need)
	for i := range d.first {
		d.first[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return nil
}

func (d *qcow2) Size() int64 { return d.size }

func (d *qcow2) ReadAt(p []byte, off int64) (int, error) {
	return readBlocks(p, off, d.size, 1<<d.bits, d.read)
}

func (d *qcow2) read(p []byte, n, in int64) error {
	at := int64(d.first[n/d.perTable()] & offsetBits)
	if at == 0 {
		clear(p)
		return nil
	}
	table, err := d.tables.get(at, func() ([]byte, error) {
		b := make([]byte, 1<<d.bits)
		return b, readFull(d.file, b, at)
	})
	if err != nil {
		return err
	}
	e := table[n%d.perTable()*d.entry():]
	cluster := binary.BigEndian.Uint64(e)
	switch {
	case cluster&packedCluster != 0:
		return d.readPacked(p, in, cluster)
	case d.extended:
		return d.readParts(p, in, cluster, binary.BigEndian.Uint64(e[8:]))
	case cluster&zeroCluster != 0 || cluster&offsetBits == 0:
		clear(p)
		return nil
	}
	return d.readData(p, int64(cluster&offsetBits)+in)
}

// readData reads a stretch of the file. The last cluster may end with the file.
func (d *qcow2) readData(p []byte, at int64) error {
	n, err := d.file.ReadAt(p, at)
	if err == io.EOF && at < d.file.Size() {
		clear(p[n:])
		return nil
	}
	if err == io.EOF {
		return damaged("a cluster is at %d, behind its end", at)
	}
	return err
}

// readParts reads a cluster of which each of 32 parts is there (the low half of the map), zero (the high half) or neither, which is zero too.
func (d *qcow2) readParts(p []byte, in int64, cluster, parts uint64) error {
	part := int64(1) << d.bits / 32
	_, err := readBlocks(p, in, 1<<d.bits, part, func(p []byte, n, at int64) error {
		if parts>>n&1 == 0 || parts>>(32+n)&1 != 0 {
			clear(p)
			return nil
		}
		return d.readData(p, int64(cluster&offsetBits)+n*part+at)
	})
	if err == io.EOF {
		err = nil
	}
	return err
}

// readPacked reads from a cluster that is compressed. Its entry says where it begins, to the byte, and how many sectors it goes on for.
func (d *qcow2) readPacked(p []byte, in int64, cluster uint64) error {
	split := 62 - (d.bits - 8)
	at := int64(cluster & (1<<split - 1))
	size := (int64(cluster&(packedCluster-1)>>split)+1)*512 - at&511
	b, err := d.plain.get(int64(cluster), func() ([]byte, error) {
		size := min(size, d.file.Size()-at) // the last sector may not be whole
		if size <= 0 {
			return nil, damaged("a cluster is at %d, behind its end", at)
		}
		raw := make([]byte, size)
		if err := readFull(d.file, raw, at); err != nil {
			return nil, err
		}
		b := make([]byte, 1<<d.bits)
		if _, err := io.ReadFull(flate.NewReader(bytes.NewReader(raw)), b); err != nil {
			return nil, damaged("the compressed cluster at %d: %v", at, err)
		}
		return b, nil
	})
	if err != nil {
		return err
	}
	copy(p, b[in:])
	return nil
}
