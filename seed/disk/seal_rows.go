package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"waybill/internal/durable"
	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// A slot is a row that is planned: members that it has already, by the shards of base, and those that come to it.
type slot struct {
	base    *parity.Group // nil for a new row
	table   *parity.Table // of base
	members []parity.Member
	added   []parity.Member // of disks that are here
}

func (s *slot) length() (n int64) {
	for _, m := range slices.Concat(s.members, s.added) {
		n = max(n, m.Size)
	}
	return n
}

// takes tells whether a pack can become a member.
func (s *slot) takes(m parity.Member) bool {
	all := slices.Concat(s.members, s.added)
	return len(all) < parity.MaxData && !slices.ContainsFunc(all, func(o parity.Member) bool { return o.Disk == m.Disk || o.Name == m.Name })
}

// index is the first column of the matrix that is free.
func (s *slot) index() (i int) {
	for slices.ContainsFunc(slices.Concat(s.members, s.added), func(m parity.Member) bool { return m.Index == i }) {
		i++
	}
	return i
}

// rowPlanner finds out what the rows on the disks of parity cover, and puts what is left into rows.
type rowPlanner struct {
	data, across []*sealing
	packs        map[int]map[string]int64 // by disk and name, the sizes of those that no row covers
	here         map[int]*sealing
	slots        []*slot
	drop         map[string]bool // groups that are to go
	known        map[string]bool // groups that can be read, if only in part
}

