package restore

import (
	"context"

	"waybill/internal/catalog"
	"waybill/internal/pack"
)

// A planner walks the catalogue, makes directories, and puts everything else into batches.
type planner struct {
	*run
	queue  *queue
	batch  *batch
	limit  int // items of the next batch
	most   int // of any
	mounts uint64
	marked int64 // bytes and entries when the ledger was marked last
}

func newPlanner(r *run, q *queue) *planner {
	p := &planner{run: r, queue: q, batch: newBatch(firstItems), limit: firstItems, most: maxItems}
	if r.src.Far() {
		p.most = maxFarItems
	}
	return p
}

func (p *planner) plan(ctx context.Context) error {
	root, err := p.point.RootEntry()
	if err != nil {
		return err
	}
	p.top.left.Store(1)
	if err := p.sweep(p.top); err != nil {
		return err
	}
	if err := p.directory(ctx, p.top, root.Node, p.selected); err != nil {
		return err
	}
	return p.send(ctx)
}

// directory plans what is selected of a directory.
func (p *planner) directory(ctx context.Context, d *dir, node pack.ID, sel *selection) error {
	lost := func(name []byte, problem string) { p.report.damaged(d.path(name), problem) }
	err := children(ctx, &p.locator, node, sel, lost, func(e catalog.Entry, raw []byte, below *selection) error {
		if e.Kind == catalog.Directory {
			return p.enter(ctx, d, raw, below)
		}
		return p.add(ctx, d, raw)
	})
	if err == nil { // else it is not complete, and must not look so
		p.done(d)
	}
	return err
}

// enter makes a directory and plans what is in it.
func (p *planner) enter(ctx context.Context, d *dir, raw []byte, sel *selection) error {
	e, err := catalog.ParseEntry(append([]byte(nil), raw...))
	if err != nil {
		return err
	}
	if err := refused(d, &e); err != nil {
		return p.item(d, e.Name, err)
	}
	kid, err := p.makeDir(d, e, sel.all())
	if kid == nil || err != nil {
		d.became(e.Name, "")
		return err
	}
	d.became(e.Name, kid.name)
	if e.Flags&catalog.MountPoint != 0 {
		p.mounts++
		kid.mount = p.mounts
	}
	if e.Flags&catalog.Unreadable != 0 {
		p.report.warn(kid.path(nil), "it could not be read when it was saved: what was in it is not in the backup")
	}
	d.left.Add(1)
	kid.left.Store(1)
	return p.directory(ctx, kid, e.Node, sel)
}

// add plans an entry that is no directory.
func (p *planner) add(ctx context.Context, d *dir, raw []byte) error {
	e, err := catalog.ParseEntry(p.batch.clone(raw))
	if err != nil {
		return err
	}
	it := item{dir: d, entry: e}
	if err := refused(d, &e); err != nil {
		return p.settle(&it, p.item(d, e.Name, err))
	}
	if done, err := p.exists(&it); done || err != nil {
		return err
	}
	if e.Flags&catalog.Partial != 0 {
		p.report.damaged(d.path(e.Name), "its backup was interrupted: only its first part was saved, so it was not restored")
		return p.settle(&it, nil)
	}
	d.left.Add(1)
	if e.Flags&catalog.HardLinked != 0 {
		if later, err := p.linked(&it); later || err != nil {
			return err
		}
	}
	if len(p.batch.items) >= p.limit || len(p.batch.refs) >= maxRefs {
		if err := p.send(ctx); err != nil {
			return err
		}
	}
	p.batch.items = append(p.batch.items, it)
	if e.Kind == catalog.File && e.Size > 0 {
		return p.content(ctx)
	}
	p.batch.plain = append(p.batch.plain, int32(len(p.batch.items)-1))
	return nil
}

// settle counts an entry that is done without having been planned.
func (p *planner) settle(it *item, err error) error {
	p.opts.Progress.Entries.Add(1)
	p.opts.Progress.Bytes.Add(it.entry.Size)
	return err
}

// content adds the chunks of the last item of the batch. A file that is larger than a batch goes on in the next.
func (p *planner) content(ctx context.Context) error {
	at := int32(len(p.batch.items) - 1)
	it := p.batch.items[at]
	off, found := int64(0), false
	for c, err := range catalog.Content(ctx, &p.locator, it.entry) {
		if err != nil && !isDamage(err) {
			return err
		}
		if err != nil {
			p.hold(at).damage(off, it.entry.Size-off, err.Error())
			break
		}
		if len(p.batch.refs) >= maxRefs {
			p.hold(at)
			it = p.batch.items[at]
			if err := p.send(ctx); err != nil {
				return err
			}
			p.batch.items = append(p.batch.items, it)
			at = 0
		}
		if !c.IsHole() {
			found = true
			if loc, ok := p.locator.find(ctx, c.ID); !ok {
				p.hold(at).damage(off, c.Length, "in no pack at hand")
			} else if int64(loc.Length) != c.Length {
				p.hold(at).damage(off, c.Length, "its chunk is of another length")
			} else {
				p.batch.refs = append(p.batch.refs, ref{c.ID, loc, off, at})
			}
		}
		off += c.Length
	}
	if f := p.batch.items[at].file; f != nil {
		p.batch.held = append(p.batch.held, f)
	} else if !found {
		p.batch.plain = append(p.batch.plain, at)
	}
	return nil
}

// hold makes a file that is not finished before the planner has given all its pieces out.
func (p *planner) hold(at int32) *file {
	it := &p.batch.items[at]
	if it.file == nil {
		it.file = p.newFile(it)
		it.file.left.Store(1)
	}
	return it.file
}

// send gives the batch to the workers and begins another.
func (p *planner) send(ctx context.Context) error {
	b := p.batch
	p.arrange(b)
	for _, f := range b.held {
		if err := p.piece(f); err != nil {
			return err
		}
	}
	p.limit = min(2*p.limit, p.most)
	p.batch = newBatch(p.limit)
	if err := p.mark(); err != nil {
		return err
	}
	select {
	case p.queue.batches <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// markEvery is the bytes after which what was restored is made safe from power loss, with an
// entry counting as much as its inode.
const markEvery = 16 << 30

func (p *planner) mark() error {
	n := p.report.bytes.Load() + p.report.files.Load()<<12
	if n-p.marked < markEvery {
		return nil
	}
	p.marked = n
	return p.ledger.mark(p.target)
}
