package incremental

import (
	"io"
	"sync"
)

// memory lends blocks to the packs being held, so that they are allocated once.
type memory struct {
	mu   sync.Mutex
	free [][]byte
}

const blockSize = 1 << 20

func (m *memory) take() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		b := m.free[n-1]
		m.free = m.free[:n-1]
		return b
	}
	return make([]byte, blockSize)
}

func (m *memory) give(blocks [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, blocks...)
}

// A buffer holds what was written to it in borrowed blocks.
type buffer struct {
	memory *memory
	blocks [][]byte
	size   int64
}

func (b *buffer) Write(p []byte) (n int, err error) {
	for n < len(p) {
		at := int(b.size % blockSize)
		if at == 0 {
			b.blocks = append(b.blocks, b.memory.take())
		}
		k := copy(b.blocks[len(b.blocks)-1][at:], p[n:])
		n += k
		b.size += int64(k)
	}
	return n, nil
}

// ReadAt is io.ReaderAt.
func (b *buffer) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < b.size {
		at := off % blockSize
		end := min(blockSize, b.size-off+at)
		k := copy(p[n:], b.blocks[off/blockSize][at:end])
		n += k
		off += int64(k)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (b *buffer) release() {
	b.memory.give(b.blocks)
	b.blocks, b.size = nil, 0
}
