package ntfs

import (
	"bytes"
	"io/fs"
)

// maxReparse is the most a reparse point may hold, with its head.
const maxReparse = 16<<10 + 24

// The tags of reparse points that are told apart.
const (
	TagMountPoint = 0xa0000003 // junctions too
	TagSymlink    = 0xa000000c
	TagWOF        = 0x80000017 // compressed as a whole, by "compact /exe" and the setup of Windows
	TagDedup      = 0x80000013
)

// Reparse returns all of a file's reparse point, its tag first, and fs.ErrNotExist if it is none.
func (r *Record) Reparse() ([]byte, error) { return r.small(attrReparsePoint, maxReparse) }

// EA returns the file's extended attributes as they are on disk, and fs.ErrNotExist if it has none.
func (r *Record) EA() ([]byte, error) { return r.small(attrEA, 64<<10) }

func (r *Record) small(typ uint32, limit int64) ([]byte, error) {
	a := r.find(typ, "")
	if a == nil {
		return nil, fs.ErrNotExist
	}
	return r.value(a, limit)
}

// Link is where a symbolic link or a junction leads.
type Link struct {
	Target   []byte // what Windows follows, WTF-8 with backslashes: "..\\x", "\\??\\C:\\Users"
	Print    []byte // what Windows shows; may be empty
	Relative bool
}

// ParseLink reads the reparse data of symbolic links and junctions; false for what is neither, or makes no sense.
//
//	0x00 tag u32   0x04 data length u16   0x08 target offset u16   0x0a length u16   0x0c print offset u16   0x0e length u16
//	symbolic links: 0x10 flags u32: 1 relative   0x14 names; junctions: 0x10 names
func ParseLink(b []byte) (l Link, ok bool) {
	if len(b) < 0x10 {
		return l, false
	}
	names := 0x10
	switch u32(b, 0) {
	case TagMountPoint:
	case TagSymlink:
		if names = 0x14; len(b) < names {
			return l, false
		}
		l.Relative = u32(b, 0x10)&1 != 0
	default:
		return l, false
	}
	part := func(at int) []byte {
		from, size := int(u16(b, at)), int(u16(b, at+2))
		if names+from+size > len(b) {
			return nil
		}
		return appendWTF8(nil, b[names+from:names+from+size])
	}
	l.Target, l.Print = part(8), part(0xc)
	return l, len(l.Target) > 0
}

// Path returns where the link leads as a path with slashes: what is relative stays so, "\??\C:\x" becomes "/C:/x", other absolute
// targets lose what they begin with for Windows' own sake.
func (l *Link) Path() []byte {
	p := bytes.ReplaceAll(l.Target, []byte(`\`), []byte("/"))
	if l.Relative {
		return p
	}
	for _, head := range []string{"/??/", "/DosDevices/", "//?/"} {
		if bytes.HasPrefix(p, []byte(head)) {
			p = p[len(head)-1:]
			break
		}
	}
	if bytes.HasPrefix(p, []byte("/UNC/")) {
		return p[len("/UNC"):]
	}
	return p
}
