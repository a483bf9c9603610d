package restore

import "fmt"

// wounds are the ranges of a file that can't be had.
type wounds struct {
	count int // ranges; neighbours that come one after the other are one
	bytes int64
	given bool  // up: the target failed, and that is reported
	first int64 // where the first one added begins
	end   int64 // of the one added last
	why   string
}

func (x *wounds) add(off, n int64, why string) {
	switch {
	case n == 0:
		x.given = true
		return
	case x.count == 0:
		x.first, x.why = off, why
	}
	if x.count == 0 || x.end != off {
		x.count++
	}
	x.bytes += n
	x.end = off + n
}

func (x *wounds) merge(o wounds) {
	if x.count == 0 {
		x.first, x.why = o.first, o.why
	}
	x.first = min(x.first, o.first)
	x.count += o.count
	x.bytes += o.bytes
	x.end = o.end
}

func (x *wounds) String() string {
	ranges := "1 range"
	if x.count > 1 {
		ranges = fmt.Sprintf("%d ranges", x.count)
	}
	return fmt.Sprintf("%d bytes in %s can't be had, from byte %d on: %s", x.bytes, ranges, x.first, x.why)
}
