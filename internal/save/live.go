package save

import (
	"bytes"

	"waybill/internal/catalog"
	"waybill/internal/source"
)

// live is the file of the source that a healer reads from, opened when the first stretch of it is wanted. Its
// directory stays open for the files beside it.
type live struct {
	path    []byte
	tried   bool // to open it
	file    *source.File
	dir     *source.Dir
	dirPath []byte
}

// item tells whether a stretch of the file is there, after an attempt to store it again when it is gone.
func (h *healer) item(it catalog.Item, off int64) bool {
	if it.IsHole() {
		return true
	}
	if _, had := h.had[it.ID.Prefix()]; had || !h.losses.Gone(it.ID) {
		return true
	}
	return h.tell == nil && h.again(it, off)
}

// again reads a stretch of the live file, and stores it if it is what it was. What the packing fails
// with, flushing tells.
func (h *healer) again(it catalog.Item, off int64) bool {
	f := h.open()
	if f == nil || it.Length > readSize {
		return false
	}
	if h.buf == nil {
		h.buf = make([]byte, readSize)
	}
	b := h.buf[:it.Length]
	n, err := readAll(f, b, off)
	h.workers[0].count.ReadBytes += int64(n)
	h.cfg.Progress.ReadBytes.Add(int64(n))
	if err != nil || n < len(b) || h.hasher.Sum(b) != it.ID {
		return false
	}
	_, isNew, err := h.workers[0].data.Add(b)
	if err != nil {
		return false
	}
	h.workers[0].fresh(n, isNew)
	h.had[it.ID.Prefix()] = struct{}{}
	return true
}

// open opens the live file, once; nil when it can't be read.
func (h *healer) open() *source.File {
	l := &h.live
	if l.tried {
		return l.file
	}
	l.tried = true
	slash := bytes.LastIndexByte(l.path, '/')
	if l.dir == nil || !bytes.Equal(l.dirPath, l.path[:slash+1]) {
		h.closeDir()
		d, err := h.openDir(l.path[:slash+1])
		if err != nil {
			return nil
		}
		l.dir, l.dirPath = d, bytes.Clone(l.path[:slash+1])
	}
	if f, err := l.dir.Open(l.path[slash+1:]); err == nil {
		l.file = f
	}
	return l.file
}

// openDir opens a directory of the source.
func (h *healer) openDir(path []byte) (*source.Dir, error) {
	if h.cfg.Root == nil {
		return source.OpenDir(string(path))
	}
	d, err := h.cfg.Root()
	for name := range bytes.FieldsFuncSeq(path, func(r rune) bool { return r == '/' }) {
		if err != nil {
			break
		}
		above := d
		d, err = above.OpenDir(name)
		above.Close()
	}
	return d, err
}

// closeFile and closeDir close what was only read.
func (h *healer) closeFile() {
	if h.live.file != nil {
		h.live.file.Close()
		h.live.file = nil
	}
}

func (h *healer) closeDir() {
	if h.live.dir != nil {
		h.live.dir.Close()
		h.live.dir = nil
	}
}
