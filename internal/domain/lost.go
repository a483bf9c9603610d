package domain

import (
	"context"
	"maps"

	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// lostTag is the index's name for the lost packs that are there all the same. It is no commit's.
const lostTag = "lost packs"

// Shun makes the packs count as lost, beside those that the chain settles: what is in them only is not known any
// more. It is called before the domain is used by several goroutines.
func (d *Domain) Shun(packs []manifest.Pack) {
	d.shunned = maps.Clone(d.shunned)
	for _, p := range packs {
		d.shunned[p.Name] = true
	}
}

// Advance takes a commit that was just made on this chain into it, and what it settles. It is called when nobody
// else uses the domain.
func (d *Domain) Advance(l manifest.Link) {
	d.Chain.Links = append(d.Chain.Links, l)
	d.list(l.Manifest.Packs...)
	d.lost = d.Chain.Lost()
	d.shunned = maps.Clone(d.shunned)
	maps.Copy(d.shunned, d.lost)
}

// Only tells whether a chunk lies in one of the packs and, as far as the index knows, in no other but shunned ones.
func (d *Domain) Only(id pack.ID, packs map[manifest.Digest]bool) bool {
	p := id.Prefix()
	if _, ok := d.trustworthy(d.data, p); ok {
		return false
	}
	_, ok := d.data.Where(p, func(name *[32]byte) bool { return packs[*name] })
	return ok
}

// Knows tells whether the index has a data chunk at all, in whatever pack.
func (d *Domain) Knows(id pack.ID) bool { return d.data.Has(id.Prefix()) }

// trusted is the data index without the packs that are shunned.
type trusted struct{ *Domain }

func (t trusted) Has(p index.Key) bool {
	if len(t.shunned) == 0 {
		return t.data.Has(p)
	}
	_, ok := t.trustworthy(t.data, p)
	return ok
}

// trustworthy finds a chunk in a pack that is not shunned.
func (d *Domain) trustworthy(x *index.Index, p index.Key) (index.Loc, bool) {
	return x.Where(p, func(name *[32]byte) bool { return !d.shunned[*name] })
}

// best finds a chunk in a pack that was not tried, rather in one that is not lost.
func (d *Domain) best(x *index.Index, p index.Key, tried map[manifest.Digest]bool) (index.Loc, bool) {
	if len(d.lost)+len(tried) == 0 {
		return x.Lookup(p)
	}
	loc, ok := x.Where(p, func(name *[32]byte) bool { return !d.lost[*name] && !tried[*name] })
	if !ok && len(d.lost) > 0 {
		loc, ok = x.Where(p, func(name *[32]byte) bool { return !tried[*name] })
	}
	return loc, ok
}

// addLost indexes the lost packs that are there.
func (d *Domain) addLost(ctx context.Context, class manifest.Class) error {
	var packs []manifest.Pack
	for _, link := range d.Chain.Links {
		for _, p := range link.Manifest.Packs {
			if d.lost[p.Name] {
				packs = append(packs, p)
			}
		}
	}
	return d.index(class).Add(lostTag, func(put func(index.Key, index.Loc) error) error {
		_, err := d.eachTable(ctx, packs, class, func(name manifest.Digest, t *pack.Table) error { return addTable(name, t, put) })
		return err
	})
}
