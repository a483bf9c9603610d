package image

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// Partition is a part of a disk.
type Partition struct {
	Number int // as Linux and Windows count: from 1; in an MBR logical ones from 5
	Offset int64
	Size   int64
	Type   string // "07" in an MBR, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" in a GPT
	Name   string // GPT only
	Holds  string // "NTFS", "BitLocker", "ReFS", or empty for what isn't known here
}

// Section returns the bytes of a partition.
func (i *Image) Section(p Partition) *io.SectionReader {
	return io.NewSectionReader(i.disk, p.Offset, p.Size)
}

// Partitions returns the partitions in the order of their numbers. A disk without a table, which is all one volume, has one with the number 0.
func (i *Image) Partitions() ([]Partition, error) {
	b := make([]byte, 512)
	if err := readFull(i.disk, b, 0); err != nil {
		return nil, err
	}
	list := []Partition{{Size: i.Size()}}
	if holds(b) == "" && b[510] == 0x55 && b[511] == 0xaa {
		var err error
		if list, err = i.mbr(b); err != nil {
			return nil, err
		}
	}
	for n := range list {
		if readFull(i.disk, b, list[n].Offset) == nil {
			list[n].Holds = holds(b)
		}
	}
	return list, nil
}

// Volume returns the bytes of the partition with this number; 0 is the only one that holds NTFS.
func (i *Image) Volume(number int) (*io.SectionReader, error) {
	list, err := i.Partitions()
	if err != nil {
		return nil, err
	}
	var found []Partition
	for _, p := range list {
		if p.Number == number && number != 0 || number == 0 && p.Holds == "NTFS" {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 1:
		return i.Section(found[0]), nil
	case number != 0:
		return nil, fmt.Errorf("there is no partition %d; there are: %s", number, describe(list))
	case len(found) == 0:
		return nil, fmt.Errorf("no partition holds NTFS; there are: %s", describe(list))
	}
	return nil, fmt.Errorf("several partitions hold NTFS, say which: %s", describe(found))
}

func describe(list []Partition) string {
	var all []string
	for _, p := range list {
		s := fmt.Sprintf("%d (%d MiB", p.Number, p.Size>>20)
		for _, more := range []string{p.Name, p.Holds} {
			if more != "" {
				s += ", " + more
			}
		}
		all = append(all, s+")")
	}
	return strings.Join(all, ", ")
}

// holds tells a file system by its first sector.
func holds(b []byte) string {
	switch s := string(b[3:11]); {
	case s == "NTFS    ":
		return "NTFS"
	case s == "-FVE-FS-":
		return "BitLocker"
	case strings.HasPrefix(s, "ReFS\x00"):
		return "ReFS"
	case s == "EXFAT   ":
		return "exFAT"
	case string(b[54:57]) == "FAT" || string(b[82:87]) == "FAT32":
		return "FAT"
	}
	return ""
}

const (
	typeGPT     = 0xee
	typeDynamic = 0x42
	maxLogical  = 128
)

// mbr reads a table in the first sector: 4 entries of 16 bytes from 446.
//
//	4 type u8   8 first sector u32   12 sectors u32
func (i *Image) mbr(b []byte) ([]Partition, error) {
	var list []Partition
	for n := range 4 {
		e := b[446+16*n:]
		switch kind := e[4]; kind {
		case 0:
		case typeGPT:
			return i.gpt()
		case typeDynamic:
			return nil, notRead("it is a dynamic disk of Windows")
		case 0x05, 0x0f, 0x85:
			logical, err := i.logical(int64(binary.LittleEndian.Uint32(e[8:])))
			if err != nil {
				return nil, err
			}
			list = append(list, logical...)
		default:
			list = i.add(list, n+1, 0, e)
		}
	}
	slices.SortStableFunc(list, func(a, b Partition) int { return a.Number - b.Number })
	return list, nil
}

// add adds what an entry says. What lies outside of the disk isn't there.
func (i *Image) add(list []Partition, number int, base int64, e []byte) []Partition {
	p := Partition{Number: number, Type: fmt.Sprintf("%02X", e[4])}
	p.Offset = (base + int64(binary.LittleEndian.Uint32(e[8:]))) * 512
	p.Size = min(int64(binary.LittleEndian.Uint32(e[12:]))*512, i.Size()-p.Offset)
	if p.Size <= 0 {
		return list
	}
	return append(list, p)
}

// logical follows the chain of tables in an extended partition: each has one partition, and where the next table is.
func (i *Image) logical(start int64) ([]Partition, error) {
	var list []Partition
	b := make([]byte, 512)
	for at := start; len(list) < maxLogical; {
		if err := readFull(i.disk, b, at*512); err != nil {
			return nil, fmt.Errorf("extended partition: %w", err)
		}
		if b[510] != 0x55 || b[511] != 0xaa {
			return nil, damaged("the extended partition has no table at sector %d", at)
		}
		if b[446+4] != 0 {
			list = i.add(list, 5+len(list), at, b[446:])
		}
		next := int64(binary.LittleEndian.Uint32(b[462+8:]))
		if b[462+4] == 0 || next == 0 || start+next <= at {
			return list, nil
		}
		at = start + next
	}
	return list, nil
}

// gpt reads the table behind the first sector, or its copy at the end, on disks with sectors of 512 bytes or 4 KiB.
//
//	0 "EFI PART"   12 length u32   16 checksum u32   72 entries' sector u64   80 count u32   84 length of each u32   88 their checksum u32
func (i *Image) gpt() ([]Partition, error) {
	for _, sector := range []int64{512, 4096} {
		for _, at := range []int64{sector, i.Size() - sector} {
			if list, ok := i.gptAt(at, sector); ok {
				return list, nil
			}
		}
	}
	return nil, damaged("neither copy of its table of partitions is whole")
}

func (i *Image) gptAt(at, sector int64) ([]Partition, bool) {
	le := binary.LittleEndian
	h := make([]byte, 512)
	if at < 0 || readFull(i.disk, h, at) != nil || string(h[:8]) != "EFI PART" {
		return nil, false
	}
	size, count, each := le.Uint32(h[12:]), int64(le.Uint32(h[80:])), int64(le.Uint32(h[84:]))
	first := int64(le.Uint64(h[72:]))
	if size < 92 || size > 512 || each < 128 || each > 4096 || count > 4096 || first <= 0 || first > i.Size()/sector {
		return nil, false
	}
	sum := le.Uint32(h[16:])
	clear(h[16:20])
	b := make([]byte, count*each)
	if crc32.ChecksumIEEE(h[:size]) != sum || readFull(i.disk, b, first*sector) != nil || crc32.ChecksumIEEE(b) != le.Uint32(h[88:]) {
		return nil, false
	}
	var list []Partition
	for n := range count {
		if p, ok := i.gptEntry(b[n*each:], sector); ok {
			p.Number = int(n) + 1
			list = append(list, p)
		}
	}
	return list, true
}

// gptEntry reads one entry: 0 type   32 first sector u64   40 last u64   56 name, UTF-16
func (i *Image) gptEntry(e []byte, sector int64) (p Partition, ok bool) {
	le := binary.LittleEndian
	if string(e[:16]) == string(make([]byte, 16)) {
		return p, false
	}
	first, last := int64(le.Uint64(e[32:])), int64(le.Uint64(e[40:]))
	if first < 0 || last < first || first > i.Size()/sector {
		return p, false
	}
	var name []uint16
	for at := 56; at < 128 && le.Uint16(e[at:]) != 0; at += 2 {
		name = append(name, le.Uint16(e[at:]))
	}
	p = Partition{Offset: first * sector, Name: string(utf16.Decode(name))}
	p.Size = (min(last, i.Size()/sector-1) - first + 1) * sector
	p.Type = fmt.Sprintf("%08X-%04X-%04X-%X-%X", le.Uint32(e), le.Uint16(e[4:]), le.Uint16(e[6:]), e[8:10], e[10:16])
	return p, p.Size > 0
}
