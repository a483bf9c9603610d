package restore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
)

// A batch is a part of the tree that is restored together.
//
//	items   entries, in the catalogue's order
//	refs    the chunks they need, sorted by pack, frame, item, place in the file
//	jobs    what a worker takes at a time: the refs of one frame, or a range of plain
type batch struct {
	items []item
	refs  []ref
	plain []int32 // items that need no chunk
	jobs  []job
	held  []*file // to be let go of once the jobs are made
	arena []byte  // entries are cut from it
}

// An item is an entry to be made in the target.
type item struct {
	dir     *dir
	entry   catalog.Entry
	file    *file // when its pieces come from several frames
	link    *link // when it has other names
	replace bool  // what is there under its name is from a run that power loss may have cut short
}

// A ref is a chunk's place in a file and in a pack.
type ref struct {
	id   pack.ID
	loc  index.Loc
	off  int64
	item int32
}

type job struct {
	frame    bool // of refs, else of plain
	from, to int
}

// Limits of a batch: about 12 MiB of memory, and some GiB of content. The first ones are smaller, so
// that workers don't wait.
const (
	maxItems = 16 << 10
	// Frames that two batches need are read twice: that costs more over a network.
	maxFarItems = 32 << 10
	maxRefs     = 64 << 10
	firstItems  = 1 << 10
	plainJob    = 64
)

func newBatch(items int) *batch {
	return &batch{items: make([]item, 0, items), refs: make([]ref, 0, items)}
}

// clone copies an encoded entry, so that the batch doesn't hold on to the frame of the catalogue that it came in.
func (b *batch) clone(raw []byte) []byte {
	const block = 64 << 10
	if cap(b.arena)-len(b.arena) < len(raw) {
		b.arena = make([]byte, 0, max(block, len(raw)))
	}
	at := len(b.arena)
	b.arena = append(b.arena, raw...)
	return b.arena[at:len(b.arena):len(b.arena)]
}

// arrange sorts the refs, makes jobs, and counts the frames that files need.
func (r *run) arrange(b *batch) {
	slices.SortFunc(b.refs, func(x, y ref) int {
		return cmp.Or(bytes.Compare(x.loc.Pack[:], y.loc.Pack[:]), cmp.Compare(x.loc.Frame, y.loc.Frame),
			cmp.Compare(x.item, y.item), cmp.Compare(x.off, y.off))
	})
	for at := 0; at < len(b.plain); at += plainJob {
		b.jobs = append(b.jobs, job{false, at, min(at+plainJob, len(b.plain))})
	}
	frames := make([]int32, len(b.items))
	for at := 0; at < len(b.refs); {
		end := at
		for end < len(b.refs) && sameFrame(&b.refs[at].loc, &b.refs[end].loc) {
			if end == at || b.refs[end].item != b.refs[end-1].item {
				frames[b.refs[end].item]++
			}
			end++
		}
		b.jobs = append(b.jobs, job{true, at, end})
		at = end
	}
	for i, n := range frames {
		it := &b.items[i]
		if it.file == nil && n > 1 {
			it.file = r.newFile(it)
		}
		if it.file != nil {
			it.file.left.Add(n)
		}
	}
}

func sameFrame(a, b *index.Loc) bool { return a.Frame == b.Frame && a.Pack == b.Pack }

// A queue hands out jobs. There are at most three batches at a time: one being planned, one being
// handed out, and the last jobs of the one before.
type queue struct {
	batches chan *batch
	mu      sync.Mutex // guards current
	current *batch
}

// A load is what a worker is given: jobs of one batch. None when there are no more.
type load struct {
	batch   *batch
	jobs    []job
	fetched *domain.Fetched // the frames of the jobs, when they were read ahead
}

// next waits for a load of one job.
func (q *queue) next(ctx context.Context) (load, error) {
	return q.take(ctx, func(*batch, *job) bool { return false })
}

// take waits for a load of one job, and of those behind it as long as all fit.
func (q *queue) take(ctx context.Context, fits func(*batch, *job) bool) (load, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.current == nil || len(q.current.jobs) == 0 {
		select {
		case <-ctx.Done():
			return load{}, ctx.Err()
		case b, ok := <-q.batches:
			if !ok {
				return load{}, ctx.Err()
			}
			q.current = b
		}
	}
	jobs, n := q.current.jobs, 1
	if fits(q.current, &jobs[0]) {
		for n < len(jobs) && fits(q.current, &jobs[n]) {
			n++
		}
	}
	q.current.jobs = jobs[n:]
	return load{batch: q.current, jobs: jobs[:n]}, ctx.Err()
}
