package ntfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
)

// DirEntry is one name in a directory. Attributes, size and times are copies that Windows refreshes when it pleases: what is true is in the Record.
type DirEntry struct {
	FRN        FRN
	Name       []byte // WTF-8, valid until the callback returns
	Namespace  Namespace
	Directory  bool
	Attributes uint32
	ReparseTag uint32 // of reparse points
	Size       int64
	Modified   Time
	Changed    Time
}

// fileName is the $FILE_NAME attribute, which is also what directories are sorted by.
//
//	0x00 parent u64   0x08 created   0x10 modified   0x18 changed   0x20 accessed   0x28 allocated u64   0x30 size u64
//	0x38 attributes u32   0x3c reparse tag u32   0x40 name length u8   0x41 namespace u8   0x42 name
type fileName struct {
	parent            FRN
	modified, changed Time
	size              int64
	attributes, tag   uint32
	space             Namespace
	name              []byte // UTF-16
}

// isDirectory is what $FILE_NAME has instead of AttrDirectory.
const isDirectory = 0x10000000

func parseFileName(b []byte) (k fileName, ok bool) {
	if len(b) < 0x42 || len(b) < 0x42+2*int(b[0x40]) || b[0x40] == 0 || b[0x41] > 3 {
		return k, false
	}
	return fileName{
		parent: FRN(u64(b, 0)), modified: Time(u64(b, 0x10)), changed: Time(u64(b, 0x18)), size: int64(u64(b, 0x30)),
		attributes: u32(b, 0x38), tag: u32(b, 0x3c), space: Namespace(b[0x41]), name: b[0x42 : 0x42+2*int(b[0x40])],
	}, true
}

// List calls f for each name in a directory, in no particular order, until f returns an error, which List then returns. DOS names are left
// out. The error is fs.ErrNotExist if the directory is gone, and ErrNotDirectory if it is none.
func (v *Volume) List(dir FRN, f func(*DirEntry) error) error {
	r, err := v.Lookup(dir)
	if err != nil {
		return err
	}
	return r.List(f)
}

// ErrNotDirectory is the error for files that are to be listed.
var ErrNotDirectory = fmt.Errorf("it is no directory")

// List is [Volume.List] for a record at hand.
func (r *Record) List(f func(*DirEntry) error) error {
	if !r.Directory {
		return ErrNotDirectory
	}
	x, err := r.index("$I30")
	if err != nil {
		return err
	}
	var e DirEntry
	var text []byte
	return x.each(func(it indexItem) error {
		k, ok := parseFileName(it.key)
		if !ok {
			return damaged(x.place(), "a name of %d bytes", len(it.key))
		}
		if k.space == DOS {
			return nil
		}
		text = appendWTF8(text[:0], k.name)
		e = DirEntry{FRN: FRN(it.head), Name: text, Namespace: k.space, Directory: k.attributes&isDirectory != 0,
			Attributes: k.attributes &^ isDirectory, Size: k.size, Modified: k.modified, Changed: k.changed}
		if e.Attributes&AttrReparsePoint != 0 {
			e.ReparseTag = k.tag
		}
		return f(&e)
	})
}

// Find returns the number of what is called exactly name in a directory, fs.ErrNotExist if there is nothing.
func (v *Volume) Find(dir FRN, name []byte) (FRN, error) {
	r, err := v.Lookup(dir)
	if err != nil {
		return 0, err
	}
	return r.Find(name)
}

// Find is [Volume.Find] for a directory at hand.
func (r *Record) Find(name []byte) (FRN, error) {
	if !r.Directory {
		return 0, ErrNotDirectory
	}
	x, err := r.index("$I30")
	if err != nil {
		return 0, err
	}
	key := appendUTF16(nil, name)
	it, err := x.find(func(b []byte) (int, bool) {
		k, ok := parseFileName(b)
		return r.v.compare(key, k.name), ok
	})
	return FRN(it.head), err
}

