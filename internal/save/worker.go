package save

import (
	"bytes"
	"context"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/source"
	"waybill/manifest"
)

// A worker looks at directories and reads files. Its fields are its own; a checkpoint
// uses them while the worker waits at the gate.
type worker struct {
	s        *session
	data     *pack.Stream
	cata     *pack.Stream
	builder  *catalog.DirBuilder
	content  catalog.ContentBuilder
	count    catalog.Stats
	users    map[uint32]bool
	groups   map[uint32]bool
	lastUID  int64 // the owner seen last, -1 for none: most entries have their neighbour's
	lastGID  int64
	listings []*source.Listing
	arena    []byte      // encoded entries are cut from it
	buf      []byte      // for reading large files
	open     source.File // the file being read
	reading  *reading
	moved    []byte   // the base's entry of the file at hand, when that was elsewhere
	earlier  *earlier // what the base has of it, nil unless parts of it need not be read
	xattrs   source.XattrBuffer
}

func newWorker(s *session) *worker {
	w := &worker{s: s, users: map[uint32]bool{}, groups: map[uint32]bool{}, lastUID: -1, lastGID: -1}
	w.data = s.packs.Stream(manifest.Data)
	w.cata = s.packs.Stream(manifest.Catalogue)
	w.builder = catalog.NewDirBuilder(w.putNode)
	w.content.Put = w.putNode
	return w
}

func (w *worker) putNode(node []byte) (pack.ID, error) {
	id, _, err := w.cata.Add(node)
	return id, err
}

// pause is called between items: it fails when the walk has, and makes or awaits a checkpoint when one is due.
func (w *worker) pause() error {
	if w.s.tasks.failed.Load() {
		return w.s.tasks.cause()
	}
	if w.s.pausing.Load() {
		w.s.gate.RUnlock()
		w.s.gate.RLock()
	}
	if !w.s.due() || !w.s.pausing.CompareAndSwap(false, true) {
		return nil
	}
	w.s.gate.RUnlock()
	err := w.s.checkpoint()
	w.s.pausing.Store(false)
	w.s.gate.RLock()
	return err
}

// item saves anything but a directory.
func (w *worker) item(d *dir, i int, st *source.Stat) error {
	w.seen(st.UID, st.GID)
	p := w.s.cfg.Progress
	p.Files.Add(1)
	raw := d.slots[i]
	if st.Kind == source.Regular {
		w.count.Files++
		w.count.Bytes += st.Size
	} else {
		w.count.Others++
	}
	if raw != nil && w.unchanged(d, raw, st) {
		w.count.Unchanged++
		p.Bytes.Add(st.Size)
		return nil
	}
	save := w.special
	if st.Kind == source.Regular {
		save = w.file
	}
	err := save(d, i, st)
	if err == nil && d.slots[i] == nil { // it could not be saved
		e := w.entryOf(nil, st)
		count(&w.count, &e, -1)
		w.count.Unchanged++ // which it wasn't counted among
	}
	return err
}

// unchanged tells whether the base's entry can be taken as it is.
func (w *worker) unchanged(d *dir, raw []byte, st *source.Stat) bool {
	e, err := catalog.ParseEntry(raw)
	const unsure = catalog.Changed | catalog.Partial | catalog.Unreadable
	return err == nil && e.Flags&unsure == 0 && sameStat(&e, st) && d.isSettled(e.Ctime) && !d.mustRead(st) && (!w.s.cfg.Wary || w.stored(e))
}

// stored tells whether all that the base's entry refers to is known to be stored.
func (w *worker) stored(e catalog.Entry) bool {
	if e.Kind != catalog.File {
		return true
	}
	for it, err := range catalog.Content(context.Background(), w.s.cfg.Base.Loader, e) {
		if err != nil || !w.isKnown(it) {
			return false // it is read again, which is never wrong
		}
	}
	return true
}

func (w *worker) isKnown(it catalog.Item) bool {
	return it.IsHole() || w.s.cfg.Known.Of(manifest.Data).Has(it.ID.Prefix())
}

