package restore

import (
	"errors"
	"io/fs"
	"strconv"

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
	if of, name, ok := streamOf(&it.entry); ok {
		it.dir.beside(stream{of, name, temp})
		return nil
	}
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
			it.dir.became(it.entry.Name, name)
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
