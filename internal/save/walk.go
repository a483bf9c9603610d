package save

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/source"
)

// A dir is a directory on its way to a node. Its listing and slots are written by the
// workers that have a task of it, each in its own range.
type dir struct {
	parent  *dir
	slot    int // its place in the parent
	src     *source.Dir
	list    *source.Listing
	slots   [][]byte // encoded entries by place in the listing; first the base's, nil where there is none
	kids    []*dir   // directories below that are live, by slot; guarded by the session's gate or mu
	mu      sync.Mutex
	only    *selection
	scope   *source.Scope // of the excludes
	dev     uint64
	place   *place  // where volumes begin below
	volume  *Volume // that it is in; nil when none is known
	trust   bool    // entries that the journal doesn't name are the base's
	rescan  bool    // here and below, in spite of the journal, all is looked at
	dirt    *journal.Dir
	settled catalog.Time // see session.settled and isSettled; less the file system's clock tick
	entry   catalog.Entry
	base    []byte       // the base's entry of this directory
	left    atomic.Int64 // tasks and directories below that are not done
	changed atomic.Bool  // the node is not the base's
}

// A task is a range of a directory's listing to look at, or, when to is enter or claim, what to do with the entry at from.
type task struct {
	dir      *dir
	from, to int
}

const (
	enter = 0  // it is a directory
	claim = -1 // it is new there, but may have been elsewhere in the base
)

// rangeSize is how many entries of a directory one worker takes at a time.
const rangeSize = 512

// walk saves the tree and returns the root's entry.
func (s *session) walk(ctx context.Context) (catalog.Entry, error) {
	s.tasks.init(len(s.workers), s.release)
	stop := context.AfterFunc(ctx, func() { s.tasks.fail(context.Cause(ctx)) })
	defer stop()
	defer func() { s.tree.close() }()
	if err := s.workers[0].enterRoot(); err != nil {
		return catalog.Entry{}, err
	}
	var wg sync.WaitGroup
	for _, w := range s.workers {
		wg.Go(w.run)
	}
	wg.Wait()
	for _, w := range s.workers {
		s.owners.add(w.users, w.groups)
	}
	if s.tasks.closed {
		return s.tree.entry, nil // the tree is done; if ctx was too, it came too late
	}
	return s.tree.entry, s.tasks.cause()
}

// run takes tasks until the tree is done or something failed.
func (w *worker) run() {
	for {
		t, ok := w.s.tasks.pop()
		if !ok {
			return
		}
		w.s.gate.RLock()
		var err error
		switch t.to {
		case enter:
			err = w.enter(t.dir, t.from)
		case claim:
			err = w.claim(t.dir, t.from)
		default:
			err = w.look(t.dir, t.from, t.to)
		}
		w.s.gate.RUnlock()
		if err != nil {
			w.s.tasks.fail(err)
			return
		}
	}
}

// enterRoot begins with "/".
func (w *worker) enterRoot() error {
	src, err := w.s.openRoot()
	if err != nil {
		return err
	}
	d := &dir{src: src, only: w.s.only, scope: w.s.exclude.Root(), place: w.s.places}
	if b := w.s.cfg.Base; b != nil {
		d.base = b.Point.Root
	}
	w.s.tree = d
	w.s.gate.RLock()
	defer w.s.gate.RUnlock()
	return w.list(d)
}

func (s *session) openRoot() (*source.Dir, error) {
	switch v := s.places.volume; {
	case s.cfg.Root != nil:
		return s.cfg.Root()
	case v != nil && v.Open != nil:
		return v.Open()
	}
	return source.OpenDir("/")
}

// enter opens the directory in a slot of its parent, and lists it.
func (w *worker) enter(parent *dir, slot int) error {
	return w.enterWith(parent, slot, parent.slots[slot], parent.rescan)
}

