package ntfs

import "io/fs"

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
