package restore

import (
	"bytes"
	"context"
	"fmt"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/manifest"
)

// A trace walks the catalogues of points and looks up every chunk they refer to. What points share is walked
// once as long as it is found whole.
type trace struct {
	*check
	point manifest.Digest
	whole map[[16]byte]struct{} // nodes found whole
}

// maxWhole bounds the memory of a trace; beyond, shared parts are walked again.
const maxWhole = 1 << 20

func (c *check) trace(ctx context.Context) error {
	t := &trace{check: c, whole: map[[16]byte]struct{}{}}
	for i := range c.points {
		p := &c.points[i]
		t.point = p.Digest
		if p.Err != nil {
			t.affected([]byte("/"), "its record can't be read: "+p.Err.Error())
			continue
		}
		if err := t.tree(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (t *trace) tree(ctx context.Context, p *domain.Point) error {
	if p.State != catalog.Complete {
		return nil
	}
	root, err := p.RootEntry()
	if err != nil {
		t.affected([]byte("/"), err.Error())
		return nil
	}
	_, err = t.directory(ctx, nil, root.Node)
	return err
}

// directory tells whether all below a directory is whole.
func (t *trace) directory(ctx context.Context, path []byte, node pack.ID) (bool, error) {
	if t.isWhole(node) {
		return true, nil
	}
	whole := true
	l := &listing{loader: t.d, lost: func(problem string) {
		whole = false
		t.affected(append(path, '/'), problem)
	}}
	l.each = func(e catalog.Entry, _ []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.report.Entries++
		name := append(append(bytes.Clone(path), '/'), e.Name...)
		ok, err := true, error(nil)
		switch e.Kind {
		case catalog.Directory:
			ok, err = t.directory(ctx, name, e.Node)
		case catalog.File:
			ok, err = t.file(ctx, name, e)
		}
		whole = whole && ok
		return err
	}
	err := l.node(ctx, node, 0)
	if err == nil && whole {
		t.setWhole(node)
	}
	return whole, err
}

// file tells whether a file's content is all there.
func (t *trace) file(ctx context.Context, path []byte, e catalog.Entry) (bool, error) {
	if t.isWhole(e.Node) {
		return true, nil
	}
	var bad wounds
	off := int64(0)
	for item, err := range catalog.Content(ctx, t.d, e) {
		if err != nil && !isDamage(err) {
			return false, err
		}
		if err != nil {
			bad.add(off, e.Size-off, err.Error())
			break
		}
		if !item.IsHole() {
			if problem := t.chunk(item.ID); problem != "" {
				bad.add(off, item.Length, problem)
			}
		}
		off += item.Length
	}
	if bad.count > 0 {
		t.affected(path, bad.String())
		return false, nil
	}
	t.setWhole(e.Node)
	return true, nil
}

// chunk tells what is wrong with a chunk, if anything.
func (t *trace) chunk(id pack.ID) string {
	loc, ok := t.d.Locate(id)
	if !ok {
		return "in no pack at hand"
	}
	if t.needed != nil {
		t.needed[loc.Pack] = t.needed[loc.Pack].with(loc.Frame)
		return ""
	}
	if t.settled && t.isBad(id, loc.Pack, loc.Frame) {
		return fmt.Sprintf("frame %d of pack %.12s is damaged", loc.Frame, manifest.Digest(loc.Pack))
	}
	return ""
}

func (t *trace) isWhole(node pack.ID) bool {
	_, ok := t.whole[[16]byte(node[:16])]
	return ok
}

func (t *trace) setWhole(node pack.ID) {
	if !node.IsZero() && len(t.whole) < maxWhole {
		t.whole[[16]byte(node[:16])] = struct{}{}
	}
}

func (t *trace) affected(path []byte, problem string) {
	t.report.AffectedCount++
	if len(t.report.Affected) < MaxProblems {
		t.report.Affected = append(t.report.Affected, Affected{t.point, Problem{manifest.EscapePath(path), problem}})
	}
}
