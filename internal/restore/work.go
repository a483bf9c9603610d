package restore

import (
	"bytes"
	"context"

	"waybill/internal/catalog"
	"waybill/internal/domain"
)

// A worker opens frames and makes entries. Its fields are its own.
type worker struct {
	*run
	ctx     context.Context
	plain   []byte          // the frame being worked on
	checked map[uint32]bool // chunks of it whose hash was right, by their start
	parts   []part
}

// A part is a stretch of a file in memory.
type part struct {
	off int64
	b   []byte
}

// work does jobs until there are no more.
func (w *worker) work(next func(context.Context) (load, error)) error {
	for {
		l, err := next(w.ctx)
		if l.batch == nil || err != nil {
			l.release()
			return err
		}
		if err := w.do(l); err != nil {
			return err
		}
	}
}

// do does the jobs of a load.
func (w *worker) do(l load) error {
	defer l.release()
	b, frames := l.batch, domain.Frames(w.src)
	if l.fetched != nil {
		frames = l.fetched
	}
	for _, j := range l.jobs {
		err := error(nil)
		if j.frame {
			err = w.frame(frames, b, b.refs[j.from:j.to])
		} else {
			err = w.make(b, b.plain[j.from:j.to])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// make makes items that need no chunk.
func (w *worker) make(b *batch, items []int32) error {
	for _, i := range items {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		it := &b.items[i]
		if err := w.finishItem(it, w.build(it, nil)); err != nil {
			return err
		}
	}
	return nil
}

// frame opens a frame and gives every item what it wants of it.
func (w *worker) frame(frames domain.Frames, b *batch, refs []ref) error {
	plain, err := frames.Frame(w.ctx, refs[0].loc, w.plain)
	if err != nil && !isDamage(err) {
		return err
	}
	if err == nil {
		w.plain = plain
	}
	clear(w.checked)
	for len(refs) > 0 {
		n := 1
		for n < len(refs) && refs[n].item == refs[0].item {
			n++
		}
		if err := w.piece(&b.items[refs[0].item], refs[:n], err); err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}

// piece writes an item's part of the open frame. A file that has no other is made of it.
func (w *worker) piece(it *item, refs []ref, frameErr error) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	var bad wounds
	w.parts = w.parts[:0]
	for i := range refs {
		b, err := w.chunk(&refs[i], frameErr)
		if err != nil && !isDamage(err) {
			return err
		}
		if err != nil {
			bad.add(refs[i].off, int64(refs[i].loc.Length), err.Error())
			continue
		}
		w.join(refs[i].off, b)
	}
	if f := it.file; f != nil {
		return w.fill(f, w.parts, bad)
	}
	if bad.count > 0 {
		w.report.damaged(it.dir.path(it.entry.Name), bad.String())
		return w.finishItem(it, errDamaged)
	}
	return w.finishItem(it, w.build(it, w.parts))
}

// join appends a chunk to the parts: what lies side by side in the frame and in the file is written at once.
func (w *worker) join(off int64, b []byte) {
	if n := len(w.parts); n > 0 {
		last := &w.parts[n-1]
		if k := len(last.b); last.off+int64(k) == off && cap(last.b) >= k+len(b) && &last.b[:k+1][k] == &b[0] {
			last.b = last.b[:k+len(b)]
			return
		}
	}
	w.parts = append(w.parts, part{off, b})
}

// chunk returns a chunk of the open frame once its hash is known to be right.
func (w *worker) chunk(r *ref, frameErr error) ([]byte, error) {
	err := frameErr
	if err == nil {
		if end := uint64(r.loc.Start) + uint64(r.loc.Length); w.checked[r.loc.Start] && end <= uint64(len(w.plain)) {
			return w.plain[r.loc.Start:end], nil
		}
		if _, err = w.src.Chunk(r.id, w.plain, r.loc); err == nil {
			w.checked[r.loc.Start] = true
			return w.plain[r.loc.Start : r.loc.Start+r.loc.Length], nil
		}
	}
	if !isDamage(err) {
		return nil, err
	}
	return w.elsewhere(r, err)
}

// elsewhere looks for a chunk that was not where the index says: that is a hint, and made anew before the pack is blamed.
func (w *worker) elsewhere(r *ref, was error) ([]byte, error) {
	if err := w.locator.renew(w.ctx); err != nil {
		return nil, err
	}
	loc, ok := w.locator.find(w.ctx, r.id)
	if !ok || loc == r.loc || loc.Length != r.loc.Length {
		return nil, was
	}
	frame, err := w.src.Frame(w.ctx, loc, nil)
	if err != nil {
		return nil, err
	}
	b, err := w.src.Chunk(r.id, frame, loc)
	return bytes.Clone(b), err
}

// finishItem settles an item that was made in one go: err is what build returned.
func (r *run) finishItem(it *item, err error) error {
	e := &it.entry
	if err != nil {
		it.dir.became(e.Name, "")
	}
	switch {
	case err == nil:
		r.count(e)
	case err == errDamaged || err == errSkipped:
		err = r.unlinked(it, err)
	default:
		if err = r.item(it.dir, e.Name, err); err == nil {
			err = r.unlinked(it, errDamaged)
		}
	}
	if err != nil {
		return err // its directory is not complete, and must not look so
	}
	r.opts.Progress.Entries.Add(1)
	r.opts.Progress.Bytes.Add(e.Size)
	r.done(it.dir)
	return nil
}

func (r *run) count(e *catalog.Entry) {
	if e.Kind == catalog.File {
		r.report.files.Add(1)
		r.report.bytes.Add(e.Size)
	} else {
		r.report.other.Add(1)
	}
}
