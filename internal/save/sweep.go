package save

import (
	"bytes"
	"errors"
	"sync"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/source"
	"waybill/manifest"
)

// A sweep looks at all of a volume in spite of its journal, and notes what had changed and was not named.
type swept struct {
	mu   sync.Mutex
	list map[*Volume][]miss
}

// A miss is a name whose entry changed though the journal didn't say so. On a volume that isn't held still it may have
// changed after the journal was read, which is asked at the end.
type miss struct {
	path   []byte
	dir    uint64
	inode  uint64 // what it stands for; 0 when it is gone
	turned bool   // it came, went, or stands for another file
}

// maxMisses is how many of a volume are kept until the end.
const maxMisses = 100_000

// vanished notes a name of the base that is no more.
func (w *worker) vanished(d *dir, raw []byte) {
	d.changed.Store(true)
	w.missing(d, catalog.EntryName(raw), 0, true)
	w.orphaned(d, raw)
}

// compareSwept notes the name in a slot if its new entry is none that the journal foretold.
func (w *worker) compareSwept(d *dir, i int, entry []byte) {
	if !d.sweeps() || !matters(d.slots[i], entry) {
		return
	}
	if kind, _, inode := catalog.Identity(entry); kind == catalog.Directory && d.volume.Dirty.Leads(inode) {
		return // it was to be looked at for itself
	}
	_, _, was := catalog.Identity(d.slots[i])
	_, _, is := catalog.Identity(entry)
	w.missing(d, d.list.Name(i), is, was != is)
}

// sweeps tells whether d is compared with what the journal says. What is below an entry that is new is new too.
func (d *dir) sweeps() bool {
	return d.volume != nil && d.volume.Sweep && d.volume.Dirty != nil && d.base != nil && !d.only.leads()
}

// matters tells whether two entries differ by more than the time of change, which chattr(1) moves that no journal of Linux tells of. What is
// in a directory is compared there.
func matters(a, b []byte) bool {
	if a == nil || b == nil {
		return (a == nil) != (b == nil)
	}
	x, err := catalog.ParseEntry(a)
	y, yerr := catalog.ParseEntry(b)
	if x.Ctime = y.Ctime; x.Kind == catalog.Directory {
		x.Node = y.Node
	}
	return err != nil || yerr != nil || !bytes.Equal(x.Append(nil), y.Append(nil))
}

// missing notes a name whose entry is not the base's, unless it was named, or it turned where that is looked for: came, went, or stands for
// another file.
func (w *worker) missing(d *dir, name []byte, inode uint64, turned bool) {
	if !d.sweeps() || d.place.of(name) != nil {
		return
	}
	_, _, self := catalog.Identity(d.base)
	m := miss{d.path(name), self, inode, turned}
	if self != d.entry.Inode || m.namedIn(d.volume.Dirty) {
		return
	}
	s := &w.s.swept
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[*Volume][]miss{}
	}
	if len(s.list[d.volume]) < maxMisses {
		s.list[d.volume] = append(s.list[d.volume], m)
	}
}

func (m *miss) namedIn(d *journal.Dirty) bool {
	dirt := d.Dirs[m.dir]
	return dirt.Has(m.path[bytes.LastIndexByte(m.path, '/')+1:]) || m.turned && dirt != nil && dirt.Turns
}

// judge puts into the volume's record what its journal missed. A journal that ends meanwhile is not judged.
func (s *session) judge(v *Volume, record *catalog.Volume) error {
	list := s.swept.list[v]
	var later *journal.Dirty
	if len(list) > 0 && v.Later != nil {
		var err error
		later, err = v.Later()
		if gap, ok := errors.AsType[*journal.Gap](err); ok {
			record.Reason = gap.Reason
			return nil
		} else if err != nil {
			return err
		}
		if later.Alive != nil { // it wrapped: what is gone can't be told by it alone
			record.Reason = later.How
			return nil
		}
	}
	for _, m := range list {
		if later != nil && (m.happened(later) || !v.has(m.dir, m.path)) {
			continue
		}
		record.Misses++
		if len(record.Missed) < catalog.MaxMissed {
			record.Missed = append(record.Missed, manifest.EscapePath(m.path))
		}
	}
	return nil
}

// happened tells whether what changed later may be what was taken for missed. A directory changes when a name in it does, and a file of several
// names is told by one.
func (m *miss) happened(later *journal.Dirty) bool {
	_, linked := later.Links[m.inode]
	return later.Overflow || m.namedIn(later) || later.Dirs[m.inode] != nil || linked
}

// has tells whether the directory of a path is still there: what was done in one that is gone, its journal doesn't tell.
func (v *Volume) has(dir uint64, path []byte) bool {
	open := v.Open
	if open == nil {
		open = func() (*source.Dir, error) { return source.OpenDir(v.Path) }
	}
	d, err := open()
	way := names(string(path))
	for _, name := range way[len(names(v.Path)) : len(way)-1] {
		if err != nil {
			return false
		}
		above := d
		d, err = above.OpenDir([]byte(name))
		above.Close()
	}
	if err != nil {
		return false
	}
	defer d.Close()
	st, err := d.Self()
	return err == nil && st.Inode == dir
}
