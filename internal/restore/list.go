package restore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/manifest"
)

// children calls f for the selected entries of a directory, and lost for those that can't be read, or
// with a nil name for what is wrong with the directory.
func children(ctx context.Context, src catalog.Loader, node pack.ID, sel *selection, lost func(name []byte, problem string), f func(e catalog.Entry, raw []byte, below *selection) error) error {
	if sel.all() {
		l := &listing{loader: src, lost: func(problem string) { lost(nil, problem) }}
		l.each = func(e catalog.Entry, raw []byte) error { return f(e, raw, sel) }
		return l.node(ctx, node, 0)
	}
	for _, name := range sel.sorted() {
		e, err := catalog.Lookup(ctx, src, node, []byte(name))
		if err == nil {
			err = checkName(e.Name)
		}
		if isDamage(err) {
			lost([]byte(name), err.Error())
			continue
		}
		if err == nil {
			err = f(e, e.Append(nil), sel.names[name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A listing reads a directory of the catalogue like a stranger's, and as far as it can be read: a
// node that is damaged costs the names below it, not those after it.
type listing struct {
	loader catalog.Loader
	each   func(e catalog.Entry, raw []byte) error
	lost   func(problem string) // called for what can't be read, or must not be trusted
	last   []byte
}

// maxIndexes is how many levels of index nodes a directory may have; each halves the nodes at least.
const maxIndexes = 64

// node lists what is below a node. Damage is no error.
func (l *listing) node(ctx context.Context, id pack.ID, depth int) error {
	if id.IsZero() {
		return nil
	}
	b, err := l.loader.Load(ctx, id)
	if err == nil && (len(b) < 2 || depth > maxIndexes || b[0] != 'D' && b[0] != 'd') {
		err = fmt.Errorf("%w: node %.12s is no directory", pack.ErrDamaged, id)
	}
	switch {
	case isDamage(err):
		l.lost(fmt.Sprintf("%s is lost: %v", l.gap(), err))
		return nil
	case err != nil:
		return err
	case b[0] == 'D':
		return l.leaf(b[1:])
	}
	for b = b[1:]; len(b) > 0; {
		var child pack.ID
		var last []byte
		if child, last, b, err = parseChild(b); err != nil {
			l.lost(fmt.Sprintf("%s is lost: %v", l.gap(), err))
			return nil
		}
		if err := l.node(ctx, child, depth+1); err != nil {
			return err
		}
		if bytes.Compare(l.last, last) < 0 {
			l.last = last // also when the names up to it are lost
		}
	}
	return nil
}

// gap says what of the directory a damaged node held.
func (l *listing) gap() string {
	if l.last == nil {
		return "what is in it"
	}
	return fmt.Sprintf("what comes after %q in it", manifest.EscapePath(l.last))
}

func (l *listing) leaf(b []byte) error {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			l.lost(fmt.Sprintf("%s is lost: its listing does not parse", l.gap()))
			return nil
		}
		raw := b[k : k+int(n)]
		b = b[k+int(n):]
		e, err := catalog.ParseEntry(raw)
		if err == nil {
			err = l.check(e.Name)
		}
		if err != nil {
			l.lost(fmt.Sprintf("an entry of it is lost: %v", err))
			continue
		}
		l.last = e.Name
		if err := l.each(e, raw); err != nil {
			return err
		}
	}
	return nil
}

// check refuses names that could lead out of their directory, and names out of order: that is
// how a name could be there twice.
func (l *listing) check(name []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if l.last != nil && bytes.Compare(l.last, name) >= 0 {
		return fmt.Errorf("%w: the name %q is out of order", pack.ErrDamaged, manifest.EscapePath(name))
	}
	return nil
}

func checkName(name []byte) error {
	if s := string(name); s == "" || s == "." || s == ".." || bytes.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%w: %q is no name an entry can have", pack.ErrDamaged, manifest.EscapePath(name))
	}
	return nil
}

// parseChild reads a reference off a directory's index node: FORMAT.md, section 7.
func parseChild(b []byte) (id pack.ID, last, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return id, nil, nil, errIndex
	}
	last, b = b[k:k+int(n)], b[k+int(n):]
	if len(b) < len(id) {
		return id, nil, nil, errIndex
	}
	copy(id[:], b)
	b = b[len(id):]
	_, k = binary.Uvarint(b)
	if k <= 0 || id.IsZero() {
		return id, nil, nil, errIndex
	}
	return id, last, b[k:], nil
}

var errIndex = fmt.Errorf("%w: a directory index does not parse", pack.ErrDamaged)

// isDamage tells errors that concern what was read from those that concern reading at all.
func isDamage(err error) bool {
	return errors.Is(err, pack.ErrDamaged) || isMissing(err) || isBadMedium(err)
}
