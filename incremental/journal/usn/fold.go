package usn

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"slices"

	"waybill/incremental/journal"
)

// maxFiles is how many changed files are kept: some 100 MB.
const maxFiles = 1 << 19

// A fold makes records into dirt. Names are noted as they come; what needs the files as they are now is done by resolve, at the end.
type fold struct {
	dev    Device
	info   Info
	d      *journal.Dirty
	end    uint64 // records from here on are no matter of the cursor's open files
	files  map[ID]*change
	most   int           // of them; with more, what is dirty overflows, and only open files are kept
	wide   map[uint64]ID // of ids that don't fold to themselves
	tracks bool          // ranges are known to be tracked by now
	moved  bool          // a late record renames a directory
	name   []byte
}

// A change is what records say of one file.
type change struct {
	reasons uint32 // all of them
	create  bool   // the first record already has FILE_CREATE: all that befell it since is in reasons
	left    bool   // was open when the interval began
	open    bool   // is when it ends
	streams bool   // when it is open: its streams changed since it was opened
	busy    bool   // is at the last record
	seen    bool   // there was a record, so open is by it
	lost    bool   // there may have been others, which the journal has lost
	parents []ID   // in which it was named
	ranges  *ranges
	whole   bool // ranges can't tell what changed of its content
	tracked bool // ranges were tracked when it was opened
}

func newFold(dev Device, info Info, d *journal.Dirty, end uint64, most int) *fold {
	return &fold{dev: dev, info: info, d: d, end: end, most: most, files: map[ID]*change{}, wide: map[uint64]ID{}}
}

// start takes over what a cursor keeps.
func (f *fold) start(from *journal.Cursor) {
	f.tracks, _, _ = splitMark(from.Mark)
	for id, streams := range getOpen(from, f.info.Wide) {
		c := f.change(id)
		c.left, c.open, c.streams = true, true, streams
		if streams {
			c.reasons = streamChange
		}
	}
}

func (f *fold) change(id ID) *change {
	c := f.files[id]
	if c == nil {
		c = &change{tracked: f.tracks}
		f.files[id] = c
	}
	return c
}

// add folds a record.
func (f *fold) add(r *Record) error {
	if f.d.Overflow {
		f.addOpen(r)
		return nil
	}
	c := f.change(r.File)
	if len(f.files) > f.most {
		*f.d = journal.Dirty{Overflow: true}
	}
	defer f.shrink()
	if r.Major == 4 {
		f.tracks = true
		c.addRanges(r)
		return nil
	}
	if !c.seen {
		c.seen, c.create = true, r.Reason&fileCreate != 0
	}
	c.busy = r.Reason&closed == 0
	if r.USN < f.end {
		c.open, c.streams = c.busy, r.Reason&onStreams != 0
	}
	c.reasons |= r.Reason
	c.checkRanges(r, f.tracks)
	if r.Reason == closed || r.File == f.info.Root {
		return nil // nothing happened while it was open, or that was before; the root has no name
	}
	if n := len(c.parents); n == 0 || c.parents[n-1] != r.Parent {
		c.parents = append(c.parents, r.Parent)
	}
	if len(r.Name) == 0 {
		f.d.List(f.fold(r.Parent))
		return nil
	}
	f.name = appendName(f.name[:0], r.Name)
	f.d.Name(f.fold(r.Parent), f.name)
	return nil
}

// shrink lets all go but open files, if there was too much.
func (f *fold) shrink() {
	if f.d.Overflow {
		maps.DeleteFunc(f.files, func(_ ID, c *change) bool { return !c.open })
	}
}

// addOpen only keeps track of which files are open.
func (f *fold) addOpen(r *Record) {
	switch {
	case r.Major == 4 || r.USN >= f.end:
	case r.Reason&closed != 0:
		delete(f.files, r.File)
	default:
		f.files[r.File] = &change{open: true, streams: r.Reason&onStreams != 0}
	}
}

// addLate takes note of what moved while files were being looked up.
func (f *fold) addLate(r *Record) error {
	if r.Major == 4 || r.Reason == closed {
		return nil
	}
	f.d.List(f.fold(r.Parent))
	if r.Directory() && r.Reason&(renameOld|renameNew) != 0 {
		f.moved = true
	}
	return nil
}

// fold returns the id by which the catalogue knows a file.
func (f *fold) fold(id ID) uint64 {
	if id.High == 0 {
		return id.Low
	}
	n := id.Fold()
	f.wide[n] = id
	return n
}

func (f *fold) unfold(n uint64) ID {
	if id, ok := f.wide[n]; ok {
		return id
	}
	return ID{Low: n}
}

