package usn

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// maxWitnesses is how many files a cursor keeps with their last USNs.
	maxWitnesses = 32
	// witnessed is how many bytes of records they are chosen from.
	witnessed = 256 << 10
)

// witnesses are files whose last records lie shortly before a position, spread over that stretch, as a mark ends with them: after a colon each file's id, a dot
// and its last USN, with commas in between. As long as nothing happens to them, the file table says the same. In a volume that was set back to before that, and
// went on, other records have these numbers.
func (j *Journal) witnesses(ctx context.Context, info Info, position uint64) string {
	if info.Wide {
		return ""
	}
	start := max(info.First, info.LowestValid)
	if position > start+witnessed {
		start = (position - witnessed) &^ (pageSize - 1)
	}
	last := map[ID]uint64{}
	err := j.each(ctx, info, start, position, func(r *Record) error {
		if r.Reason&fileDelete != 0 {
			delete(last, r.File)
		} else if r.Major != 4 {
			last[r.File] = r.USN
		}
		return nil
	})
	if err != nil || len(last) == 0 {
		return "" // then a wrap means a scan
	}
	ids := slices.SortedFunc(maps.Keys(last), func(a, b ID) int { return cmp.Compare(last[a], last[b]) })
	var list []string
	for i := range min(maxWitnesses, len(ids)) {
		id := ids[i*len(ids)/min(maxWitnesses, len(ids))]
		list = append(list, fmt.Sprintf("%x.%x", id.Low, last[id]))
	}
	return ":" + strings.Join(list, ",")
}

// readWitnesses reads them from a mark. What makes no sense is none.
func readWitnesses(s string) map[ID]uint64 {
	seen := map[ID]uint64{}
	for one := range strings.SplitSeq(s, ",") {
		var id ID
		var usn uint64
		if _, err := fmt.Sscanf(one, "%x.%x", &id.Low, &usn); err == nil {
			seen[id] = usn
		}
	}
	return seen
}
