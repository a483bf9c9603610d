package journal

import "time"

// Dirty is what to look at again in a volume. Directories and files go by their file id: the inode, on NTFS the file reference
// with its sequence number. The zero value is ready for use.
type Dirty struct {
	Dirs map[uint64]*Dir
	// Via are the directories that lead to those in Dirs, up to the volume's root and with it. Too many do no harm; a
	// directory of Dirs that they don't lead to is found only by chance.
	Via map[uint64]struct{}
	// Files are those of which more is known than that their names are in Dirs.
	Files map[uint64]*File
	// Links are files that have, or had, several names, not all of which the journal could tell. They are looked for in the base.
	Links map[uint64]struct{}
	// Alive are the files there are, when the journal can't tell what is gone: nil when it can. What the base has of files that are not in it, and
	// of those in Files and Dirs, which may have gone elsewhere, is looked for where it was. Of streams, which have no ids of their own, it tells nothing.
	Alive *Alive
	// Times are those of a directory of Alive as it is now, for as long as the journal is open: of what was made in it and removed again, they are all that
	// is left. The error is fs.ErrNotExist if it is gone.
	Times func(id uint64) (modified, changed time.Time, err error)
	// How says in words for people how the changes were found, when not as always.
	How string
	// Overflow says that there was too much to be kept in memory. The maps are empty then, and a scan costs less.
	Overflow bool

	count int
}

// Overflown is why a volume is scanned when there was an Overflow.
const Overflown = "so much changed that a scan costs less"

const (
	// most is how many places are kept: some 100 MB.
	most = 1 << 20
	// wide is how many names of a directory are kept. With more all of it is looked at.
	wide = 1000
)

// grow counts one more place, and lets all go when there are too many.
func (d *Dirty) grow() {
	if d.count++; d.count > most {
		*d = Dirty{Overflow: true}
	}
}

// A Dir is a directory to be looked at: itself, and entries of it.
type Dir struct {
	All   bool                // all entries
	Names map[string]struct{} // else these, be they there or not
	Turns bool                // and those that came, went, or stand for another file than before: its names tell, with their ids
}

// A File says what is known of a file that changed.
type File struct {
	Read   bool    // its content has to be read again, even if size and times are what they were
	Kept   bool    // its content is what it was: only names and metadata changed. Read is stronger
	Ranges []Range // when not nil: no other parts of its content changed, unless its size did
}

// A Range is a stretch of a file, in bytes.
type Range struct{ Off, Len int64 }

// Dir returns the directory's part, which it adds if need be.
func (d *Dirty) Dir(id uint64) *Dir {
	if x := d.Dirs[id]; x != nil {
		return x
	}
	x := &Dir{}
	if d.grow(); d.Overflow {
		return x
	}
	if d.Dirs == nil {
		d.Dirs = map[uint64]*Dir{}
	}
	d.Dirs[id] = x
	return x
}

// List has all entries of a directory looked at.
func (d *Dirty) List(id uint64) {
	x := d.Dir(id)
	x.All, x.Names = true, nil
}

// Turn has those entries of a directory looked at that came, went, or stand for another file than before.
func (d *Dirty) Turn(id uint64) { d.Dir(id).Turns = true }

// Name has one name in a directory looked at.
func (d *Dirty) Name(id uint64, name []byte) {
	x := d.Dir(id)
	if x.All {
		return
	}
	if _, ok := x.Names[string(name)]; ok {
		return
	}
	if len(x.Names) == wide {
		d.List(id)
		return
	}
	if d.grow(); d.Overflow {
		return
	}
	if x.Names == nil {
		x.Names = map[string]struct{}{}
	}
	x.Names[string(name)] = struct{}{}
}

// Lead notes a directory that leads to others. It returns false if it was noted before, and so what leads to it.
func (d *Dirty) Lead(id uint64) bool {
	if _, ok := d.Via[id]; ok {
		return false
	}
	if d.grow(); d.Overflow {
		return false
	}
	if d.Via == nil {
		d.Via = map[uint64]struct{}{}
	}
	d.Via[id] = struct{}{}
	return true
}

// File returns the file's part, which it adds if need be.
func (d *Dirty) File(id uint64) *File {
	if x := d.Files[id]; x != nil {
		return x
	}
	x := &File{}
	if d.grow(); d.Overflow {
		return x
	}
	if d.Files == nil {
		d.Files = map[uint64]*File{}
	}
	d.Files[id] = x
	return x
}

// Link has all names of a file looked at.
func (d *Dirty) Link(id uint64) {
	if d.grow(); d.Overflow {
		return
	}
	if d.Links == nil {
		d.Links = map[uint64]struct{}{}
	}
	d.Links[id] = struct{}{}
}

// Has tells whether a name in a directory is to be looked at.
func (x *Dir) Has(name []byte) bool {
	if x == nil {
		return false
	}
	_, ok := x.Names[string(name)]
	return x.All || ok
}

// Leads tells whether a directory is to be entered: to be looked at, or on the way.
func (d *Dirty) Leads(id uint64) bool {
	if d == nil {
		return false
	}
	if _, ok := d.Via[id]; ok {
		return true
	}
	return d.Dirs[id] != nil
}
