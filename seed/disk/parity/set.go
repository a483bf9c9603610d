package parity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"waybill/manifest"
)

// A LostError says that a file, or the part of it that was wanted, is damaged beyond what parity can mend.
type LostError struct{ Name string }

func (e *LostError) Error() string {
	return e.Name + " is lost: more is damaged than parity can mend"
}

// A Set reads files from whatever sources have them and mends what is bad, on the way; it changes nothing on the sources. It takes
// them to be what they were when it was opened. It is safe for concurrent use. Beside the heads of all groups it keeps some tables and
// windows in memory: some twenty windows of 4 MiB and, for each reader that waits for mending, the windows of a few groups' shards.
type Set struct {
	sources []Source
	members map[string][]place
	flaws   []error
	mended  atomic.Int64
	turns   chan struct{} // as many as may mend at once
	memory  *Buffers
	effort  int64 // how many windows of files are read at most to mend one

	mu      sync.Mutex
	tables  []*Table        // those used last, in order of use; guarded by mu, as are all below
	broken  map[string]bool // groups without a table
	windows []*window       // those mended last
	absent  map[key]bool    // which source lacks which file
}

// A place is a file's in a group.
type place struct {
	group *Group
	row   int
}

type key struct {
	source int
	name   string
}

// A window is what was mended of a file.
type window struct {
	name string
	at   int64
	b    []byte
	good mask
}

// Window is how many bytes of a file are mended at a time.
const Window = 64 * Block

const (
	keepTables  = 32 << 20 // bytes
	keepWindows = 4
	menders     = 2
)

// Open finds the parity of a machine's disks. What is damaged of it costs only its own groups: see Flaws. It fails when ctx is done.
func Open(ctx context.Context, machine manifest.ID, sources []Source) (*Set, error) {
	groups, flaws, err := Groups(ctx, machine, sources)
	if err != nil {
		return nil, fmt.Errorf("opening parity: %w", err)
	}
	s := &Set{sources: sources, members: map[string][]place{}, flaws: flaws, turns: make(chan struct{}, menders),
		memory: NewBuffers(Window), effort: effort,
		broken: map[string]bool{}, absent: map[key]bool{}}
	for _, across := range []bool{false, true} { // within a disk is tried first
		for _, g := range groups {
			if g.Across() != across {
				continue
			}
			for row, m := range g.Members {
				s.members[m.Name] = append(s.members[m.Name], place{g, row})
			}
		}
	}
	return s, nil
}

// Flaws are what was found wrong with tables and listings.
func (s *Set) Flaws() []error { return s.flaws }

// Covers tells whether a file is a member of a group.
func (s *Set) Covers(name string) bool { return len(s.members[name]) > 0 }

// Size is the size of a file that is covered, as its group has it; 0 for others.
func (s *Set) Size(name string) int64 {
	if !s.Covers(name) {
		return 0
	}
	p := s.members[name][0]
	return p.group.size(p.row)
}

// Mended counts the blocks that were mended.
func (s *Set) Mended() int64 { return s.mended.Load() }

// ReadAt is io.ReaderAt on a file, mended where it must be: *LostError where it can't. A file that isn't covered is read as it is from the first source that
// can. What is read agrees with the checksums of the parity, no more: whoever knows what the file should be must check.
func (s *Set) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	table, row, err := s.tableOf(ctx, name)
	if err != nil {
		return 0, err
	}
	if table == nil {
		return s.plain(ctx, name, p, off)
	}
	size := table.size(row)
	if off < 0 {
		return 0, fmt.Errorf("reading %s: negative offset", name)
	}
	for n < len(p) && off < size {
		m, err := s.read(ctx, name, table, row, p[n:], off)
		n, off = n+m, off+int64(m)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// read reads the part of p that is in one window.
func (s *Set) read(ctx context.Context, name string, t *Table, row int, p []byte, off int64) (int, error) {
	at, size := off/Window, t.size(row)
	n := int(min(int64(len(p)), size-off, (at+1)*Window-off))
	from, to := int(off-at*Window), int(off-at*Window)+n
	wanted := maskOf(from/Block, (to+Block-1)/Block)
	if w := s.kept(name, at); w != nil && w.good&wanted == wanted {
		return copy(p, w.b[from:to]), nil
	}
	buf := s.memory.Get()
	defer s.memory.Put(buf)
	good, err := s.direct(ctx, t, row, name, at, wanted, buf)
	if err != nil {
		return 0, err
	}
	if good == wanted {
		return copy(p, buf[from:to]), nil
	}
	w, err := s.whole(ctx, name, t, row, at)
	if err != nil {
		return 0, err
	}
	if w.good&wanted != wanted {
		return 0, &LostError{name}
	}
	return copy(p, w.b[from:to]), nil
}

// plain reads a file that no group has.
func (s *Set) plain(ctx context.Context, name string, p []byte, off int64) (int, error) {
	var errs error
	for _, src := range s.sources {
		n, err := src.ReadAt(ctx, name, p, off)
		if n == len(p) || errors.Is(err, io.EOF) {
			return n, err
		}
		errs = errors.Join(errs, err)
	}
	return 0, fmt.Errorf("reading %s: %w", name, errs)
}

// tableOf is the table of the first of a file's groups that has one; nil when none has.
func (s *Set) tableOf(ctx context.Context, name string) (*Table, int, error) {
	for _, p := range s.members[name] {
		t, err := s.table(ctx, p.group)
		if err != nil || t != nil {
			return t, p.row, err
		}
	}
	return nil, 0, nil
}

// table reads a group's table, or has it still; nil when it is damaged. It fails when ctx is done.
func (s *Set) table(ctx context.Context, g *Group) (*Table, error) {
	s.mu.Lock()
	i := slices.IndexFunc(s.tables, func(t *Table) bool { return t.Group == g.Name })
	if i >= 0 {
		t := s.tables[i]
		s.tables = append(slices.Delete(s.tables, i, i+1), t)
		s.mu.Unlock()
		return t, nil
	}
	broken := s.broken[g.Name]
	s.mu.Unlock()
	if broken {
		return nil, nil
	}
	t, err := g.ReadTable(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.broken[g.Name] = true
		return nil, nil
	}
	s.tables = append(s.tables, t)
	total := 0
	for i := len(s.tables) - 1; i >= 0; i-- {
		if total += len(s.tables[i].bytes); total > keepTables && i < len(s.tables)-1 {
			s.tables = slices.Delete(s.tables, 0, i+1)
			break
		}
	}
	return t, nil
}

func (s *Set) kept(name string, at int64) *window {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.windows {
		if w.name == name && w.at == at {
			return w
		}
	}
	return nil
}

// whole mends a window and keeps it: whoever reads on needs the rest.
func (s *Set) whole(ctx context.Context, name string, t *Table, row int, at int64) (*window, error) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if w := s.kept(name, at); w != nil {
		return w, nil
	}
	size := min(t.size(row)-at*Window, Window)
	w := &window{name: name, at: at, b: make([]byte, size, blocksOf(size)*Block)}
	all := maskOf(0, int(blocksOf(size)))
	var err error
	if w.good, err = s.direct(ctx, t, row, name, at, all, w.b); err != nil {
		return nil, err
	}
	var left atomic.Int64
	left.Store(s.effort)
	mended, err := s.mend(ctx, name, at, all&^w.good, w.b, depth, way{left: &left})
	if err != nil {
		return nil, err
	}
	w.good |= mended
	s.mended.Add(int64(mended.count()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.windows = append(s.windows, w)
	if len(s.windows) > keepWindows {
		s.windows = slices.Delete(s.windows, 0, 1)
	}
	return w, nil
}
