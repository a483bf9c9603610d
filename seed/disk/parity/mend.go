package parity

import (
	"context"
	"errors"
	"io/fs"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
)

// A mask says which blocks of a window: bit b is block b.
type mask uint64

func maskOf(from, to int) mask { return mask(1)<<to - mask(1)<<from } // a shift by 64 gives 0
func (m mask) has(b int) bool  { return m>>b&1 != 0 }
func (m mask) count() int      { return bits.OnesCount64(uint64(m)) }
func (m mask) first() int      { return bits.TrailingZeros64(uint64(m)) }
func (m mask) end() int        { return bits.Len64(uint64(m)) }

// runs calls each with the runs of adjoining blocks.
func (m mask) runs(each func(from, to int)) {
	for m != 0 {
		from := m.first()
		to := from + bits.TrailingZeros64(^uint64(m>>from))
		each(from, to)
		m &^= maskOf(from, to)
	}
}

const (
	// depth is how many groups are gone through from one to the other for a block: row, disk, row, disk.
	depth = 4
	// effort is how many windows of files are read at most to mend one, which bounds the time. Two parity disks and a disk with damage in every group take a few hundred;
	// tables that were made to keep us busy would take any number.
	effort = 4096
	// ahead is how many members of a row are read at once: each is on another disk. Those on one disk are read one after the other, since a
	// disk that turns is best read so.
	ahead = 8
)

// A way is the groups by which a window is being mended, none twice, and what effort is left.
type way struct {
	groups []*Group
	left   *atomic.Int64
}

func (w way) through(g *Group) way { return way{append(slices.Clip(w.groups), g), w.left} }

// direct reads the wanted blocks of a window into their places in buf, from whatever source has them right by the table's sums. It tells which it
// got; the others' places may hold anything. It fails only when ctx is done.
func (s *Set) direct(ctx context.Context, t *Table, row int, name string, at int64, wanted mask, buf []byte) (good mask, err error) {
	size := t.size(row) - at*Window
	for i := range s.sources {
		(wanted &^ good).runs(func(from, to int) {
			lo, hi := int64(from)*Block, min(int64(to)*Block, size)
			n := s.readRun(ctx, i, name, buf[lo:hi], at*Window+lo)
			for b := from; b < to; b++ {
				end := min(int64(b+1)*Block, size)
				if end <= lo+int64(n) && t.good(row, at*(Window/Block)+int64(b), buf[int64(b)*Block:end]) {
					good |= 1 << b
				} else if to-from > 1 && ctx.Err() == nil && end > lo+int64(n) && !s.isAbsent(i, name) {
					// A bad sector fails the whole read: what is around it may be good.
					part := buf[int64(b)*Block : end]
					if s.readRun(ctx, i, name, part, at*Window+int64(b)*Block) == len(part) && t.good(row, at*(Window/Block)+int64(b), part) {
						good |= 1 << b
					}
				}
			}
		})
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if good == wanted {
			break
		}
	}
	return good, nil
}

// readRun reads from one source and returns how many bytes it got.
func (s *Set) readRun(ctx context.Context, source int, name string, p []byte, off int64) int {
	if s.isAbsent(source, name) {
		return 0
	}
	n, err := s.sources[source].ReadAt(ctx, name, p, off)
	if n < len(p) && errors.Is(err, fs.ErrNotExist) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.absent[key{source, name}] = true
	}
	return n
}

func (s *Set) isAbsent(source int, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent[key{source, name}]
}

// mend makes bad blocks of a window by the groups that the file is in, but not by those on the way here: first by what can be read, then by what
// must itself be mended, up to that depth. It tells which it got, in their places in buf. It fails only when ctx is done.
func (s *Set) mend(ctx context.Context, name string, at int64, bad mask, buf []byte, depth int, way way) (good mask, err error) {
	for d := 1; d <= depth && good != bad; d++ {
		for _, p := range s.members[name] {
			if good == bad || way.left.Load() <= 0 || slices.Contains(way.groups, p.group) {
				continue
			}
			t, err := s.table(ctx, p.group)
			if err != nil {
				return 0, err
			}
			need := bad &^ good
			if t != nil {
				need &= maskOf(0, t.blocks(p.row, at)) // tables need not agree on how long the file is
			}
			if t == nil || need == 0 {
				continue
			}
			g := &solver{Set: s, table: t, row: p.row, at: at, need: need, depth: d, way: way.through(p.group)}
			more, err := g.solve(ctx, buf)
			if err != nil {
				return 0, err
			}
			good |= more
		}
	}
	return good, nil
}

// A solver mends a window of one member by one group.
type solver struct {
	*Set
	table *Table
	row   int
	at    int64
	need  mask
	depth int
	way   way

	mu   sync.Mutex
	sums [][]byte // for each shard what it adds up to of the good members, and itself once it was read; guarded by mu, as is bad
	bad  []mask   // for each member and shard, which of the needed blocks are not added
}

func (g *solver) solve(ctx context.Context, buf []byte) (good mask, err error) {
	defer g.release()
	g.bad = make([]mask, len(g.table.Members)+len(g.table.Shards))
	for range g.table.Shards {
		w := g.memory.Get()
		clear(w[g.need.first()*Block : g.need.end()*Block])
		g.sums = append(g.sums, w)
	}
	for i := range g.bad {
		g.bad[i] = g.need
	}
	if err := g.readMembers(ctx); err != nil {
		return 0, err
	}
	for j := range g.table.Shards {
		if err := g.readRow(ctx, len(g.table.Members)+j, g.open()); err != nil {
			return 0, err
		}
	}
	if g.depth > 1 && g.open() != 0 {
		if err := g.mendOthers(ctx); err != nil {
			return 0, err
		}
	}
	return g.finish(buf, g.need&^g.open()), nil
}

