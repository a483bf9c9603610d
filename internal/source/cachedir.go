package source

import "bytes"

// CacheTag is the name of the file that marks a directory as a cache, see [Dir.IsCache].
const CacheTag = "CACHEDIR.TAG"

const cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"

// IsCache says whether d is marked as a cache by a CACHEDIR.TAG with the right first line (bford.info/cachedir). l must be d's listing.
func (d *Dir) IsCache(l *Listing) bool {
	if _, ok := l.Find([]byte(CacheTag)); !ok {
		return false
	}
	f, err := d.Open([]byte(CacheTag))
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(cacheSignature))
	n, _ := f.ReadAt(b, 0)
	return bytes.Equal(b[:n], []byte(cacheSignature))
}
