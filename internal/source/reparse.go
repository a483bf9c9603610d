package source

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// NTFSPrefix begins the names of the attributes that hold what only NTFS has of an entry, by the names that ntfs-3g gives them:
//
//	system.ntfs_attrib        the file attributes, u32
//	system.ntfs_crtime        when it was created, u64, 100 ns since 1601
//	system.ntfs_acl           the security descriptor, self-relative
//	system.ntfs_reparse_data  the reparse point, its tag first
//	system.ntfs_ea            extended attributes, as NtQueryEaFile gives them
//
// Numbers are little-endian. Streams beside a file's data are no attributes but entries of their own, called name:stream, with the
// inode of their file, one link and no attributes.
const NTFSPrefix = "system.ntfs_"

// The names below [NTFSPrefix].
const (
	NTFSAttrib  = NTFSPrefix + "attrib"
	NTFSCrtime  = NTFSPrefix + "crtime"
	NTFSACL     = NTFSPrefix + "acl"
	NTFSReparse = NTFSPrefix + "reparse_data"
	NTFSEA      = NTFSPrefix + "ea"
)

// The tags of reparse points that are symbolic links here. A junction is a mount point; so is a volume mounted in a directory.
const (
	tagMountPoint = 0xa0000003
	tagSymlink    = 0xa000000c
)

// served are the tags of files whose content a filter of Windows supplies when they are opened in the ordinary way, whatever is kept in the
// reparse point: files that are deduplicated, compressed as a whole (WOF, WIM), kept elsewhere (HSM, cloud, file sync) or projected.
// The reparse point means nothing without the filter's own store, and is not saved.
var served = []uint32{0x80000013, 0x80000017, 0x80000008, 0xc0000004, 0x80000006, 0x80000007, 0x80000021, 0x9000001c, 0x8000001e}

// Served says whether content behind a reparse point is had by opening it in the ordinary way: then a filter of Windows supplies it, and the
// reparse point itself is not saved.
func Served(tag uint32) bool {
	const cloud = 0x9000001a // and its 15 variants, which differ in these bits
	return slices.Contains(served, tag) || tag&^0xf000 == cloud
}

// LinkTarget translates where the reparse point of a symbolic link or a junction leads: slashes for backslashes, and a full path as one of a recovery
// point, "/C:/Users". It is WTF-8; ok is false for a reparse point of another kind, or one that makes no sense.
//
//	0  tag u32   4  length u16   8  target's offset u16, length u16   12  the shown name's offset u16, length u16
//	16  of symbolic links: flags u32, 1 relative; names;  of junctions: names
func LinkTarget(data []byte) (target []byte, ok bool) {
	if len(data) < 16 {
		return nil, false
	}
	names := data[16:]
	switch binary.LittleEndian.Uint32(data) {
	case tagMountPoint:
	case tagSymlink:
		if len(names) < 4 {
			return nil, false
		}
		names = names[4:]
	default:
		return nil, false
	}
	from, size := int(binary.LittleEndian.Uint16(data[8:])), int(binary.LittleEndian.Uint16(data[10:]))
	if size < 2 || from+size > len(names) {
		return nil, false
	}
	target = wtf8(nil, names[from:from+size])
	for i, c := range target {
		if c == '\\' {
			target[i] = '/'
		}
	}
	if rest, full := bytes.CutPrefix(target, []byte("/??/UNC/")); full {
		return append([]byte("//"), rest...), true
	}
	if rest, full := bytes.CutPrefix(target, []byte("/??/")); full {
		return append([]byte("/"), rest...), true
	}
	return target, true
}

// wtf8 appends UTF-16LE as UTF-8 in which a surrogate without its other half is three bytes as well (simonsapin.github.io/wtf-8).
func wtf8(to, utf16le []byte) []byte {
	for i := 0; i+1 < len(utf16le); i += 2 {
		r := rune(binary.LittleEndian.Uint16(utf16le[i:]))
		if utf16.IsSurrogate(r) {
			if i+3 < len(utf16le) {
				if pair := utf16.DecodeRune(r, rune(binary.LittleEndian.Uint16(utf16le[i+2:]))); pair != utf8.RuneError {
					to = utf8.AppendRune(to, pair)
					i += 2
					continue
				}
			}
			to = append(to, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
			continue
		}
		to = utf8.AppendRune(to, r)
	}
	return to
}

// streamName takes a stream's name out of what the system calls it, ":name:$DATA"; not that of a file's data, "::$DATA", or of anything that isn't data.
func streamName(full []byte) (name []byte, ok bool) {
	name, ok = bytes.CutPrefix(full, []byte(":"))
	if !ok {
		return nil, false
	}
	name, ok = bytes.CutSuffix(name, []byte(":$DATA"))
	return name, ok && len(name) > 0
}
