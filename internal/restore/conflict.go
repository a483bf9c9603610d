package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/manifest"
)

// numbered is the n-th name to restore under: the entry's own, then "name (restored 1).ext" and so
// on. A name that would become too long loses its end before that.
func numbered(name string, n int) string {
	if n == 0 {
		return name
	}
	base, ext := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && len(name)-dot <= 16 {
		base, ext = name[:dot], name[dot:]
	}
	mark := fmt.Sprintf(" (restored %d)", n)
	if over := len(base) + len(mark) + len(ext) - maxNameBytes; over > 0 {
		base = base[:len(base)-over]
	}
	return base + mark + ext
}

// maxNameBytes is what file systems allow (NAME_MAX).
const maxNameBytes = 255

func escaped(d *dir, name []byte) string { return manifest.EscapePath(d.path(name)) }

// exists deals with an entry whose name is there already, and tells whether that settles it.
func (p *planner) exists(it *item) (bool, error) {
	d, e := it.dir, &it.entry
	if _, _, ok := streamOf(e); ok || d.fresh {
		return false, nil
	}
	h, err := p.open(d)
	if err != nil {
		return true, p.settle(it, p.item(d, e.Name, err))
	}
	defer p.release(d)
	for n := 0; ; n++ {
		name := numbered(string(e.Name), n)
		st, err := h.lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return true, p.settle(it, p.item(d, e.Name, err))
		}
		switch {
		case p.ledger.owns(&st) && h.same(e, &st, name):
			if it.replace = !p.ledger.safe(&st); it.replace {
				return false, nil
			}
			p.report.kept.Add(1)
			d.became(e.Name, name)
			p.wasLinked(it, name)
			return true, p.settle(it, nil)
		case p.opts.Conflict == Skip:
			p.report.skips.Add(1)
			d.became(e.Name, "")
			return true, p.settle(it, nil)
		case p.opts.Conflict == Fail:
			return true, p.conflict(d, e.Name)
		case p.opts.Conflict == Overwrite || !p.ledger.resumed:
			return false, nil // decided again when it is published
		}
	}
}

// lookAhead looks for conflicts before anything is written. It goes only where the target has
// directories already.
func (r *run) lookAhead(ctx context.Context) error {
	root, err := r.point.RootEntry()
	if err != nil {
		return err
	}
	c := &collisions{run: r}
	h, err := r.target.again()
	if err != nil {
		return err
	}
	if err := c.directory(ctx, h, r.top, root.Node, r.selected); err != nil || c.count == 0 {
		return err
	}
	return fmt.Errorf("%w: %s; nothing was restored", ErrConflict, c.String())
}

// collisions counts what exists and would be restored.
type collisions struct {
	*run
	count int
	first string
}

func (c *collisions) String() string {
	if c.count == 1 {
		return c.first + " exists in the target"
	}
	return fmt.Sprintf("%s and %d other entries exist in the target", c.first, c.count-1)
}

// directory compares a directory with what the target has of it, and closes it.
func (c *collisions) directory(ctx context.Context, h *handle, d *dir, node pack.ID, sel *selection) error {
	defer h.Close()
	ignore := func([]byte, string) {} // the restore itself reports damage
	return children(ctx, &c.locator, node, sel, ignore, func(e catalog.Entry, _ []byte, below *selection) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, _, ok := streamOf(&e); ok {
			return nil // what it belongs to is looked at
		}
		name := systemName(d, e.Name)
		st, err := h.lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("looking at %s in the target: %w", escaped(d, e.Name), err)
		case e.Kind == catalog.Directory && st.kind == catalog.Directory:
			sub, err := h.sub(name)
			if err != nil {
				return fmt.Errorf("looking at %s in the target: %w", escaped(d, e.Name), err)
			}
			return c.directory(ctx, sub, &dir{parent: d, entry: e}, e.Node, below)
		case c.ledger.owns(&st) && h.same(&e, &st, name):
			return nil
		}
		if c.count++; c.count == 1 {
			c.first = escaped(d, e.Name)
		}
		return nil
	})
}