// Resolve returns the number of what is at path, whose parts are separated by slashes, from the root directory.
func (v *Volume) Resolve(path string) (FRN, error) {
	at := v.root
	for _, name := range bytes.Split([]byte(path), []byte("/")) {
		if len(name) == 0 {
			continue
		}
		var err error
		if at, err = v.Find(at, name); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
	}
	return at, nil
}

// index is a B-tree of attributes: its root is in the record, its other blocks in a stream.
type index struct {
	file   *Record
	root   []byte // node header and entries
	blocks *Stream
	used   *attr // bitmap of blocks
	size   int64 // of a block
	grain  int64 // what blocks are numbered by
}

// indexItem is an entry: the number of a file in a directory, other data in other indexes.
type indexItem struct {
	head uint64 // the first 8 bytes: a file's number
	raw  []byte
	key  []byte
}

func (x *index) place() string { return "index of " + x.file.place() }

const maxBitmap = 16 << 20 // of an index: 2^27 blocks

// index opens an index of the file.
//
//	$INDEX_ROOT: 0x00 type u32   0x04 collation u32   0x08 block size u32   0x10 node
//	node: 0x00 first entry u32   0x04 end of entries u32   0x0c flags u8: 1 there are blocks
func (r *Record) index(name string) (*index, error) {
	x := &index{file: r}
	a := r.find(attrIndexRoot, name)
	if a == nil || !a.resident || len(a.value) < 0x20 {
		return nil, damaged(x.place(), "no root")
	}
	x.root = a.value[0x10:]
	x.size = int64(u32(a.value, 8))
	if x.root[0x0c]&1 == 0 {
		return x, nil
	}
	if x.size < 512 || x.size > 64<<10 || x.size&(x.size-1) != 0 {
		return nil, damaged(x.place(), "blocks of %d bytes", x.size)
	}
	x.grain = r.v.boot.cluster
	if x.size < x.grain {
		x.grain = 512
	}
	a = r.find(attrIndexAlloc, name)
	if x.used = r.find(attrBitmap, name); a == nil || x.used == nil {
		return nil, damaged(x.place(), "no blocks")
	}
	var err error
	if x.blocks, err = r.parts(attrIndexAlloc, a.name); err != nil {
		return nil, err
	}
	return x, nil
}

