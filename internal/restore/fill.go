package restore

import (
	"sync"
	"sync/atomic"
)

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
