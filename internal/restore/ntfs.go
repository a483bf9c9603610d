package restore

import (
	"bytes"
	"encoding/binary"

	"waybill/internal/catalog"
)

// What only NTFS has of an entry is in attributes, by the names that ntfs-3g gives them (FORMAT.md section 7).
const (
	ntfsPrefix  = "system.ntfs_"
	ntfsAttrib  = ntfsPrefix + "attrib"
	ntfsCrtime  = ntfsPrefix + "crtime"
	ntfsACL     = ntfsPrefix + "acl"
	ntfsReparse = ntfsPrefix + "reparse_data"
	ntfsEA      = ntfsPrefix + "ea"
)

func isNTFS(attribute []byte) bool { return bytes.HasPrefix(attribute, []byte(ntfsPrefix)) }

// File attributes that more is done for than setting them.
const (
	attribReadOnly   = 0x1
	attribDirectory  = 0x10
	attribSparse     = 0x200
	attribCompressed = 0x800
	attribEncrypted  = 0x4000
)

// An ntfs is what NTFS had of an entry. What was not kept, or makes no sense, is zero.
type ntfs struct {
	known   bool // anything of it
	attrib  uint32
	crtime  uint64 // 100 ns since 1601
	acl     []byte
	reparse []byte
	ea      []byte
}

func ntfsOf(e *catalog.Entry) (n ntfs) {
	e.EachXattr(func(name, value []byte) bool {
		switch {
		case string(name) == ntfsAttrib && len(value) == 4:
			n.attrib = binary.LittleEndian.Uint32(value)
		case string(name) == ntfsCrtime && len(value) == 8:
			n.crtime = binary.LittleEndian.Uint64(value)
		case string(name) == ntfsACL && validSecurity(value):
			n.acl = value
		case string(name) == ntfsReparse && len(value) >= 8:
			n.reparse = value
		case string(name) == ntfsEA && len(value) > 0:
			n.ea = value
		default:
			return true
		}
		n.known = true
		return true
	})
	return n
}

// Control bits of a security descriptor.
const (
	daclPresent      = 0x0004
	saclPresent      = 0x0010
	daclInheritAgain = 0x0100
	saclInheritAgain = 0x0200
	daclInherited    = 0x0400
	saclInherited    = 0x0800
	selfRelative     = 0x8000
)

// validSecurity tells whether a self-relative security descriptor stays within its bytes: the system that takes it isn't told how many they are.
//
//	0  revision u8, 0   2  control u16   4  owner's, group's, SACL's, DACL's offset, u32 each
//	SID: revision u8, number of parts u8, authority 6 bytes, parts u32 each;  ACL: revision u8, 0, size u16, number of entries u16, 0 0
func validSecurity(b []byte) bool {
	const head = 20
	if len(b) < head || b[0] != 1 || control16(b)&selfRelative == 0 {
		return false
	}
	for i, at := range []int{4, 8, 12, 16} {
		off := int64(binary.LittleEndian.Uint32(b[at:]))
		if off == 0 {
			continue
		}
		if off < head || off > int64(len(b))-8 {
			return false
		}
		part := b[off:]
		size := 8 + 4*int(part[1])
		if i >= 2 {
			size = int(binary.LittleEndian.Uint16(part[2:]))
		}
		if size < 8 || size > len(part) {
			return false
		}
	}
	return true
}

func control16(descriptor []byte) uint16 { return binary.LittleEndian.Uint16(descriptor[2:]) }