// each calls f for all entries: those in the root, then those in all blocks in use.
func (x *index) each(f func(indexItem) error) error {
	if err := x.eachItem(x.root, f); err != nil || x.blocks == nil {
		return err
	}
	bitmap, err := x.file.value(x.used, maxBitmap)
	if err != nil {
		return err
	}
	b := make([]byte, max(x.size, min(listAtOnce, x.blocks.size/x.size*x.size)))
	count, have := x.blocks.size/x.size, int64(-1) // b has the blocks from there
	for i, used := range bitmap {
		for ; used != 0; used &= used - 1 {
			n := int64(i)*8 + int64(bits.TrailingZeros8(used))
			if n >= count {
				return damaged(x.place(), "block %d of %d is in use", n, count)
			}
			per := int64(len(b)) / x.size
			if n/per != have {
				have = n / per
				if _, err := x.blocks.ReadAt(b, n/per*int64(len(b))); err != nil && err != io.EOF {
					return fmt.Errorf("%s, block %d: %w", x.place(), n, err)
				}
			}
			node, err := x.node(n*x.size/x.grain, b[n%per*x.size:][:x.size])
			if err != nil {
				return err
			}
			if err := x.eachItem(node, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// listAtOnce is how much of an index is read at a time when all of it is.
const listAtOnce = 64 << 10

// block reads one block into b and returns its node.
func (x *index) block(vcn int64, b []byte) ([]byte, error) {
	if vcn < 0 || vcn > x.blocks.size/x.grain {
		return nil, damaged(x.place(), "block %d is outside", vcn)
	}
	if _, err := x.blocks.ReadAt(b, vcn*x.grain); err != nil {
		return nil, fmt.Errorf("%s, block %d: %w", x.place(), vcn, err)
	}
	return x.node(vcn, b)
}

// node mends a block and returns its node.
//
//	0x00 "INDX"   0x04 update sequence   0x10 own number u64   0x18 node
func (x *index) node(vcn int64, b []byte) ([]byte, error) {
	if string(b[:4]) != "INDX" {
		return nil, damaged(x.place(), "block %d begins with %q", vcn, b[:4])
	}
	if err := fixup(b, "block"); err != nil {
		return nil, fmt.Errorf("%s, block %d: %w", x.place(), vcn, err)
	}
	if own := int64(u64(b, 0x10)); own != vcn {
		return nil, damaged(x.place(), "block %d says to be block %d", vcn, own)
	}
	return b[0x18:], nil
}

const (
	itemHasNode = 1
	itemIsLast  = 2
)

// eachItem calls f for the entries of a node, but for the last, which has no key.
func (x *index) eachItem(node []byte, f func(indexItem) error) error {
	return x.eachItemAndLast(node, func(it indexItem, last bool) (bool, error) {
		if last {
			return false, nil
		}
		return true, f(it)
	})
}

// eachItemAndLast calls f for all entries of a node, as long as it returns true and no error.
//
//	0x00 file u64   0x08 length u16   0x0a key length u16   0x0c flags u16   0x10 key   in the last 8 bytes: block with what sorts before
func (x *index) eachItemAndLast(node []byte, f func(it indexItem, last bool) (bool, error)) error {
	at, end := int64(u32(node, 0)), int64(u32(node, 4))
	if end > int64(len(node)) {
		return damaged(x.place(), "entries up to %d of %d", end, len(node))
	}
	for {
		if at+0x10 > end {
			return damaged(x.place(), "no last entry")
		}
		b := node[at:end]
		size, key, flags := int64(u16(b, 8)), int64(u16(b, 0xa)), u16(b, 0xc)
		last := flags&itemIsLast != 0
		if size < 0x10 || size > int64(len(b)) || !last && 0x10+key > size || flags&itemHasNode != 0 && size < 0x18 {
			return damaged(x.place(), "an entry of %d bytes", size)
		}
		it := indexItem{head: u64(b, 0), raw: b[:size]}
		if !last {
			it.key = b[0x10 : 0x10+key]
		}
		if more, err := f(it, last); err != nil || !more || last {
			return err
		}
		at += size
	}
}

// find looks an entry up, through the cache. compare says how what is looked for sorts against a key, and whether the key is one.
func (x *index) find(compare func(key []byte) (int, bool)) (indexItem, error) {
	node := x.root
	if x.blocks != nil {
		x.blocks.dev = x.file.v.blocks
	}
	b := []byte(nil)
	for range 64 { // no tree is as deep
		it, child, err := x.findIn(node, compare)
		if err != nil || it.raw != nil {
			return it, err
		}
		if child < 0 || x.blocks == nil {
			return indexItem{}, fs.ErrNotExist
		}
		if b == nil {
			b = make([]byte, x.size)
		}
		if node, err = x.block(child, b); err != nil {
			return indexItem{}, err
		}
	}
	return indexItem{}, damaged(x.place(), "it goes round in circles")
}

// findIn looks in one node; child is the block to go on in, negative for none.
func (x *index) findIn(node []byte, compare func(key []byte) (int, bool)) (found indexItem, child int64, err error) {
	child = -1
	err = x.eachItemAndLast(node, func(it indexItem, last bool) (bool, error) {
		d := -1
		if !last {
			var ok bool
			if d, ok = compare(it.key); !ok {
				return false, damaged(x.place(), "a key of %d bytes", len(it.key))
			}
		}
		if d == 0 {
			found = it
		} else if d < 0 && u16(it.raw, 0xc)&itemHasNode != 0 {
			child = int64(u64(it.raw, len(it.raw)-8))
		}
		return d > 0, nil
	})
	return found, child, err
}
