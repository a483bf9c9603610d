package ntfs

import (
	"errors"
	"fmt"
	"math/bits"
)

// boot is what the boot sector tells.
//
//	0x03 "NTFS    "   0x0b bytes per sector u16   0x0d sectors per cluster u8   0x28 sectors u64
//	0x30 cluster of $MFT u64   0x38 of $MFTMirr u64   0x40 size of a record s8   0x44 of an index block s8   0x48 serial u64
type boot struct {
	cluster int64 // bytes
	record  int64
	size    int64 // bytes of the volume
	mft     int64 // cluster
	mirror  int64
	serial  uint64
}

// readBoot takes the first sector, or its copy behind the end of the volume when that is damaged.
func (v *Volume) readBoot(size int64) error {
	var sector [512]byte
	var first error
	for _, at := range []int64{0, size - 512} {
		if at < 0 {
			continue
		}
		_, err := v.meta.ReadAt(sector[:], at)
		if err == nil {
			err = v.boot.parse(sector[:], size)
		}
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return fmt.Errorf("boot sector: %w", first)
}

func (b *boot) parse(s []byte, size int64) error {
	const place = "boot sector"
	switch string(s[3:11]) {
	case "NTFS    ":
	case "-FVE-FS-":
		return errors.New("the volume is encrypted by BitLocker: it can be read where it is unlocked")
	case "ReFS\x00\x00\x00\x00":
		return errors.New("the volume is ReFS: only Windows reads it")
	default:
		return damaged(place, "this is no NTFS volume")
	}
	sector := int64(u16(s, 0x0b))
	if sector < 256 || sector > 4096 || bits.OnesCount64(uint64(sector)) != 1 {
		return damaged(place, "sectors of %d bytes", sector)
	}
	per := int64(s[0x0d])
	if per > 0x80 {
		per = 1 << (256 - per)
	}
	if per <= 0 || per > 1<<16 || bits.OnesCount64(uint64(per)) != 1 || sector*per > 2<<20 {
		return damaged(place, "clusters of %d sectors", per)
	}
	b.cluster = sector * per
	b.record = sizeOf(int8(s[0x40]), b.cluster)
	if b.record < 512 || b.record > 64<<10 || bits.OnesCount64(uint64(b.record)) != 1 {
		return damaged(place, "records of %d bytes", b.record)
	}
	sectors := u64(s, 0x28)
	if sectors == 0 || sectors > 1<<62/uint64(sector) {
		return damaged(place, "a volume of %d sectors", sectors)
	}
	b.size = int64(sectors) * sector
	if b.size > size {
		return damaged(place, "the volume has %d bytes, the device only %d", b.size, size)
	}
	b.mft, b.mirror, b.serial = int64(u64(s, 0x30)), int64(u64(s, 0x38)), u64(s, 0x48)
	if b.mft <= 0 || b.mft >= b.size/b.cluster {
		return damaged(place, "$MFT at cluster %d", b.mft)
	}
	return nil
}

// sizeOf reads a size given in clusters, or as a negative power of two in bytes.
func sizeOf(n int8, cluster int64) int64 {
	if n >= 0 {
		return int64(n) * cluster
	}
	if n < -31 {
		return 0
	}
	return 1 << -n
}