// sameStat compares what change detection goes by.
func sameStat(e *catalog.Entry, st *source.Stat) bool {
	return e.Kind == catalog.Kind(st.Kind) && e.Inode == st.Inode && e.Mtime == mtime(st) && e.Ctime == ctime(st) &&
		(st.Kind != source.Regular || e.Size == st.Size)
}

func mtime(st *source.Stat) catalog.Time { return catalog.Time{Sec: st.MtimeSec, Nsec: st.MtimeNsec} }
func ctime(st *source.Stat) catalog.Time { return catalog.Time{Sec: st.CtimeSec, Nsec: st.CtimeNsec} }

// special saves a symbolic link, fifo, socket or device.
func (w *worker) special(d *dir, i int, st *source.Stat) error {
	name := d.list.Name(i)
	e := w.entryOf(name, st)
	if st.Kind == source.Symlink {
		var err error
		if e.Target, err = d.src.Readlink(name); err != nil {
			w.unsaved(d, i, err)
			return nil
		}
	}
	xattrs, err := d.src.Xattrs(name, &w.xattrs)
	if gone(err) {
		w.set(d, i, nil)
		return nil
	}
	e.Xattrs = w.encodeXattrs(d, name, xattrs, err)
	w.set(d, i, w.encode(&e))
	return nil
}

// unreadable leaves an entry out and says so, unless it has vanished.
func (w *worker) unreadable(d *dir, i int, err error) {
	if raw := d.slots[i]; raw != nil {
		w.orphaned(d, raw)
	}
	w.unsaved(d, i, err)
}

// unsaved is unreadable for an entry whose base is off the counts already.
func (w *worker) unsaved(d *dir, i int, err error) {
	if !gone(err) {
		w.s.problem(d.path(d.list.Name(i)), "not saved: %v", err)
	}
	w.set(d, i, nil)
}

// describe fills a directory's own entry and returns a cursor over the base's entries of it, nil without one.
func (w *worker) describe(d *dir, st *source.Stat) (*catalog.Cursor, error) {
	name := d.entry.Name
	d.entry = w.entryOf(name, st)
	w.seen(st.UID, st.GID)
	xattrs, err := d.src.SelfXattrs(&w.xattrs)
	d.entry.Xattrs = w.encodeXattrs(d, nil, xattrs, err)
	if d.base == nil {
		return nil, nil
	}
	e, err := catalog.ParseEntry(d.base)
	if err != nil {
		return nil, err
	}
	if e.Kind != catalog.Directory {
		return nil, nil
	}
	return catalog.NewCursor(context.Background(), w.s.cfg.Base.Loader, e.Node), nil
}

// crossing notes that a file system begins at d.
func (w *worker) crossing(d *dir) {
	if d.parent != nil {
		d.entry.Flags |= catalog.MountPoint
	}
	slack := unknownSlack
	if fs, err := d.src.FileSystem(); err == nil {
		slack = fs.Slack
		if fs.Name == "btrfs" && d.entry.Inode == leftSubvolume {
			d.entry.Mtime, d.entry.Ctime = catalog.Time{}, catalog.Time{}
		}
	}
	if w.s.cfg.Base == nil {
		return
	}
	sec, nsec := w.s.settled.Sec, int64(w.s.settled.Nsec)-slack.Nanoseconds()
	for nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	d.settled = catalog.Time{Sec: sec, Nsec: uint32(nsec)}
}

// leftSubvolume is the inode of what stands in a snapshot of btrfs for a subvolume, which is not in it: an empty directory that the kernel
// makes up at each look, with times of now (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID).
const leftSubvolume = 2

// unknownSlack is that of a file system which can't be told: as much as any has.
const unknownSlack = 5 * time.Minute

// isSettled tells whether something was changed last before the base began to read, and not in the same tick of the clock. A time
// of whole seconds is that of a file system without parts of them, most likely; its kind doesn't tell: ext4
// with small inodes, an overlay of such.
func (d *dir) isSettled(ctime catalog.Time) bool {
	if ctime.Nsec == 0 {
		ctime.Sec++
	}
	return ctime.Before(d.settled)
}

