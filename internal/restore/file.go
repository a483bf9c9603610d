package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"sync/atomic"

	"waybill/internal/catalog"
)

// errSkipped and errDamaged say what became of an item that was not published and is reported already.
var (
	errSkipped = errors.New("skipped")
	errDamaged = errors.New("not restored")
)

// build makes an item under a temporary name and publishes it. The parts are all of a file's data.
func (r *run) build(it *item, parts []part) error {
	h, err := r.open(it.dir)
	if err != nil {
		return err
	}
	defer r.release(it.dir)
	e := &it.entry
	temp, err := r.unused(func(temp string) error {
		if e.Kind != catalog.File {
			return h.make(temp, e, r.manner)
		}
		out, err := h.create(temp, e, it.dir.fresh, r.manner)
		if err != nil {
			return err
		}
		err = out.write(parts, e.Size)
		if err == nil {
			r.warn(it, out.dress(e, r.manner))
		}
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			h.root.Remove(temp)
		}
		return err
	})
	var undressed *metadataError
	if errors.As(err, &undressed) {
		r.warn(it, undressed.err)
		err = nil
	}
	if err != nil {
		return full(err)
	}
	return r.publish(h, it, temp)
}

// A metadataError says that an entry was made, but not all of its metadata.
type metadataError struct{ err error }

func (e *metadataError) Error() string { return e.err.Error() }

func (r *run) warn(it *item, err error) {
	if err != nil {
		r.report.warn(it.dir.path(it.entry.Name), err.Error())
	}
}

// unused calls f with temporary names until one isn't taken.
func (r *run) unused(f func(temp string) error) (string, error) {
	for {
		temp := r.prefix + strconv.FormatInt(r.temps.Add(1), 10)
		err := f(temp)
		if !errors.Is(err, fs.ErrExist) {
			return temp, err
		}
	}
}

// publish gives what is complete its name, as the conflict mode says, and tells those who wait to link to it.
func (r *run) publish(h *handle, it *item, temp string) error {
	for n := 0; ; n++ {
		name := numbered(string(it.entry.Name), n)
		var err error
		if r.opts.Conflict == Overwrite || it.replace {
			err = h.replace(temp, name)
		} else {
			err = h.publish(temp, name)
		}
		switch {
		case err == nil:
			return r.nowLinked(it, name)
		case !errors.Is(err, fs.ErrExist):
		case r.opts.Conflict == Copy:
			continue
		default:
			err = r.taken(it)
		}
		h.root.Remove(temp)
		return full(err)
	}
}

// taken says what it means that an item's name exists.
func (r *run) taken(it *item) error {
	switch r.opts.Conflict {
	case Skip:
		r.report.skips.Add(1)
		return errSkipped
	case Fail:
		return r.conflict(it.dir, it.entry.Name)
	}
	return errors.New("it can't take the place of a directory that isn't empty; move that away and restore again")
}

// A file is one whose pieces come from several frames. Under its temporary name it is open to all
// workers; the one that brings the last piece publishes it.
type file struct {
	item
	temp string
	left atomic.Int32 // pieces to come, and one while the planner has not given all of them out
	slot slot[output]
	made bool         // the temporary file; changed while the slot is being opened
	seen atomic.Int64 // bytes that progress has counted
	mu   sync.Mutex   // guards bad
	bad  wounds
}

func (r *run) newFile(it *item) *file { return &file{item: *it} }

func (f *file) damage(off, n int64, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad.add(off, n, problem)
}

// fill writes a piece of a file.
func (r *run) fill(f *file, parts []part, bad wounds) error {
	if bad.count > 0 {
		f.mu.Lock()
		f.bad.merge(bad)
		f.mu.Unlock()
	}
	if len(parts) > 0 {
		if err := r.fillParts(f, parts); err != nil {
			if err := r.item(f.dir, f.entry.Name, err); err != nil {
				return err
			}
			f.damage(0, 0, "") // reported; what is still to come has nowhere to go
		}
	}
	n := int64(0)
	for _, p := range parts {
		n += int64(len(p.b))
	}
	r.opts.Progress.Bytes.Add(n)
	f.seen.Add(n)
	return r.piece(f)
}

