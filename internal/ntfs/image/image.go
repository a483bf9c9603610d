// Package image reads disks out of files: raw images and block devices, qcow2, VHD and VHDX, as hypervisors and their backups leave them.
//
//	img, err := image.Open("/vms/server.vhdx")
//	defer img.Close()
//	parts, err := img.Partitions()
//	v, err := ntfs.Open(img.Section(parts[1]), parts[1].Size)
//
// It only reads, and needs no privilege beyond reading the file. Images that need another file (differencing disks, backing files) are refused, as
// is what no file of this kind should have. A VHDX that wasn't closed is read as it will be once its log is played back. All input is
// hostile: errors are [ErrDamaged], and memory stays bounded by the tables of the largest disk the format allows.
//
// Everything is safe for concurrent use, except Close.
package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// ErrDamaged is in errors about images that make no sense.
var ErrDamaged = errors.New("damaged image")

// ErrNotRead is in errors about images that are sound and not read by this package.
var ErrNotRead = errors.New("this kind of image isn't read")

// Image is an opened image: the bytes of the disk.
type Image struct {
	disk   disk
	format string
	file   io.Closer
}

// disk is what all formats come down to.
type disk interface {
	io.ReaderAt
	Size() int64
}

// Open opens the image at path. What it is, its content tells; what is of no known format is raw.
func Open(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	i, err := open(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	i.file = f
	return i, nil
}

func open(f *os.File) (*Image, error) {
	size, err := f.Seek(0, io.SeekEnd) // also of block devices
	if err != nil {
		return nil, err
	}
	return New(f, size)
}

// New opens the image in the first size bytes of r, which must allow for concurrent calls.
func New(r io.ReaderAt, size int64) (*Image, error) {
	file := io.NewSectionReader(r, 0, size)
	head := make([]byte, min(size, 512))
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, err
	}
	for _, f := range formats {
		if !bytes.HasPrefix(head, []byte(f.magic)) {
			continue
		}
		if f.open == nil {
			return nil, fmt.Errorf("%s: %w; convert it with qemu-img first", f.name, ErrNotRead)
		}
		d, err := f.open(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		return &Image{disk: d, format: f.name}, nil
	}
	d, err := openFixed(file)
	switch {
	case err != nil:
		return nil, fmt.Errorf("VHD: %w", err)
	case d != nil:
		return &Image{disk: d, format: "VHD"}, nil
	}
	return &Image{disk: file, format: "raw"}, nil
}

// formats are told by what they begin with.
var formats = []struct {
	name, magic string
	open        func(*io.SectionReader) (disk, error)
}{
	{"qcow2", "QFI\xfb", openQcow2},
	{"VHDX", "vhdxfile", openVHDX},
	{"VHD", "conectix", openVHD},
	{"VMDK", "KDMV", nil},
	{"VMDK", "COWD", nil},
	{"VMDK", "# Disk DescriptorFile", nil},
	{"VDI", "<<< ", nil},
	{"QED", "QED\x00", nil},
	{"EnCase", "EVF\t", nil},
}

// Format is "raw", "qcow2", "VHD" or "VHDX".
func (i *Image) Format() string { return i.format }

// Size returns the size of the disk.
func (i *Image) Size() int64 { return i.disk.Size() }

// ReadAt is [io.ReaderAt] of the disk.
func (i *Image) ReadAt(p []byte, off int64) (int, error) { return i.disk.ReadAt(p, off) }

// Close closes the file.
func (i *Image) Close() error {
	if i.file == nil {
		return nil
	}
	return i.file.Close()
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

func notRead(what string) error { return fmt.Errorf("%w: %s", ErrNotRead, what) }

// readBlocks reads a disk that is made of blocks of one size, by a function that reads in one of them.
func readBlocks(p []byte, off, size, block int64, read func(p []byte, n, in int64) error) (int, error) {
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	var eof error
	if int64(len(p)) > size-off {
		p, eof = p[:size-off], io.EOF
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		part := p[done:min(int64(len(p)), int64(done)+block-at%block)]
		if err := read(part, at/block, at%block); err != nil {
			return done, err
		}
		done += len(part)
	}
	return done, eof
}

// readFull reads what must be there.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF || err == nil {
		return damaged("it ends before byte %d", off+int64(len(p)))
	}
	return err
}

// kept holds the blocks used last that were costly to get: tables, and data that was decompressed.
type kept struct {
	room int

	mu     sync.Mutex // guards what follows
	blocks map[int64][]byte
	order  []int64 // a ring: the oldest is at next
	next   int
}

// get returns a block, which nobody changes, and has it made if it isn't there.
func (k *kept) get(key int64, make func() ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	b, ok := k.blocks[key]
	k.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := make()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.blocks == nil {
		k.blocks = map[int64][]byte{}
	}
	if _, ok := k.blocks[key]; ok {
		return b, nil
	}
	if len(k.order) < k.room {
		k.order = append(k.order, key)
	} else {
		delete(k.blocks, k.order[k.next])
		k.order[k.next] = key
		k.next = (k.next + 1) % k.room
	}
	k.blocks[key] = b
	return b, nil
}
