package treetest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

type extent struct{ start, end int64 }

// holes: b has data and space only where a has data, by blocks. More holes than the origin's are no fault.
func (c *comparison) holes(fa, fb int, path string) {
	var a, b unix.Stat_t
	if c.failed(path, "stat", unix.Fstat(fa, &a), unix.Fstat(fb, &b)) {
		return
	}
	block := max(4096, int64(a.Blksize), int64(b.Blksize))
	da, erra := dataMap(fa, block)
	db, errb := dataMap(fb, block)
	if c.failed(path, "looking for holes", erra, errb) {
		return
	}
	for _, e := range db {
		if !covered(da, e) {
			c.differ(path, "bytes %d to %d are data, want a hole; data of the origin: %v", e.start, e.end, da)
		}
	}
	// Space that was reserved shows in no map. XFS reserves of its own accord.
	if onXFS(fb) {
		return
	}
	const extra = 64 << 10 // what file systems count besides: extents, attributes
	allowed := a.Blocks * 512
	data := int64(0)
	for _, e := range da {
		data += e.end - e.start
	}
	if got := b.Blocks * 512; got > max(allowed, data)+extra {
		c.differ(path, "occupies %d bytes, want at most %d", got, max(allowed, data)+extra)
	}
}

// dataMap returns the stretches of data in whole blocks, apart from each other.
func dataMap(fd int, block int64) (data []extent, err error) {
	for off := int64(0); ; {
		start, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return data, nil
		}
		if err != nil {
			return nil, fmt.Errorf("seeking data: %w", err)
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("seeking a hole: %w", err)
		}
		off = end
		start, end = start/block*block, (end+block-1)/block*block
		if n := len(data); n > 0 && start <= data[n-1].end {
			data[n-1].end = end
		} else {
			data = append(data, extent{start, end})
		}
	}
}

func covered(data []extent, e extent) bool {
	for _, d := range data {
		if d.start <= e.start && e.end <= d.end {
			return true
		}
	}
	return false
}

func onXFS(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && st.Type == unix.XFS_SUPER_MAGIC
}