func (r *run) fillParts(f *file, parts []part) error {
	f.mu.Lock()
	gone := f.bad.given
	f.mu.Unlock()
	if gone {
		return nil
	}
	out, err := r.files.acquire(&f.slot, func() (output, error) { return r.openFile(f) })
	if err != nil {
		return err
	}
	defer r.files.release(&f.slot)
	return out.writeParts(parts)
}

// openFile makes a file of the right size, or opens it again.
func (r *run) openFile(f *file) (out output, err error) {
	h, err := r.open(f.dir)
	if err != nil {
		return out, err
	}
	defer r.release(f.dir)
	if f.made {
		return h.reopen(f.temp)
	}
	f.temp, err = r.unused(func(temp string) error {
		out, err = h.create(temp, &f.entry, false, r.manner)
		return err
	})
	if err != nil {
		return out, err
	}
	f.made = true
	r.filling.add(f)
	if err := out.truncate(f.entry.Size); err != nil {
		out.Close()
		return out, err
	}
	return out, nil
}

// piece takes one off what is left of a file, and publishes it when that was the last.
func (r *run) piece(f *file) error {
	if f.left.Add(-1) > 0 {
		return nil
	}
	defer r.filling.remove(f)
	f.mu.Lock()
	bad := f.bad
	f.mu.Unlock()
	if bad.count > 0 || bad.given {
		r.drop(f)
		if bad.count > 0 {
			r.report.damaged(f.dir.path(f.entry.Name), bad.String())
		}
		return r.finishFile(f, errDamaged)
	}
	return r.finishFile(f, r.seal(f))
}

// finishFile is finishItem for a file whose bytes have been counted on the way.
func (r *run) finishFile(f *file, err error) error {
	r.opts.Progress.Bytes.Add(-f.seen.Load())
	return r.finishItem(&f.item, err)
}

// seal completes and publishes a file that has all its data.
func (r *run) seal(f *file) error {
	out, err := r.files.acquire(&f.slot, func() (output, error) { return r.openFile(f) })
	if err != nil {
		return err
	}
	r.warn(&f.item, out.dress(&f.entry, r.manner))
	r.files.release(&f.slot)
	if err := r.files.discard(&f.slot); err != nil {
		return full(err)
	}
	h, err := r.open(f.dir)
	if err != nil {
		return err
	}
	defer r.release(f.dir)
	return r.publish(h, &f.item, f.temp)
}

// drop removes a file that can't be completed.
func (r *run) drop(f *file) {
	r.files.discard(&f.slot)
	if !f.made {
		return
	}
	if h, err := r.open(f.dir); err == nil {
		h.root.Remove(f.temp) // else the next run does
		r.release(f.dir)
	}
}

// A registry knows the files being filled, so that they can be removed when the run is given up.
type registry struct {
	mu  sync.Mutex
	set map[*file]bool
}

func (g *registry) add(f *file) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.set == nil {
		g.set = map[*file]bool{}
	}
	g.set[f] = true
}

func (g *registry) remove(f *file) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.set, f)
}

func (g *registry) all() []*file {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []*file
	for f := range g.set {
		all = append(all, f)
	}
	return all
}

// wounds are the ranges of a file that can't be had.
type wounds struct {
	count int // ranges; neighbours that come one after the other are one
	bytes int64
	given bool  // up: the target failed, and that is reported
	first int64 // where the first one added begins
	end   int64 // of the one added last
	why   string
}

func (x *wounds) add(off, n int64, why string) {
	switch {
	case n == 0:
		x.given = true
		return
	case x.count == 0:
		x.first, x.why = off, why
	}
	if x.count == 0 || x.end != off {
		x.count++
	}
	x.bytes += n
	x.end = off + n
}

func (x *wounds) merge(o wounds) {
	if x.count == 0 {
		x.first, x.why = o.first, o.why
	}
	x.first = min(x.first, o.first)
	x.count += o.count
	x.bytes += o.bytes
	x.end = o.end
}

func (x *wounds) String() string {
	ranges := "1 range"
	if x.count > 1 {
		ranges = fmt.Sprintf("%d ranges", x.count)
	}
	return fmt.Sprintf("%d bytes in %s can't be had, from byte %d on: %s", x.bytes, ranges, x.first, x.why)
}
