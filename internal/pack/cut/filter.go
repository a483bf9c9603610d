package cut

import "encoding/binary"

// narrow is how many bytes before a place decide whether it is marked.
const narrow = 8

// limit lets one hash in 1024 pass: as signed numbers, those below it are the ones
// whose upper ten bits are 1000000000.
const limit = -1<<31 + 1<<22

// A filter marks places by a hash that vector units compute without tables. Its
// quality matters little, its marks are weighed by a better one; but the difference
// in it is zero, and so marks nothing, where bytes repeat with period 1, 2 or 4. There every
// place would be marked or none, and weighing them all would be slow.
type filter struct {
	factor, addend uint32
}

func (f filter) marked(b []byte) bool {
	x, y := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	return int32((x-y)*(y*f.factor+f.addend)) < limit
}

// next returns the first i for which b[i:i+narrow] marks its end, or -1.
func (f filter) next(b []byte) int {
	i, found := f.skim(b)
	if found {
		return i
	}
	return f.walk(b, i)
}

// walk does what next does, from i on, one place at a time.
func (f filter) walk(b []byte, i int) int {
	for ; i+narrow <= len(b); i++ {
		if f.marked(b[i : i+narrow]) {
			return i
		}
	}
	return -1
}
