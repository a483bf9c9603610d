package restore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"waybill/internal/catalog"
)

// Hard links: entries with the same inode below the same nearest mount point are one file. The first is restored,
// the others become further names of it once it is there. Only entries that say they have other
// names are remembered.
type links struct {
	mu sync.Mutex // guards all below, and the links themselves
	m  map[inode]*link
}

type inode struct{ mount, number uint64 }

// A link is a file with several names.
type link struct {
	there   bool
	lost    error // why it won't be there
	dir     *dir
	name    string
	waiting []*item
}

// linked tells whether an item's file is dealt with already under another name; if so the item is made when
// that is there. If not, the item is the first.
func (p *planner) linked(it *item) (bool, error) {
	p.links.mu.Lock()
	key := inode{it.dir.mount, it.entry.Inode}
	l := p.links.m[key]
	if l == nil || l.lost == errSkipped {
		l = &link{}
		p.links.put(key, l)
		it.link = l
		p.links.mu.Unlock()
		return false, nil
	}
	// A copy: the batch's memory is not to be held for one entry.
	own := *it
	own.entry, _ = catalog.ParseEntry(it.entry.Append(nil))
	if !l.there && l.lost == nil {
		l.waiting = append(l.waiting, &own)
		p.links.mu.Unlock()
		return true, nil
	}
	p.links.mu.Unlock()
	return true, p.further(&own, l)
}

func (x *links) put(key inode, l *link) {
	if x.m == nil {
		x.m = map[inode]*link{}
	}
	x.m[key] = l
}

// wasLinked notes a name that an earlier run has restored.
func (p *planner) wasLinked(it *item, name string) {
	if it.entry.Flags&catalog.HardLinked == 0 {
		return
	}
	p.links.mu.Lock()
	defer p.links.mu.Unlock()
	key := inode{it.dir.mount, it.entry.Inode}
	if l := p.links.m[key]; l == nil || l.lost != nil {
		p.links.put(key, &link{there: true, dir: it.dir, name: name})
	}
}

// nowLinked makes the other names of an item that was just published.
func (r *run) nowLinked(it *item, name string) error {
	return r.resolve(it, func(l *link) { l.there, l.dir, l.name = true, it.dir, name })
}

// unlinked gives up the other names of an item that was not: they would be the same file.
func (r *run) unlinked(it *item, why error) error {
	return r.resolve(it, func(l *link) { l.lost = why })
}

func (r *run) resolve(it *item, set func(*link)) error {
	l := it.link
	if l == nil {
		return nil
	}
	r.links.mu.Lock()
	set(l)
	waiting := l.waiting
	l.waiting = nil
	r.links.mu.Unlock()
	for _, other := range waiting {
		if err := r.further(other, l); err != nil {
			return err
		}
	}
	return nil
}

// further settles an item that is a further name of a file, which is there or lost.
func (r *run) further(it *item, l *link) error {
	path := it.dir.path(it.entry.Name)
	if l.lost != nil {
		r.report.damaged(path, "it is the same file as another entry that was not restored")
		return r.finishItem(it, errDamaged)
	}
	err := r.linkTo(it, l)
	if err == nil {
		r.report.links.Add(1)
	}
	return r.finishItem(it, err)
}

// linkTo makes the link, or a copy where the file system knows no links, or no more of them.
func (r *run) linkTo(it *item, l *link) error {
	h, err := r.open(it.dir)
	if err != nil {
		return err
	}
	defer r.release(it.dir)
	from, err := r.open(l.dir)
	if err != nil {
		return err
	}
	defer r.release(l.dir)
	if r.opts.Conflict == Overwrite || it.replace {
		temp, err := r.unused(func(temp string) error { return h.link(from, l.name, temp) })
		if err != nil {
			return r.copyOf(it, from, l.name, err)
		}
		err = r.publish(h, it, temp)
		h.root.Remove(temp) // rename(2) leaves it when both names are one file already
		return err
	}
	for n := 0; ; n++ {
		name := numbered(string(it.entry.Name), n)
		err := h.link(from, l.name, name)
		switch {
		case err == nil:
			it.dir.became(it.entry.Name, name)
			return nil
		case !errors.Is(err, fs.ErrExist):
			return r.copyOf(it, from, l.name, err)
		case r.opts.Conflict != Copy:
			return r.taken(it)
		}
	}
}

// copyOf makes the item a file of its own.
func (r *run) copyOf(it *item, from *handle, name string, why error) error {
	if why = full(why); stops(why) {
		return why
	}
	r.warn(it, fmt.Errorf("it is a copy now, no longer another name of a file that has several: %w", why))
	if it.entry.Kind != catalog.File {
		return r.build(it, nil)
	}
	src, err := from.root.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	f := r.newFile(it)
	out, err := r.files.acquire(&f.slot, func() (output, error) { return r.openFile(f) })
	if err != nil {
		return full(err)
	}
	defer r.filling.remove(f)
	err = copyParts(out, src, it.entry.Size)
	r.files.release(&f.slot)
	if err != nil {
		r.drop(f)
		return full(err)
	}
	return r.seal(f)
}

// copyParts copies a file that has just been restored; runs of zeros stay holes.
func copyParts(out output, src io.ReaderAt, size int64) error {
	buf, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < size; {
		b := buf[:min(size-off, int64(len(buf)))]
		if n, err := src.ReadAt(b, off); n < len(b) {
			return fmt.Errorf("reading what was restored: %w", err)
		}
		if !bytes.Equal(b, zeros[:len(b)]) {
			if err := out.writeParts([]part{{off, b}}); err != nil {
				return err
			}
		}
		off += int64(len(b))
	}
	return nil
}