// mayDescend tells whether what is in the directory belongs to the backup. Roots, and what leads to
// them, were asked for by name.
func (w *worker) mayDescend(d *dir) bool {
	if d.entry.Flags&catalog.MountPoint == 0 || d.only != nil {
		return true
	}
	fs, _ := d.src.FileSystem()
	bound := d.place != nil && d.place.volume != nil && d.place.volume.Bound
	return !fs.Pseudo && (bound || !w.s.cfg.OneFileSystem)
}

// excluded tells whether an entry is left out, by a pattern or for what it is.
func (w *worker) excluded(d *dir, name []byte, st *source.Stat) bool {
	return d.scope.Match(name, st.Kind) || st.Kind == source.Directory && w.s.exclude.Barred(st)
}

// entryOf begins an entry with what stat tells.
func (w *worker) entryOf(name []byte, st *source.Stat) catalog.Entry {
	e := catalog.Entry{Kind: catalog.Kind(st.Kind), Name: name, Inode: st.Inode, Mtime: mtime(st), Ctime: ctime(st),
		Mode: st.Mode, UID: st.UID, GID: st.GID, Major: st.RdevMajor, Minor: st.RdevMinor, Size: st.Size}
	if st.Nlink > 1 && st.Kind != source.Directory {
		e.Flags |= catalog.HardLinked
	}
	return e
}

// seen notes owners.
func (w *worker) seen(uid, gid uint32) {
	if int64(uid) != w.lastUID {
		w.users[uid] = true
		w.lastUID = int64(uid)
	}
	if int64(gid) != w.lastGID {
		w.groups[gid] = true
		w.lastGID = int64(gid)
	}
}

// maxXattrs is how many bytes of attributes an entry may have: it must fit into a node. XFS and tmpfs let any user set more.
const maxXattrs = 8 << 20

// encodeXattrs encodes what could be read of an entry's attributes, and notes what could not.
func (w *worker) encodeXattrs(d *dir, name []byte, list []source.Xattr, err error) []byte {
	if err != nil {
		w.s.problem(d.path(name), "extended attributes could not all be read: %v", err)
	}
	size := 0
	for i, x := range list {
		if size += len(x.Name) + len(x.Value); size > maxXattrs {
			w.s.problem(d.path(name), "extended attributes of more than %d MiB: %d of them are left out", maxXattrs>>20, len(list)-i)
			list = list[:i]
			break
		}
	}
	if len(list) == 0 {
		return nil
	}
	b := catalog.XattrCount(nil, len(list))
	for _, x := range list {
		b = catalog.AppendXattr(b, x.Name, x.Value)
	}
	return b
}

// encode returns the entry's bytes, cut from an arena to spare an allocation each.
func (w *worker) encode(e *catalog.Entry) []byte {
	const block = 64 << 10
	if cap(w.arena)-len(w.arena) < 1024 {
		w.arena = make([]byte, 0, block)
	}
	at := len(w.arena)
	b := e.Append(w.arena)
	if cap(b) == cap(w.arena) { // else it outgrew the block and has one of its own
		w.arena = b
	}
	return b[at:len(b):len(b)]
}

func (w *worker) buildNode(slots [][]byte) (pack.ID, error) {
	for _, raw := range slots {
		if raw == nil {
			continue
		}
		if err := w.builder.Add(catalog.EntryName(raw), raw); err != nil {
			return pack.ID{}, err
		}
	}
	return w.builder.Finish()
}

func (w *worker) takeListing() *source.Listing {
	if n := len(w.listings); n > 0 {
		l := w.listings[n-1]
		w.listings = w.listings[:n-1]
		return l
	}
	return &source.Listing{}
}

// giveListing keeps a small listing for reuse; large ones go.
func (w *worker) giveListing(d *dir) {
	if d.list.Len() <= rangeSize && len(w.listings) < 64 {
		w.listings = append(w.listings, d.list)
	}
	d.list = nil
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func compare(a, b []byte) int { return bytes.Compare(a, b) }
