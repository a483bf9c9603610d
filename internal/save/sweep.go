package save

import (
	"bytes"
	"sync"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
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
	path []byte
	dir  uint64
	name string
}

// maxMisses is how many of a volume are kept until the end.
const maxMisses = 100_000

// vanished notes a name of the base that is no more.
func (w *worker) vanished(d *dir, raw []byte) {
	d.changed.Store(true)
	w.missing(d, catalog.EntryName(raw), true)
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
	w.missing(d, d.list.Name(i), was != is)
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
func (w *worker) missing(d *dir, name []byte, turned bool) {
	if !d.sweeps() || d.place.of(name) != nil {
		return
	}
	_, _, inode := catalog.Identity(d.base)
	dirt := d.volume.Dirty.Dirs[inode]
	if inode != d.entry.Inode || dirt.Has(name) || turned && dirt != nil && dirt.Turns {
		return
	}
	s := &w.s.swept
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[*Volume][]miss{}
	}
	if len(s.list[d.volume]) < maxMisses {
		s.list[d.volume] = append(s.list[d.volume], miss{d.path(name), inode, string(name)})
	}
}

// judge puts into the volume's record what its journal missed.
func (s *session) judge(v *Volume, record *catalog.Volume) error {
	list := s.swept.list[v]
	var later *journal.Dirty
	if len(list) > 0 && v.Later != nil {
		var err error
		if later, err = v.Later(); err != nil {
			return err
		}
	}
	for _, m := range list {
		if later != nil && later.Dirs[m.dir].Has([]byte(m.name)) {
			continue
		}
		record.Misses++
		if len(record.Missed) < catalog.MaxMissed {
			record.Missed = append(record.Missed, manifest.EscapePath(m.path))
		}
	}
	return nil
}
