package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"waybill/internal/catalog"
)

// A dir is a directory of the target while something in it is still to be done.
type dir struct {
	parent *dir
	name   string        // in the target
	entry  catalog.Entry // its own
	mount  uint64        // the file system it lay on: a number for each mount point met
	fresh  bool          // made by this run: there is nothing in it but what the run put there
	dress  bool          // its metadata is set at the end
	left   atomic.Int32  // entries not done, and one while the planner is in it
	slot   slot[*handle]

	mu      sync.Mutex // guards what follows
	streams []stream   // to be attached at the end
	others  map[string]string
}

// path is the directory's path as the point has it.
func (d *dir) path(name []byte) []byte {
	if d.parent == nil {
		return append([]byte("/"), name...)
	}
	p := d.parent.path(d.entry.Name)
	if name != nil {
		p = append(append(p, '/'), name...)
	}
	return p[:len(p):len(p)]
}

// open opens a directory until it is released.
func (r *run) open(d *dir) (*handle, error) {
	return r.dirs.acquire(&d.slot, func() (*handle, error) {
		if d.parent == nil {
			return r.target.again()
		}
		up, err := r.open(d.parent)
		if err != nil {
			return nil, err
		}
		defer r.release(d.parent)
		return up.sub(d.name)
	})
}

func (r *run) release(d *dir) { r.dirs.release(&d.slot) }

// done takes one off what is left of a directory, and completes it and then its parents when that was the last.
func (r *run) done(d *dir) {
	for d.left.Add(-1) == 0 && d.parent != nil {
		r.complete(d)
		d = d.parent
	}
}

// complete sets a directory's metadata: nothing in it will change any more.
func (r *run) complete(d *dir) {
	r.opts.Progress.Entries.Add(1)
	r.report.dirs.Add(1)
	r.attach(d)
	if d.dress {
		h, err := r.open(d)
		if err == nil {
			err = h.dress(&d.entry, r.manner)
			r.release(d)
		}
		if err != nil {
			r.report.warn(d.path(nil), "its metadata: "+err.Error())
		}
	}
	r.dirs.discard(&d.slot)
}

// makeDir makes the directory of an entry, or finds it. It returns nil when there can be none: what
// is in the way has been dealt with as the mode says. When not all of it is wanted, it only leads to
// what is, and one that exists stays as it is.
func (r *run) makeDir(parent *dir, e catalog.Entry, all bool) (*dir, error) {
	h, err := r.open(parent)
	if err != nil {
		return nil, r.item(parent, e.Name, err)
	}
	defer r.release(parent)
	kid := &dir{parent: parent, entry: e, mount: parent.mount, dress: true}
	for n := 0; ; n++ {
		kid.name = numbered(systemName(parent, e.Name), n)
		err := full(h.root.Mkdir(kid.name, 0o700))
		if err == nil {
			kid.fresh = true
			if err := h.freshen(kid.name); err != nil {
				r.report.warn(kid.path(nil), err.Error())
			}
			return kid, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, r.item(parent, e.Name, err)
		}
		st, err := h.lstat(kid.name)
		if err != nil {
			return nil, r.item(parent, e.Name, err)
		}
		if st.kind == catalog.Directory {
			kid.dress = r.ledger.owns(&st) || r.opts.Conflict == Overwrite && all
			return kid, r.sweep(kid)
		}
		switch r.opts.Conflict {
		case Copy:
			continue
		case Skip:
			r.report.skips.Add(1)
			return nil, nil
		case Fail:
			return nil, r.conflict(parent, e.Name)
		}
		return nil, r.item(parent, e.Name, errors.New("a directory can't take the place of what is there; move that away and restore again"))
	}
}

// sweep removes what an interrupted run of the same point left half made in a directory.
func (r *run) sweep(d *dir) error {
	if !r.ledger.resumed {
		return nil
	}
	h, err := r.open(d)
	if err != nil {
		return r.item(d, nil, err)
	}
	defer r.release(d)
	if err := h.removeAll(r.prefix); err != nil {
		return r.item(d, nil, err)
	}
	return nil
}

// item notes that an entry could not be made in the target, or returns the error when it ends the run.
func (r *run) item(d *dir, name []byte, err error) error {
	if err = full(err); stops(err) {
		return fmt.Errorf("restoring %s: %w", escaped(d, name), err)
	}
	r.report.failed(d.path(name), err)
	return nil
}

func (r *run) conflict(d *dir, name []byte) error {
	return fmt.Errorf("%w: %s exists in the target", ErrConflict, escaped(d, name))
}
