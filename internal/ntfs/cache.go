package ntfs

import (
	"io"
	"sync"
)

// Records that are asked for together mostly lie together; blocks of indexes lie anywhere.
const (
	recordChunk  = 32 << 10
	recordChunks = 768 // 24 MiB
	blockChunk   = 8 << 10
	blockChunks  = 1024 // 8 MiB
)

// cache keeps the parts of a device that were read last, in a fixed number of chunks. It replaces the chunk that
// wasn't used for longest, nearly: a hand goes round and spares those used since it last passed.
type cache struct {
	r      io.ReaderAt
	size   int64
	grain  int64 // bytes of a chunk
	atMost int   // chunks

	mu     sync.Mutex // guards what follows
	chunks map[int64]*chunk
	ring   []*chunk
	hand   int
}

// chunk is filled once and never changed: who holds it may read it while it is being replaced.
type chunk struct {
	n    int64
	used bool // under cache.mu
	once sync.Once
	data []byte
	err  error
}

func newCache(r io.ReaderAt, size, grain int64, atMost int) *cache {
	return &cache{r: r, size: size, grain: grain, atMost: atMost, chunks: map[int64]*chunk{}}
}

// ReadAt is [io.ReaderAt]; io.EOF at the end of the device.
func (c *cache) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at < 0 || at >= c.size {
			return n, io.EOF
		}
		k := c.get(at / c.grain)
		k.once.Do(func() { k.fill(c) })
		if k.err != nil {
			c.forget(k)
			return n, k.err
		}
		m := copy(p[n:], k.data[min(at%c.grain, int64(len(k.data))):])
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

func (k *chunk) fill(c *cache) {
	start := k.n * c.grain
	b := make([]byte, min(c.grain, c.size-start))
	n, err := c.r.ReadAt(b, start)
	if err == io.EOF {
		err = nil
	}
	k.data, k.err = b[:n], err
}

func (c *cache) get(n int64) *chunk {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.chunks[n]
	if k != nil {
		k.used = true
		return k
	}
	k = &chunk{n: n}
	c.chunks[n] = k
	if len(c.ring) < c.atMost {
		c.ring = append(c.ring, k)
		return k
	}
	for c.ring[c.hand].used {
		c.ring[c.hand].used = false
		c.hand = (c.hand + 1) % c.atMost
	}
	if old := c.ring[c.hand]; c.chunks[old.n] == old {
		delete(c.chunks, old.n)
	}
	c.ring[c.hand] = k
	c.hand = (c.hand + 1) % c.atMost
	return k
}

// forget has a chunk that couldn't be read tried again the next time.
func (c *cache) forget(k *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chunks[k.n] == k {
		delete(c.chunks, k.n)
	}
}