// resolve looks at the files that records told of.
func (f *fold) resolve(ctx context.Context) error {
	var file File
	for _, id := range sortedIDs(f.files) { // in the order of the file table
		c := f.files[id]
		if err := ctx.Err(); err != nil || f.d.Overflow {
			return err
		}
		if !c.left && !c.lost && c.reasons&^closed == 0 {
			continue
		}
		err := f.dev.Lookup(id, &file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.open = false
			if c.reasons&onStreams != 0 || !c.create {
				f.listParents(c)
			}
		case err != nil:
			return fmt.Errorf("looking up file %x: %w", id.Low, err)
		default:
			f.place(id, c, &file)
		}
	}
	return nil
}

// place notes where a file is now, and what is known of its content.
func (f *fold) place(id ID, c *change, file *File) {
	n := f.fold(id)
	if id == f.info.Root {
		f.d.Dir(n)
		return
	}
	for _, name := range file.Names {
		parent := f.fold(name.Parent)
		f.d.Name(parent, name.Name)
		f.nameStreams(name, file)
		if c.reasons&onStreams != 0 || file.More {
			f.d.List(parent)
		}
	}
	if file.More {
		f.d.Link(n)
	}
	if file.More || c.reasons&(onStreams|fileDelete) != 0 || len(file.Streams) > 0 && c.reasons&(renameOld|renameNew|hardLinkChange) != 0 {
		f.listParents(c) // for the streams it had, under the names it had
	}
	if file.Directory {
		f.d.Dir(n)
	} else {
		f.judge(f.d.File(n), c)
	}
	for _, s := range file.Streams {
		f.judge(f.d.File(streamInode(n, s)), &change{left: c.left, open: c.open, busy: c.busy, lost: c.lost, reasons: c.reasons, whole: true})
	}
}

// judge notes what is known of content. In a volume that lives on it may have changed since, and nothing is known to be what it was.
func (f *fold) judge(x *journal.File, c *change) {
	switch {
	case c.left || c.open || c.busy || c.lost:
		x.Read = true
	case c.reasons&^onMetadata == 0:
		x.Kept = f.info.Still
	case f.info.Still && c.ranges != nil && !c.whole:
		x.Ranges = c.ranges.merged()
	default:
		x.Read = true
	}
}

// longForm may end the name of a stream's entry: where a file has the shorter one.
const longForm = ":$DATA"

// streamInode is by what the catalogue knows a stream; package source and ntfsdir have it from the same numbers.
func streamInode(file uint64, stream []byte) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, file))
	h.Write(stream)
	return h.Sum64()
}

// nameStreams names what stands for a file's streams beside one of its names.
func (f *fold) nameStreams(name Name, file *File) {
	for _, s := range file.Streams {
		f.name = append(append(append(f.name[:0], name.Name...), ':'), s...)
		f.d.Name(f.fold(name.Parent), f.name)
		f.d.Name(f.fold(name.Parent), append(f.name, longForm...))
	}
}

func (f *fold) listParents(c *change) {
	for _, p := range c.parents {
		f.d.List(f.fold(p))
	}
}

// climb notes what leads to the directories of the dirt, and drops those that are gone: whatever removed them named them where they were. What
// came to a directory, or went, changed its times, without a record of its own: its streams have them too.
func (f *fold) climb(ctx context.Context) error {
	var file File
	for _, n := range slices.Sorted(maps.Keys(f.d.Dirs)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		gone, err := f.climbFrom(f.unfold(n), &file)
		if err != nil {
			return err
		}
		if gone {
			delete(f.d.Dirs, n)
		}
	}
	return nil
}

func (f *fold) climbFrom(id ID, file *File) (gone bool, err error) {
	for at := id; at != f.info.Root; {
		err := f.dev.Lookup(at, file)
		if errors.Is(err, fs.ErrNotExist) {
			return at == id, nil
		}
		if err != nil {
			return false, fmt.Errorf("looking up directory %x: %w", at.Low, err)
		}
		if len(file.Names) == 0 && file.More {
			return false, fmt.Errorf("directory %x may not be looked at", at.Low)
		}
		if len(file.Names) == 0 {
			return false, nil // deleted, but in use
		}
		if at == id {
			f.nameStreams(file.Names[0], file)
			if file.More {
				f.d.List(f.fold(file.Names[0].Parent))
			}
		}
		at = file.Names[0].Parent
		if !f.d.Lead(f.fold(at)) {
			return false, nil
		}
	}
	return false, nil
}

// open returns the files that were open at the end.
func (f *fold) open() map[ID]bool {
	open := map[ID]bool{}
	for id, c := range f.files {
		if c.open {
			open[id] = c.streams
		}
	}
	return open
}

func sortedIDs[V any](m map[ID]V) []ID {
	return slices.SortedFunc(maps.Keys(m), func(a, b ID) int {
		return cmp.Or(cmp.Compare(a.High, b.High), cmp.Compare(a.Low, b.Low))
	})
}

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
