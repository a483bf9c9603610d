package save

import (
	"context"
	"iter"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/source"
)

// ranged is the size from which on a file is asked for its changed ranges.
const ranged = 8 << 20

// earlier is what the base has of a file that is being read, and where the two may differ. Its chunks are taken again where the cutter would
// make the same ones: a cut depends on the bytes from its chunk's start on, as far as the longest chunk or the end of
// the data goes.
type earlier struct {
	next    func() (catalog.Item, error, bool)
	stop    func()
	off     int64 // of the first item ahead
	ahead   []catalog.Item
	ended   bool // no items but those ahead
	end     int64
	changed []journal.Range // those not wholly behind
	horizon int64           // how far a cut looks
}

// earlierOf finds what the base has of the file, nil when it is of no use: then all is read.
func (w *worker) earlierOf(d *dir, i int, f *source.File, e *catalog.Entry) *earlier {
	raw := d.slots[i]
	if w.moved != nil {
		raw = w.moved
	}
	if raw == nil || w.s.cfg.Wary {
		return nil
	}
	old, err := catalog.ParseEntry(raw)
	const unsure = catalog.Changed | catalog.Partial | catalog.Unreadable
	if err != nil || old.Kind != catalog.File || old.Flags&unsure != 0 || old.Inode != e.Inode {
		return nil
	}
	changed, ok := d.changedIn(f, &old, e)
	if !ok {
		return nil
	}
	x := &earlier{end: old.Size, changed: changed, horizon: int64(w.s.cfg.Writer.Cutter.Params().Max)}
	x.next, x.stop = iter.Pull2(catalog.Content(context.Background(), w.s.cfg.Base.Loader, old))
	return x
}

// changedIn asks the volume what of the file may have changed.
func (d *dir) changedIn(f *source.File, old, e *catalog.Entry) (list []journal.Range, ok bool) {
	v := d.volume
	if v == nil {
		return nil, false
	}
	if v.carried() && v.Dirty.Files[e.Inode] != nil && !d.mustReadAll(e.Inode) {
		x := v.Dirty.Files[e.Inode]
		if x.Kept && old.Size == e.Size && old.Mtime == e.Mtime { // else it was written after the journal was asked
			return nil, true
		}
		if x.Ranges != nil {
			return x.Ranges, true
		}
	}
	if v.Ranges == nil || e.Size < ranged || old.Size < ranged {
		return nil, false
	}
	return v.Ranges.Changed(f, old)
}

func (d *dir) mustReadAll(inode uint64) bool { return d.volume.Dirty.Files[inode].Read }

// fill looks items ahead, until they reach to off.
func (x *earlier) fill(to int64) error {
	at := x.off
	for _, it := range x.ahead {
		at += it.Length
	}
	for at < to && !x.ended {
		it, err, ok := x.next()
		if err != nil {
			return err
		}
		if !ok {
			x.ended = true
			break
		}
		x.ahead = append(x.ahead, it)
		at += it.Length
	}
	return nil
}

// take returns the chunk that begins at off, if the cutter would make it again in data that ends at end.
func (x *earlier) take(off, end int64) (catalog.Item, bool, error) {
	if err := x.fill(off + x.horizon + 1); err != nil {
		return catalog.Item{}, false, err
	}
	for len(x.ahead) > 0 && x.off < off {
		x.off += x.ahead[0].Length
		x.ahead = x.ahead[1:]
		if err := x.fill(off + x.horizon + 1); err != nil {
			return catalog.Item{}, false, err
		}
	}
	if len(x.ahead) == 0 || x.off != off || x.ahead[0].IsHole() {
		return catalog.Item{}, false, nil
	}
	sight := min(off+x.horizon, end)
	if oldEnd := x.dataEnd(); oldEnd != end && (oldEnd < off+x.horizon || end < off+x.horizon) || x.differs(off, sight) {
		return catalog.Item{}, false, nil
	}
	return x.ahead[0], true, nil
}

// dataEnd is where the data at hand ends, by a hole or the file's end, as far as it is in sight.
func (x *earlier) dataEnd() int64 {
	at := x.off
	for _, it := range x.ahead {
		if it.IsHole() {
			return at
		}
		at += it.Length
	}
	return at
}

// differs tells whether something in [from, to) may have changed; from never goes back.
func (x *earlier) differs(from, to int64) bool {
	for len(x.changed) > 0 && x.changed[0].Off+x.changed[0].Len <= from {
		x.changed = x.changed[1:]
	}
	return len(x.changed) > 0 && x.changed[0].Off < to
}

// carry takes chunks over from the base, from off on, and returns where that ends. When open is set, the data ends a byte before end.
func (w *worker) carry(off, end int64, open bool) (int64, error) {
	x := w.earlier
	if x == nil {
		return off, nil
	}
	if open {
		end--
	}
	for off < end {
		it, ok, err := x.take(off, end)
		if w.s.lost(err) {
			w.dropEarlier()
			return off, nil
		}
		if err != nil || !ok {
			return off, err
		}
		if err := w.content.Add(it); err != nil {
			return off, err
		}
		w.s.cfg.Progress.Bytes.Add(it.Length)
		off += it.Length
	}
	return off, nil
}

// dropEarlier ends the comparison with the base.
func (w *worker) dropEarlier() {
	if w.earlier != nil {
		w.earlier.stop()
		w.earlier = nil
	}
}