// makeRows gives every pack of the data disks a place in a row, and writes the rows' shards to the disks of parity.
func makeRows(ctx context.Context, data, across []*sealing, scheme parity.Scheme) error {
	slices.SortFunc(across, func(a, b *sealing) int { return a.label.Disk - b.label.Disk })
	slices.SortFunc(data, func(a, b *sealing) int { return a.label.Disk - b.label.Disk })
	p := &rowPlanner{data: data, across: across, packs: map[int]map[string]int64{}, here: map[int]*sealing{}, drop: map[string]bool{}, known: map[string]bool{}}
	for _, d := range data {
		files, err := d.members(ctx)
		if err != nil {
			d.fail(err)
			continue
		}
		p.here[d.label.Disk], p.packs[d.label.Disk] = d, files
	}
	if err := p.keep(ctx); err != nil {
		return err
	}
	for _, d := range across {
		if err := d.removeGroups(ctx, func(group string) bool { return p.drop[group] }); err != nil {
			return err
		}
	}
	p.fill()
	size := 1
	if scheme.Shards > 0 {
		size = scheme.Data // read together with the groups within the disks
	}
	todo := slices.DeleteFunc(p.slots, func(s *slot) bool { return len(s.added) == 0 })
	if err := p.loosen(ctx, todo); err != nil {
		return err
	}
	for slots := range slices.Chunk(todo, size) {
		for len(slots) > 0 && len(living(across)) > 0 && ctx.Err() == nil {
			var err error
			if slots, err = p.write(ctx, slots); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// keep looks at the rows that are there. The good ones stay; those that are not are made anew, for which all their members' disks must be here.
func (p *rowPlanner) keep(ctx context.Context) error {
	var sources []parity.Source
	for _, d := range p.across {
		sources = append(sources, parity.Source{Name: fmt.Sprint(d.label.Disk), Reader: d.Disk})
	}
	groups, _, err := parity.Groups(ctx, p.across[0].label.Machine, sources)
	if err != nil {
		return err
	}
	for _, g := range groups {
		p.known[g.Name] = true
	}
	groups = slices.DeleteFunc(groups, func(g *parity.Group) bool { return !g.Across() })
	slices.SortStableFunc(groups, func(a, b *parity.Group) int { return len(b.Members) - len(a.Members) })
	covered := map[string]bool{} // by rows that are good
	var bad []*parity.Group
	for _, g := range groups {
		if !slices.ContainsFunc(g.Members, func(m parity.Member) bool { return !covered[m.Name] }) {
			p.drop[g.Name] = true // it grew into another, and we stopped before it was removed
			continue
		}
		table, err := p.good(ctx, g)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad = append(bad, g)
			continue
		}
		for _, m := range g.Members {
			covered[m.Name] = true
			delete(p.packs[m.Disk], m.Name)
		}
		p.slots = append(p.slots, &slot{base: g, table: table, members: g.Members})
	}
	for _, g := range bad {
		for _, m := range g.Members {
			if p.here[m.Disk] == nil && !covered[m.Name] {
				return fmt.Errorf("%w: parity group %s is damaged, and to make it anew disk %d must be sealed with it", ErrMedium, g.Name, m.Disk)
			}
		}
		p.drop[g.Name] = true
	}
	if err := p.dropUnknown(ctx, covered); err != nil {
		return err
	}
	slices.SortStableFunc(p.slots, func(a, b *slot) int { return int(min(max(b.length()-a.length(), -1), 1)) })
	return nil
}

// dropUnknown drops the groups that say nothing: they would be in the way of rows of the same members, which have the same names. What they were of can't be
// told, so every pack that may have been covered by them must be here.
func (p *rowPlanner) dropUnknown(ctx context.Context, covered map[string]bool) error {
	unknown := ""
	for _, d := range p.across {
		err := d.List(ctx, manifest.ParityPrefix(d.label.Machine), func(name string, _ int64) error {
			if _, group, _, ok := manifest.ParseParityName(name); ok && !p.known[group] {
				p.drop[group], unknown = true, group
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	chain := p.across[0].chain
	lost := chain.Lost()
	for _, link := range chain.Links {
		for _, m := range link.Manifest.Packs {
			name := manifest.PackName(link.Manifest.Machine, m.Name)
			if unknown != "" && m.Disk > 0 && p.here[m.Disk] == nil && !covered[name] && !lost[m.Name] {
				return fmt.Errorf("%w: parity group %s can't be read, and as it may have covered disk %d, that must be sealed with it", ErrMedium, unknown, m.Disk)
			}
		}
	}
	return nil
}

// good checks that a row is as it was written, on the disks of parity that are here, and that its members are still there, on those that are. It returns
// the table if the row can be extended: all its shards are here. A row of which a pack is gone goes on protecting what is elsewhere, if some is.
func (p *rowPlanner) good(ctx context.Context, g *parity.Group) (table *parity.Table, err error) {
	gone := slices.ContainsFunc(g.Members, func(m parity.Member) bool {
		size, ok := p.packs[m.Disk][m.Name]
		return p.here[m.Disk] != nil && (!ok || size != m.Size)
	})
	if gone && !slices.ContainsFunc(g.Members, func(m parity.Member) bool { return p.here[m.Disk] == nil }) {
		return nil, errors.New("it protects a pack that is gone")
	}
	here := 0
	for _, d := range p.across {
		if !slices.ContainsFunc(g.Shards, func(s parity.Shard) bool { return s.Disk == d.label.Disk }) {
			continue
		}
		here++
		if g.Set != d.label.Set {
			return nil, errors.New("it is of another set")
		}
		if table, err = d.verify(ctx, g); err != nil {
			return nil, err
		}
	}
	if gone || here != len(g.Shards) {
		return nil, nil
	}
	return table, nil
}

// fill gives every pack that no row covers a slot: the largest of each disk come together.
func (p *rowPlanner) fill() {
	for _, n := range slices.Sorted(maps.Keys(p.packs)) {
		var packs []parity.Member
		for name, size := range p.packs[n] {
			packs = append(packs, parity.Member{Disk: n, Name: name, Size: size})
		}
		slices.SortFunc(packs, largest)
		at := 0
		for _, m := range packs {
			for at < len(p.slots) && (p.slots[at].base != nil && p.slots[at].table == nil || !p.slots[at].takes(m)) {
				at++
			}
			if at == len(p.slots) {
				p.slots = append(p.slots, &slot{})
			}
			s := p.slots[at]
			m.Index = s.index()
			s.added = append(s.added, m)
			at++
		}
	}
}

// loosen removes the parity within the disks of parity that is of rows which will be replaced. It would be of no use then, and its room may be needed.
func (p *rowPlanner) loosen(ctx context.Context, todo []*slot) error {
	replaced := map[string]bool{}
	for _, s := range todo {
		if s.base != nil {
			for _, shard := range s.base.Shards {
				replaced[manifest.ParityShardName(s.base.Machine, s.base.Name, shard.Index)] = true
			}
		}
	}
	for _, d := range p.across {
		groups, _, err := parity.Groups(ctx, d.label.Machine, []parity.Source{{Name: "", Reader: d.Disk}})
		if err != nil {
			return err
		}
		gone := map[string]bool{}
		for _, g := range groups {
			gone[g.Name] = slices.ContainsFunc(g.Members, func(m parity.Member) bool { return replaced[m.Name] })
		}
		if err := d.removeGroups(ctx, func(group string) bool { return gone[group] }); err != nil {
			return err
		}
	}
	return nil
}

// room is durable.ErrFull when a row that replaces another has no room beside it: then others must be done with first.
func (p *rowPlanner) room(s *slot) error {
	for _, d := range living(p.across) {
		free, err := d.Free()
		if err != nil {
			return err
		}
		if n := s.length(); s.base != nil && free < n+n/64+pieceSize/4 { // the tables, and the file system's own needs
			return fmt.Errorf("disk %d has only %d MiB free: %w", d.label.Disk, free>>20, durable.ErrFull)
		}
	}
	return nil
}

// A row is a slot being written.
type row struct {
	*slot
	enc  *encoding
	head parity.Head
	old  []Uncached // the base's shards
	dead bool
	err  error
}

// write reads the packs of some slots, writes their rows, and makes those groups within the disks that are of just these packs. It returns what
// must be done again: rows of a disk that failed, without it.
func (p *rowPlanner) write(ctx context.Context, slots []*slot) (again []*slot, err error) {
	var rows []*row
	defer func() {
		for _, r := range rows {
			r.close()
		}
	}()
	for _, s := range slots {
		s.added = slices.DeleteFunc(s.added, func(m parity.Member) bool { return p.here[m.Disk].failed() })
	}
	slots = slices.DeleteFunc(slots, func(s *slot) bool { return len(s.added) == 0 })
	alive := len(living(p.across))
	for i, s := range slots {
		if err := p.room(s); err != nil && i > 0 {
			again = slots[i:]
			break
		}
		r, err := p.begin(s)
		if err != nil && s.base == nil && len(living(p.across)) < alive {
			return slots, nil // without the disk that failed
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	lanes := p.lanes(rows)
	run(ctx, lanes, rows)
	for _, l := range lanes {
		l.end(ctx)
	}
	for _, r := range rows {
		failed := slices.ContainsFunc(r.added, func(m parity.Member) bool { return p.here[m.Disk].failed() })
		switch {
		case r.err != nil:
			return nil, r.err
		case failed:
			again = append(again, r.slot)
		case !r.dead:
			if err := p.commit(ctx, r); err != nil {
				return nil, err
			}
		}
	}
	return again, nil
}

// begin begins a row's shards: one on each disk of parity, or where its base has them.
func (p *rowPlanner) begin(s *slot) (*row, error) {
	r := &row{slot: s, head: parity.Head{Machine: p.across[0].label.Machine, Set: p.across[0].label.Set}}
	r.head.Members = slices.Concat(s.members, s.added)
	slices.SortFunc(r.head.Members, func(a, b parity.Member) int { return a.Index - b.Index })
	on := living(p.across)
	for j, d := range on {
		r.head.Shards = append(r.head.Shards, parity.Shard{Index: j, Disk: d.label.Disk})
	}
	var base *parity.Base
	if s.base != nil {
		on, r.head.Shards = nil, s.base.Shards
		for _, shard := range s.base.Shards {
			d := p.across[slices.IndexFunc(p.across, func(d *sealing) bool { return d.label.Disk == shard.Disk })]
			f, err := d.OpenUncached(manifest.ParityShardName(r.head.Machine, s.base.Name, shard.Index))
			if err != nil {
				r.close()
				return nil, err
			}
			on, r.old = append(on, d), append(r.old, f)
		}
		base = &parity.Base{Table: s.table, ReadAt: func(j int, b []byte, off int64) error {
			n, err := r.old[j].ReadAt(b, off)
			if n == len(b) || err == io.EOF {
				return nil // if it is cut short, its sums tell
			}
			return err
		}}
	}
	var err error
	if r.enc, err = encode(r.head, on, base, p.across[0].windows); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *row) close() {
	for _, f := range r.old {
		f.Close() // only read from
	}
	if r.enc != nil {
		r.enc.abort()
	}
}

// begin begins a window; false when there is nothing to be done.
func (r *row) begin(off int64) bool {
	if r.dead || off >= r.enc.Length() {
		return false
	}
	r.err = r.enc.Begin(off)
	r.dead = r.err != nil
	return !r.dead
}

// place is where in the row a file is.
func (r *row) place(name string) int {
	return slices.IndexFunc(r.head.Members, func(m parity.Member) bool { return m.Name == name })
}

// lanes are what the data disks have in the rows.
func (p *rowPlanner) lanes(rows []*row) (lanes []*lane) {
	for _, d := range p.data {
		l, any := &lane{sealing: d, files: make([]*reading, len(rows))}, false
		var names []string
		for k, r := range rows {
			for _, m := range r.added {
				if m.Disk == d.label.Disk {
					l.files[k], any = newReading(m), true
					names = append(names, m.Name)
				}
			}
		}
		if !any {
			continue
		}
		lanes = append(lanes, l)
		if i := slices.IndexFunc(d.groups, func(g []parity.Member) bool { return sameNames(g, names) }); i >= 0 {
			d.fail(l.begin(d.groups[i]))
			d.groups = slices.Delete(d.groups, i, i+1)
		}
	}
	return lanes
}

func sameNames(members []parity.Member, names []string) bool {
	var theirs []string
	for _, m := range members {
		theirs = append(theirs, m.Name)
	}
	slices.Sort(theirs)
	return strings.Join(theirs, " ") == strings.Join(slices.Sorted(slices.Values(names)), " ")
}

// commit publishes a row and removes the one that it grew out of.
func (p *rowPlanner) commit(ctx context.Context, r *row) error {
	r.enc.commit(ctx)
	r.enc = nil
	if r.base == nil {
		return nil
	}
	for _, d := range living(p.across) {
		if err := d.removeGroups(ctx, func(group string) bool { return group == r.base.Name }); err != nil {
			return err
		}
	}
	return nil
}
