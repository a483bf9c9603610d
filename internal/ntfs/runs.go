package ntfs

import "sort"

// run is a stretch of clusters of a stream.
type run struct {
	vcn   int64 // where in the stream it begins
	count int64
	lcn   int64 // where on the volume; hole for none
}

func (r run) end() int64 { return r.vcn + r.count }

const hole = -1

// appendRuns decodes mapping pairs, which begin at cluster vcn of the stream. Each is a byte of two lengths, the number of clusters, and how far
// they are from those of the run before, both little-endian; no distance is a hole.
func appendRuns(runs []run, b []byte, vcn, clusters int64, place string) ([]run, error) {
	lcn := int64(0)
	for len(b) > 0 && b[0] != 0 {
		nCount, nDelta := int(b[0]&15), int(b[0]>>4)
		if nCount == 0 || nCount > 8 || nDelta > 8 || 1+nCount+nDelta > len(b) {
			return nil, damaged(place, "a run with the head %#x", b[0])
		}
		count, delta := signed(b[1:1+nCount]), signed(b[1+nCount:1+nCount+nDelta])
		if count <= 0 || vcn+count < vcn || vcn+count > 1<<52 {
			return nil, damaged(place, "a run of %d clusters at %d", count, vcn)
		}
		next := run{vcn: vcn, count: count, lcn: hole}
		if nDelta > 0 {
			lcn += delta
			if lcn < 0 || lcn >= clusters || count > clusters-lcn {
				return nil, damaged(place, "a run of %d clusters at cluster %d of a volume of %d", count, lcn, clusters)
			}
			next.lcn = lcn
		}
		runs = append(runs, next)
		vcn += count
		b = b[1+nCount+nDelta:]
	}
	return runs, nil
}

func signed(b []byte) int64 {
	n := int64(0)
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | int64(b[i])
	}
	if k := 64 - 8*len(b); k > 0 && k < 64 {
		n = n << k >> k
	}
	return n
}

// runAt returns the index of the run that holds cluster vcn, or len(runs).
func runAt(runs []run, vcn int64) int {
	return sort.Search(len(runs), func(i int) bool { return vcn < runs[i].end() })
}