func (g *solver) release() {
	for _, w := range g.sums {
		g.memory.Put(w)
	}
}

// readMembers adds what can be read of the other members.
func (g *solver) readMembers(ctx context.Context) error {
	e, ctx := errgroup.WithContext(ctx)
	e.SetLimit(1)
	if g.table.Across() {
		e.SetLimit(ahead)
	}
	for i := range g.table.Members {
		if i != g.row {
			e.Go(func() error { return g.readRow(ctx, i, g.need) })
		}
	}
	return e.Wait()
}

// readRow adds what can be read of a member or shard.
func (g *solver) readRow(ctx context.Context, row int, wanted mask) error {
	there := wanted & maskOf(0, g.table.blocks(row, g.at))
	got := wanted &^ there // behind a member's end there are zeros
	if there == 0 || g.way.left.Add(-1) < 0 {
		g.settle(row, got, nil)
		return nil
	}
	buf := g.memory.Get()
	defer g.memory.Put(buf)
	good, err := g.direct(ctx, g.table, row, g.name(row), g.at, there, buf)
	if err != nil {
		return err
	}
	g.settle(row, got, nil)
	g.settle(row, good, buf)
	return nil
}

// blocks is how many blocks a row has in a window.
func (t *Table) blocks(row int, at int64) int {
	return int(blocksOf(max(min(t.size(row)-at*Window, Window), 0)))
}

func (g *solver) name(row int) string {
	n := len(g.table.Members)
	if row < n {
		return g.table.Members[row].Name
	}
	return manifest.ParityShardName(g.table.Machine, g.table.Group, g.table.Shards[row-n].Index)
}

// settle adds good blocks of a row, or none when they are zeros.
func (g *solver) settle(row int, good mask, buf []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	good &= g.bad[row]
	g.bad[row] &^= good
	if buf == nil {
		return
	}
	n := len(g.table.Members)
	good.runs(func(from, to int) {
		lo, hi := from*Block, int(min(int64(to)*Block, g.table.size(row)-g.at*Window))
		if row >= n {
			addTimes(g.sums[row-n][lo:], buf[lo:hi], 1)
		} else {
			add(g.sums, g.indices(), g.table.Members[row].Index, lo, buf[lo:hi])
		}
	})
}

func (g *solver) indices() (index []int) {
	for _, s := range g.table.Shards {
		index = append(index, s.Index)
	}
	return index
}

// lacks is how many shards a block still needs: one for each bad member.
func (g *solver) lacks(b int) (n int) {
	for row, bad := range g.bad {
		switch member := row < len(g.table.Members); {
		case member && bad.has(b):
			n++
		case !member && !bad.has(b):
			n--
		}
	}
	return n
}

// open are the needed blocks that can't be solved yet.
func (g *solver) open() (open mask) {
	for b := g.need.first(); b < g.need.end(); b++ {
		if g.need.has(b) && g.lacks(b) > 0 {
			open |= 1 << b
		}
	}
	return open
}

// mendOthers adds what other groups can mend of this one's members and shards, until nothing is open or hope is lost.
func (g *solver) mendOthers(ctx context.Context) error {
	lost := make([]int, 64) // for each block, how many rows are lost beside the one that is wanted
	buf := g.memory.Get()
	defer g.memory.Put(buf)
	for row := range g.bad {
		todo := g.open() & g.bad[row]
		for b, n := range lost {
			if n >= len(g.table.Shards) {
				todo &^= 1 << b
			}
		}
		if row == g.row || todo == 0 {
			continue
		}
		good, err := g.mend(ctx, g.name(row), g.at, todo, buf, g.depth-1, g.way)
		if err != nil {
			return err
		}
		good = g.right(row, good, buf)
		g.settle(row, good, buf)
		for b := range lost {
			if (todo &^ good).has(b) {
				lost[b]++
			}
		}
	}
	return nil
}

// right are those of the good blocks that are right by this group's sums, too: a shard's file goes on where the shard has ended, and tables
// may differ.
func (g *solver) right(row int, good mask, buf []byte) (right mask) {
	size := g.table.size(row) - g.at*Window
	for b := range 64 {
		if lo := int64(b) * Block; good.has(b) && lo < size && g.table.good(row, g.at*(Window/Block)+int64(b), buf[lo:min(lo+Block, size)]) {
			right |= 1 << b
		}
	}
	return right
}

// finish solves blocks and tells which came out right.
func (g *solver) finish(buf []byte, blocks mask) mask {
	n := len(g.table.Members)
	size := g.table.size(g.row) - g.at*Window
	var last, shards, bad []int
	var factors []byte
	for b := range 64 {
		if !blocks.has(b) {
			continue
		}
		shards, bad = shards[:0], bad[:0]
		at := 0
		for row := range n {
			if g.bad[row].has(b) {
				if row == g.row {
					at = len(bad)
				}
				bad = append(bad, g.table.Members[row].Index)
			}
		}
		for j := 0; len(shards) < len(bad); j++ {
			if !g.bad[n+j].has(b) {
				shards = append(shards, j)
			}
		}
		if pattern := append(slices.Clone(shards), bad...); !slices.Equal(pattern, last) {
			index := make([]int, len(shards))
			for k, j := range shards {
				index[k] = g.table.Shards[j].Index
			}
			last, factors = pattern, solution(index, bad, at)
		}
		lo := int64(b) * Block
		out := buf[lo:min(lo+Block, size)]
		clear(out)
		for k, j := range shards {
			addTimes(out, g.sums[j][lo:lo+int64(len(out))], factors[k])
		}
	}
	return g.right(g.row, blocks, buf)
}
