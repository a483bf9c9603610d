package fault

// flash is a counterfeit disk's memory. It gives each block that is written for the first time the next place, and
// takes the place modulo its real size: what was there before is gone, and its owner reads the new.
type flash struct {
	places map[block]int64
	next   int64
	bytes  []byte
}

type block struct {
	ino   uint64
	index int64
}

const blockSize = 4096

// at calls each with the block, and the part of it, that every piece of n bytes at off lies in.
func at(n int, off int64, each func(index int64, within, from, to int)) {
	for done := 0; done < n; {
		pos := off + int64(done)
		within := int(pos % blockSize)
		size := min(blockSize-within, n-done)
		each(pos/blockSize, within, done, done+size)
		done += size
	}
}

func (f *flash) write(ino uint64, p []byte, off, realSize int64) {
	blocks := max(realSize/blockSize, 1)
	if int64(len(f.bytes)) != blocks*blockSize {
		*f = flash{places: map[block]int64{}, bytes: make([]byte, blocks*blockSize)}
	}
	at(len(p), off, func(index int64, within, from, to int) {
		b := block{ino, index}
		place, ok := f.places[b]
		if !ok {
			place = f.next % blocks
			f.next++
			f.places[b] = place
		}
		copy(f.bytes[place*blockSize+int64(within):], p[from:to])
	})
}

// read puts what the flash has in the place of what was written.
func (f *flash) read(ino uint64, p []byte, off int64) {
	at(len(p), off, func(index int64, within, from, to int) {
		if place, ok := f.places[block{ino, index}]; ok {
			copy(p[from:to], f.bytes[place*blockSize+int64(within):])
		}
	})
}

// forget drops a file.
func (f *flash) forget(ino uint64) {
	for b := range f.places {
		if b.ino == ino {
			delete(f.places, b)
		}
	}
}
