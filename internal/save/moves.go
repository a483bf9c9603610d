package save

import (
	"bytes"
	"context"
	"sync"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/source"
)

// A directory that was renamed is gone at one place and new at another, and nothing below it is named by the
// journal. It is known by its id. What is gone are orphans; what is new where its volume is carried waits until all orphans are known, and is then
// claimed: its base is the orphan, so nothing below it is read, and unless the journal named something there, not even listed.
//
// Orphans are those of the directories that were looked at, and, when that leaves some unclaimed, what is below orphans that nobody claimed: a
// directory may have been moved out of one that was deleted.
type moves struct {
	mu      sync.Mutex
	orphans map[object]orphan // by what they are; guarded by mu, as is all below
	buried  map[object]orphan // below unclaimed orphans, as far as searched
	waiting []task            // unknown entries that may be claimed
	claimed map[object]bool
}

func newMoves() moves {
	return moves{orphans: map[object]orphan{}, buried: map[object]orphan{}, claimed: map[object]bool{}}
}

// An object is a file or directory of a volume.
type object struct {
	volume *Volume
	inode  uint64
}

// An orphan is a base entry that is not in its place any more.
type orphan struct {
	entry    []byte
	scope    *source.Scope // of the excludes, inside it
	searched bool          // what is below it is in buried
}

const (
	// claimable is the size from which on a moved file is recognised: smaller ones are read as fast.
	claimable = 1 << 20
	// maxBuried is how many are known below orphans. What else was moved out of them is taken for new.
	maxBuried = 1 << 18
	// maxWaiting is how many entries may wait, since the directories they are in stay open. More are taken for new.
	maxWaiting = 1000
)

// orphaned notes a base entry of d that is gone from its name.
func (w *worker) orphaned(d *dir, raw []byte) {
	if !w.s.carries {
		return
	}
	kind, flags, inode := catalog.Identity(raw)
	if kind != catalog.Directory {
		w.forget(raw)
	}
	// The root of another file system is known by a number of that one.
	if !d.carried() || flags&catalog.MountPoint != 0 || kind != catalog.Directory && !isLarge(raw) {
		if kind == catalog.Directory {
			w.forgetBelow(raw)
		}
		return
	}
	name := catalog.EntryName(raw)
	m := &w.s.moves
	m.mu.Lock()
	defer m.mu.Unlock()
	o := object{d.volume, inode}
	if m.claimed[o] {
		return // while its directory was an orphan itself
	}
	m.orphans[o] = orphan{entry: bytes.Clone(raw), scope: d.scope.Enter(name)}
}

func isLarge(raw []byte) bool {
	e, err := catalog.ParseEntry(raw)
	return err == nil && e.Kind == catalog.File && e.Size >= claimable && !isStream(e.Name)
}

// isStream tells whether a name may be that of a stream of NTFS, which has the inode of its file: it would be taken for it.
func isStream(name []byte) bool { return bytes.IndexByte(name, ':') >= 0 }

// awaits puts off an entry that is new in d, if it may have been elsewhere in the base. Where all is new, all orphans are known
// already, as far as can be.
func (w *worker) awaits(d *dir, i int, st *source.Stat) bool {
	if !d.carried() || st.Dev != d.dev || st.Kind != source.Directory && (st.Kind != source.Regular || st.Size < claimable || isStream(d.list.Name(i))) {
		return false
	}
	m := &w.s.moves
	if d.base == nil && !m.has(object{d.volume, st.Inode}) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) >= maxWaiting {
		return false
	}
	m.waiting = append(m.waiting, task{dir: d, from: i, to: claim})
	return true
}

// release hands out what waited, when there is nothing else to do. First those whose orphans are known, for entering
// them may make more orphans; all others only when that is over.
func (s *session) release() {
	m := &s.moves
	m.mu.Lock()
	waiting := m.waiting
	m.waiting = nil
	m.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	known, others := s.sortOut(waiting)
	if len(known) == 0 {
		if err := s.searchOrphans(); err != nil {
			s.tasks.fail(err)
			return
		}
		known, others = s.sortOut(waiting)
	}
	if len(known) == 0 {
		known, others = others, nil
	}
	m.mu.Lock()
	m.waiting = append(m.waiting, others...)
	m.mu.Unlock()
	for _, t := range known {
		s.tasks.push(t)
	}
}

func (s *session) sortOut(waiting []task) (known, others []task) {
	for _, t := range waiting {
		if s.moves.has(object{t.dir.volume, t.dir.list.Inode(t.from)}) {
			known = append(known, t)
		} else {
			others = append(others, t)
		}
	}
	return known, others
}

func (m *moves) has(o object) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, a := m.orphans[o]
	_, b := m.buried[o]
	return a || b
}

