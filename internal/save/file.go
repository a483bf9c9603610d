package save

import (
	"context"
	"errors"
	"io"

	"waybill/internal/catalog"
	"waybill/internal/source"
)

const (
	// smallFile is read whole, straight into the frame it will be compressed in.
	smallFile = 128 << 10
	// readSize is how much of a large file is read at a time.
	readSize = 1 << 20
	// tries is how often a file that changes while it is read is begun again.
	tries = 3
)

// A reading is a large file on its way, so that a checkpoint can keep what is done of it.
type reading struct {
	dir   *dir
	slot  int
	entry catalog.Entry
}

// file saves a regular file. What it holds and what stat says of it belong together: when
// they changed in between it is read again, and at last saved with a warning.
func (w *worker) file(d *dir, i int, st *source.Stat) error {
	name := d.list.Name(i)
	id := identity{st.Dev, st.Inode}
	if st.Nlink > 1 {
		if e, ok := w.s.links.find(id); ok && sameStat(&e, st) {
			e.Name = name
			w.set(d, i, w.encode(&e))
			w.s.cfg.Progress.Bytes.Add(st.Size)
			return nil
		}
	}
	f := &w.open
	if err := d.src.OpenInto(name, f); err != nil {
		w.unsaved(d, i, err)
		return nil
	}
	defer f.Close()
	if only, _ := d.only.of(name); st.Dev != d.dev && only == nil { // something is mounted on the file, and it is no root
		fs, err := f.FileSystem()
		if err != nil {
			w.unsaved(d, i, err)
			return nil
		}
		if fs.Pseudo || w.s.cfg.OneFileSystem && !fs.MixesDevices() {
			w.set(d, i, nil)
			return nil
		}
	}
	e, err := w.readSteady(d, i, f)
	if _, ofSource := errors.AsType[*readError](err); ofSource {
		w.reading = nil
		w.content.Reset()
		w.unsaved(d, i, err)
		return nil
	}
	if err != nil {
		return err // w.reading stays: a checkpoint keeps what was stored
	}
	xattrs, err := f.Xattrs(&w.xattrs)
	e.Xattrs = w.encodeXattrs(d, name, xattrs, err)
	if err := w.content.Finish(&e); err != nil {
		return err
	}
	w.reading = nil
	w.set(d, i, w.encode(&e))
	if v := d.volume; v != nil && v.Ranges != nil && e.Size >= ranged && e.Flags&catalog.Changed == 0 {
		v.Ranges.Saved(f, &e)
	}
	if e.Flags&catalog.HardLinked != 0 && e.Flags&catalog.Changed == 0 {
		e.Name = nil
		w.s.links.add(id, e)
	}
	return nil
}

// readSteady reads the file until nothing changed meanwhile, a few times at most.
func (w *worker) readSteady(d *dir, i int, f *source.File) (e catalog.Entry, err error) {
	st := *f.Opened()
	for try := 1; ; try++ {
		e = w.entryOf(d.list.Name(i), &st)
		if err := w.read(d, i, f, &st, &e, try == 1); err != nil {
			return e, err
		}
		if err := f.Stat(&st); err != nil {
			return e, &readError{err}
		}
		if sameStat(&e, &st) && e.Size == w.content.Length() {
			return e, nil
		}
		if try == tries {
			e.Size = w.content.Length()
			e.Flags |= catalog.Changed
			w.s.problem(d.path(e.Name), "changed while it was read, %d times; saved as it was read", tries)
			return e, nil
		}
		w.content.Reset()
	}
}

// readError marks a failure of the source, not of the backup.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// read stores a file's content and leaves it in w.content.
func (w *worker) read(d *dir, i int, f *source.File, st *source.Stat, e *catalog.Entry, first bool) error {
	if first {
		w.earlier = w.earlierOf(d, i, f, e)
		defer w.dropEarlier()
	}
	if e.Size <= smallFile && !st.Sparse() && w.earlier == nil {
		w.s.cfg.Progress.Bytes.Add(e.Size)
		return w.readSmall(f, int(e.Size))
	}
	w.reading = &reading{d, i, *e}
	from := int64(0)
	if first {
		var err error
		if from, err = w.resume(d, d.slots[i], e); err != nil {
			return err
		}
	}
	if !st.Sparse() {
		return w.readExtent(f, from, e.Size, true)
	}
	return w.readSparse(f, from, e.Size)
}

// readSmall reads one more byte than the file has, to notice that it grew.
func (w *worker) readSmall(f *source.File, size int) error {
	if size == 0 {
		return nil
	}
	b, err := w.data.Reserve(size + 1)
	if err != nil {
		return err
	}
	n, err := readAll(f, b, 0)
	if err != nil {
		return err
	}
	w.count.ReadBytes += int64(n)
	w.s.cfg.Progress.ReadBytes.Add(int64(n))
	for b = b[:n]; len(b) > 0; {
		k := w.s.cfg.Writer.Cutter.Next(b, true)
		id, isNew, err := w.data.Take(b[:k])
		if err != nil {
			return err
		}
		w.fresh(k, isNew)
		if err := w.content.Add(catalog.Item{Length: int64(k), ID: id}); err != nil {
			return err
		}
		b = b[k:]
	}
	return nil
}