// enterWith enters a directory that is to be compared with the given entry of the base.
func (w *worker) enterWith(parent *dir, slot int, base []byte, rescan bool) error {
	name := parent.list.Name(slot)
	here := parent.place.of(name)
	src, err := here.open(parent, name)
	if err != nil {
		if base != nil {
			w.orphaned(parent, base)
		}
		return w.notEntered(parent, slot, err)
	}
	w.forget(base)
	d := &dir{parent: parent, slot: slot, src: src, base: base, place: here, rescan: rescan || isPartial(base)}
	d.only, _ = parent.only.of(name)
	d.scope = parent.scope.Enter(name)
	d.entry.Name = name
	parent.mu.Lock()
	parent.kids = append(parent.kids, d)
	parent.mu.Unlock()
	return w.list(d)
}

// notEntered settles a slot whose directory could not be opened.
func (w *worker) notEntered(parent *dir, slot int, err error) error {
	var st source.Stat
	if gone(err) || parent.src.Stat(parent.list, slot, &st) != nil || st.Kind != source.Directory {
		w.unsaved(parent, slot, err)
	} else {
		w.s.problem(parent.path(parent.list.Name(slot)), "directory could not be opened: %v", err)
		e := w.entryOf(parent.list.Name(slot), &st)
		e.Flags |= catalog.Unreadable
		w.set(parent, slot, w.encode(&e))
		w.count.Directories++
	}
	return w.done(parent, 1)
}

// gone tells whether an entry vanished while we were looking, which is no error. One that became something of
// another kind has not: its name was there all the time, and is missing in the point.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// list reads a directory's names, sets the base's entries beside them, and makes tasks of both.
func (w *worker) list(d *dir) error {
	st, err := d.src.Self()
	if err != nil {
		return w.unlisted(d, err)
	}
	d.dev = st.Dev
	base, err := w.describe(d, &st)
	if err != nil {
		return err
	}
	d.left.Store(1)
	d.volume = d.volumeOf()
	if d.parent == nil || d.parent.dev != d.dev {
		w.crossing(d)
	} else {
		d.settled = d.parent.settled
	}
	if d.trust = w.trusts(d); d.trust && !d.leads() {
		return w.done(d, 1) // only itself was to be looked at
	}
	d.list = w.takeListing()
	if w.mayDescend(d) {
		if err := d.src.List(d.list); gone(err) {
			w.giveListing(d)
			return w.unlisted(d, err)
		} else if err != nil {
			w.s.problem(d.path(nil), "directory could not be listed: %v", err)
			d.entry.Flags |= catalog.Unreadable
			d.changed.Store(true)
		}
	}
	if err := w.alignBase(d, base); err != nil {
		return err
	}
	n := d.list.Len()
	if n <= rangeSize {
		return w.look(d, 0, n)
	}
	d.left.Store(int64((n + rangeSize - 1) / rangeSize))
	for from := (n - 1) / rangeSize * rangeSize; from >= 0; from -= rangeSize {
		w.s.tasks.push(task{dir: d, from: from, to: min(from+rangeSize, n)})
	}
	return nil
}

// unlisted ends a directory that was opened but can't be looked at any more.
func (w *worker) unlisted(d *dir, err error) error {
	d.close()
	if d.parent == nil {
		return err
	}
	d.parent.drop(d)
	return w.notEntered(d.parent, d.slot, err)
}

// alignBase puts the base's entry of each name into the name's slot.
func (w *worker) alignBase(d *dir, base *catalog.Cursor) error {
	n := d.list.Len()
	d.slots = make([][]byte, n)
	if base == nil {
		d.changed.Store(true)
		return nil
	}
	raw := base.Next()
	for i := range n {
		order := -1
		for raw != nil {
			if order = compare(catalog.EntryName(raw), d.list.Name(i)); order >= 0 {
				break
			}
			w.vanished(d, raw)
			raw = base.Next()
		}
		if raw != nil && order == 0 {
			d.slots[i] = raw
			raw = base.Next()
		} else {
			d.changed.Store(true)
		}
	}
	for ; raw != nil; raw = base.Next() {
		w.vanished(d, raw)
	}
	err := base.Err()
	if w.s.lost(err) {
		err = nil // the slots that it filled are as they were saved
		d.changed.Store(true)
	}
	return err
}

