package usn

import (
	"cmp"
	"slices"

	"waybill/incremental/journal"
)

// maxRanges is how many ranges of a file are kept; with more, all of it is read.
const maxRanges = 1 << 16

// ranges are the parts of a file that changed. Windows writes them when the file is closed, right before its CLOSE: all since it was opened,
// in whole chunks, and only of large files.
type ranges struct {
	list []journal.Range
	done bool // the last record has no more to follow: the CLOSE they belong to is next
}

// addRanges takes note of a record of version 4.
func (c *change) addRanges(r *Record) {
	if c.ranges == nil {
		c.ranges = &ranges{}
	}
	var ok bool
	c.ranges.list, ok = r.Ranges(c.ranges.list)
	if len(c.ranges.list) > maxRanges {
		c.ranges.list = c.ranges.merged()
	}
	if !ok || len(r.extents) == 0 || len(c.ranges.list) > maxRanges {
		c.whole, c.ranges.list = true, nil
	}
	c.ranges.done = r.Remaining == 0
}

// checkRanges tells whether ranges cover what a record of another version says. They do if nothing but overwriting happened, all ranges of
// this opening came, and they were tracked when it began.
func (c *change) checkRanges(r *Record, tracks bool) {
	told := c.ranges != nil && c.ranges.done && c.tracked && !c.left
	switch content := r.Reason &^ onMetadata; {
	case content&^dataOverwrite != 0:
		c.whole = true
	case content != 0 && r.Reason&closed != 0 && !told:
		c.whole = true
	}
	if c.ranges != nil {
		c.ranges.done = false
	}
	if r.Reason&closed != 0 {
		c.tracked = tracks
	}
}

// merged returns the ranges in order, those that touch as one. There are none only if none were told.
func (x *ranges) merged() []journal.Range {
	slices.SortFunc(x.list, func(a, b journal.Range) int { return cmp.Compare(a.Off, b.Off) })
	out := []journal.Range{}
	for _, r := range x.list {
		if n := len(out); n > 0 && r.Off <= out[n-1].Off+out[n-1].Len {
			out[n-1].Len = max(out[n-1].Len, r.Off+r.Len-out[n-1].Off)
			continue
		}
		out = append(out, r)
	}
	return out
}