// take claims the orphan, if there is one.
func (m *moves) take(o object, kind catalog.Kind) (orphan, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := m.orphans
	x, ok := from[o]
	if !ok {
		from = m.buried
		x, ok = from[o]
	}
	if !ok {
		return orphan{}, false
	}
	if k, _, _ := catalog.Identity(x.entry); k != kind {
		return orphan{}, false // the number was given to something else
	}
	delete(from, o)
	m.claimed[o] = true
	return x, true
}

// claim looks at an entry that waited.
func (w *worker) claim(d *dir, i int) error {
	var st source.Stat
	if err := d.src.Stat(d.list, i, &st); err != nil {
		w.unreadable(d, i, err)
		return w.done(d, 1)
	}
	x, ok := w.s.moves.take(object{d.volume, st.Inode}, catalog.Kind(st.Kind))
	if st.Kind == source.Directory {
		if !ok {
			d.slots[i] = nil
			return w.enter(d, i)
		}
		return w.enterMoved(d, i, x)
	}
	if ok {
		w.moved = x.entry
		defer func() { w.moved = nil }()
	}
	if err := w.item(d, i, &st); err != nil {
		return err
	}
	return w.done(d, 1)
}

// searchOrphans looks for what is below orphans that nobody claimed.
func (s *session) searchOrphans() error {
	m := &s.moves
	m.mu.Lock()
	defer m.mu.Unlock()
	for o, x := range m.orphans {
		if x.searched {
			continue
		}
		x.searched = true
		m.orphans[o] = x
		if kind, _, _ := catalog.Identity(x.entry); kind != catalog.Directory {
			continue
		}
		if err := m.bury(s, o.volume, x); err != nil {
			return err
		}
	}
	return nil
}

// bury notes the directories and large files below an orphan.
func (m *moves) bury(s *session, v *Volume, x orphan) error {
	e, err := catalog.ParseEntry(x.entry)
	if err != nil {
		return err
	}
	c := catalog.NewCursor(context.Background(), s.cfg.Base.Loader, e.Node)
	for raw := c.Next(); raw != nil; raw = c.Next() {
		kind, flags, inode := catalog.Identity(raw)
		if flags&catalog.MountPoint != 0 || kind != catalog.Directory && !isLarge(raw) {
			continue
		}
		o := object{v, inode}
		if m.claimed[o] {
			continue
		}
		if len(m.buried) >= maxBuried {
			return nil
		}
		below := orphan{entry: bytes.Clone(raw), scope: x.scope.Enter(catalog.EntryName(raw))}
		m.buried[o] = below
		if kind == catalog.Directory {
			if err := m.bury(s, v, below); err != nil {
				return err
			}
		}
	}
	if s.lost(c.Err()) {
		return nil
	}
	return c.Err()
}

// Totals. A run that carries begins with the base's counts, and takes off them what it looks at itself.

// forget takes a base entry, not what is below it, off the counts.
func (w *worker) forget(raw []byte) {
	if !w.s.carries || raw == nil {
		return
	}
	e, err := catalog.ParseEntry(raw)
	if err != nil {
		return
	}
	count(&w.count, &e, -1)
}

func count(c *catalog.Stats, e *catalog.Entry, n int64) {
	switch e.Kind {
	case catalog.File:
		c.Files += n
		c.Bytes += n * e.Size
		c.Unchanged += n
	case catalog.Directory:
		c.Directories += n
	default:
		c.Others += n
		c.Unchanged += n
	}
}

// forgetBelow takes a directory and all below it off the counts.
func (w *worker) forgetBelow(raw []byte) {
	e, err := catalog.ParseEntry(raw)
	if err != nil {
		return
	}
	count(&w.count, &e, -1)
	w.s.subtract(&w.count, nil, e.Node)
}

// subtract takes what is below a node of the base off the counts, but for directories of v that were claimed.
func (s *session) subtract(c *catalog.Stats, v *Volume, node pack.ID) {
	cur := catalog.NewCursor(context.Background(), s.cfg.Base.Loader, node)
	for raw := cur.Next(); raw != nil; raw = cur.Next() {
		e, err := catalog.ParseEntry(raw)
		if err != nil {
			return
		}
		if e.Kind == catalog.Directory && v != nil && s.moves.claimed[object{v, e.Inode}] {
			continue
		}
		count(c, &e, -1)
		if e.Kind == catalog.Directory {
			s.subtract(c, v, e.Node)
		}
	}
	s.lost(cur.Err()) // counts are for people: what can't be read any more is not counted off
}

// unclaimed is what the orphans that nobody claimed, and all below them, take off the counts.
func (s *session) unclaimed() (c catalog.Stats) {
	m := &s.moves
	m.mu.Lock()
	defer m.mu.Unlock()
	for o, x := range m.orphans {
		e, err := catalog.ParseEntry(x.entry)
		if err != nil || e.Kind != catalog.Directory {
			continue
		}
		count(&c, &e, -1)
		s.subtract(&c, o.volume, e.Node)
	}
	return c
}