// readAll fills b from off on, less only at the file's end.
func readAll(f *source.File, b []byte, off int64) (n int, err error) {
	for n < len(b) {
		k, err := f.ReadAt(b[n:], off+int64(n))
		n += k
		if errors.Is(err, io.EOF) || err == nil && k == 0 {
			break
		}
		if err != nil {
			return n, &readError{err}
		}
	}
	return n, nil
}

func (w *worker) fresh(n int, isNew bool) {
	if isNew {
		w.count.NewBytes += int64(n)
		w.count.NewChunks++
		w.s.cfg.Progress.NewBytes.Add(int64(n))
	}
}

// resume takes over what a partial base entry has of the same file.
func (w *worker) resume(d *dir, raw []byte, e *catalog.Entry) (from int64, err error) {
	if raw == nil {
		return 0, nil
	}
	b, err := catalog.ParseEntry(raw)
	if err != nil {
		return 0, err
	}
	if b.Flags&catalog.Partial == 0 || b.Kind != e.Kind || b.Inode != e.Inode || b.Size != e.Size || b.Mtime != e.Mtime || b.Ctime != e.Ctime ||
		!d.isSettled(b.Ctime) {
		return 0, nil
	}
	for it, err := range catalog.Content(context.Background(), w.s.cfg.Base.Loader, b) {
		if w.s.lost(err) {
			break // what came before it is as it was saved
		}
		if err != nil {
			return 0, err
		}
		if w.s.cfg.Wary && !w.isKnown(it) {
			break
		}
		if err := w.content.Add(it); err != nil {
			return 0, err
		}
	}
	w.s.cfg.Progress.Bytes.Add(w.content.Length())
	return w.content.Length(), nil
}

// readSparse reads the data between the holes.
func (w *worker) readSparse(f *source.File, off, size int64) error {
	for off < size {
		start, end, err := f.NextData(off)
		if errors.Is(err, io.EOF) {
			start, end = size, size
		} else if err != nil {
			return &readError{err}
		}
		start, end = min(max(start, off), size), min(end, size)
		if start > off {
			w.s.cfg.Progress.Bytes.Add(start - off)
			if err := w.content.Add(catalog.Item{Length: start - off}); err != nil {
				return err
			}
		}
		if end > start {
			if err := w.readExtent(f, start, end, end == size); err != nil {
				return err
			}
		}
		off = w.content.Length()
		if off < end {
			return nil // it became shorter meanwhile
		}
	}
	return nil
}

// readExtent cuts and stores [off, end). When open is set it goes a byte further, to notice that the file grew.
func (w *worker) readExtent(f *source.File, off, end int64, open bool) error {
	if w.buf == nil {
		w.buf = make([]byte, readSize)
	}
	buf := w.buf
	if w.earlier != nil {
		buf = buf[:w.s.cfg.Writer.Cutter.Params().Max] // one chunk's worth: the next may be the base's again
	}
	if open {
		end++
	}
	held := 0 // bytes in buf that no chunk took yet; they end at off
	for {
		carried, err := w.carry(off-int64(held), end, open)
		if err != nil {
			return err
		}
		if carried > off-int64(held) {
			off, held = carried, 0
		}
		want := int64(len(buf) - held)
		n, err := readAll(f, buf[held:held+int(min(want, end-off))], off)
		if err != nil {
			return err
		}
		w.count.ReadBytes += int64(n)
		w.s.cfg.Progress.ReadBytes.Add(int64(n))
		w.s.cfg.Progress.Bytes.Add(int64(n))
		off += int64(n)
		held += n
		last := int64(n) < want
		taken, err := w.cut(buf[:held], last)
		if err != nil {
			return err
		}
		held = copy(buf, buf[taken:held])
		if last && held == 0 {
			return nil
		}
		if err := w.pause(); err != nil {
			return err
		}
	}
}

// cut stores the chunks that are certain, and returns how many bytes they took: only one, if the next may be the base's.
func (w *worker) cut(b []byte, last bool) (taken int, err error) {
	for taken < len(b) {
		k := w.s.cfg.Writer.Cutter.Next(b[taken:], last)
		if k == 0 {
			break
		}
		id, isNew, err := w.data.Add(b[taken : taken+k])
		if err != nil {
			return taken, err
		}
		w.fresh(k, isNew)
		if err := w.content.Add(catalog.Item{Length: int64(k), ID: id}); err != nil {
			return taken, err
		}
		if taken += k; w.earlier != nil {
			break
		}
	}
	return taken, nil
}