// look examines a range of a directory's entries.
func (w *worker) look(d *dir, from, to int) error {
	var st source.Stat
	var below []int
	waiting := 0
	for i := from; i < to; i++ {
		if err := w.pause(); err != nil {
			return err
		}
		if d.trust && w.keeps(d, i) {
			continue
		}
		name := d.list.Name(i)
		only, selected := d.only.of(name)
		if !selected {
			w.leave(d, i)
			continue
		}
		if err := d.src.Stat(d.list, i, &st); err != nil {
			w.unreadable(d, i, err)
			continue
		}
		if only.leads() && st.Kind != source.Directory || w.excluded(d, name, &st) {
			w.leave(d, i)
			continue
		}
		w.match(d, i, &st)
		switch {
		case d.slots[i] == nil && w.awaits(d, i, &st):
			waiting++
		case st.Kind == source.Directory:
			below = append(below, i)
		default:
			if err := w.item(d, i, &st); err != nil {
				return err
			}
		}
	}
	d.left.Add(int64(len(below) + waiting))
	for k := len(below) - 1; k >= 0; k-- { // so that the first is taken first
		w.s.tasks.push(task{dir: d, from: below[k], to: enter})
	}
	return w.done(d, 1)
}

// leave leaves an entry out, and what the base had of it.
func (w *worker) leave(d *dir, i int) {
	if raw := d.slots[i]; raw != nil {
		w.orphaned(d, raw)
	}
	w.set(d, i, nil)
}

// set fills a slot with its final entry and notes whether it is the base's.
func (w *worker) set(d *dir, i int, entry []byte) {
	if d.changed.Load() || !same(d.slots[i], entry) {
		w.compareSwept(d, i, entry)
		d.changed.Store(true)
		d.slots[i] = entry
	}
}

// done takes n off what is left of a directory, and completes it and then its parents when that was the last.
func (w *worker) done(d *dir, n int64) error {
	for d.left.Add(-n) == 0 {
		if err := w.complete(d); err != nil {
			return err
		}
		parent := d.parent
		if parent == nil {
			w.s.tasks.close()
			return nil
		}
		w.set(parent, d.slot, w.encode(&d.entry))
		parent.drop(d)
		d, n = parent, 1
	}
	return nil
}

// complete gives a directory its node and frees what it held.
func (w *worker) complete(d *dir) error {
	d.close()
	if d.changed.Load() {
		var err error
		if d.entry.Node, err = w.buildNode(d.slots); err != nil {
			return err
		}
	} else if base, err := catalog.ParseEntry(d.base); err != nil {
		return err
	} else {
		d.entry.Node = base.Node
	}
	d.slots = nil
	if d.parent == nil {
		return nil
	}
	w.count.Directories++
	if d.list != nil { // the name outlives the listing only in the encoded entry, which the caller makes next
		w.giveListing(d)
	}
	return nil
}

// close closes a directory, and those below it that are live.
func (d *dir) close() {
	if d == nil {
		return
	}
	for _, kid := range d.kids {
		kid.close()
	}
	if d.src != nil {
		d.src.Close()
		d.src = nil
	}
}

func (d *dir) drop(kid *dir) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, k := range d.kids {
		if k == kid {
			d.kids[i] = d.kids[len(d.kids)-1]
			d.kids = d.kids[:len(d.kids)-1]
			return
		}
	}
}

// path is the absolute raw path of a name in the directory, or of the directory itself.
func (d *dir) path(name []byte) []byte {
	if d.parent == nil {
		return append([]byte("/"), name...)
	}
	p := d.parent.path(d.entry.Name)
	if name != nil {
		p = append(append(p, '/'), name...)
	}
	return p
}
