package heal

import (
	"maps"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/manifest"
)

// An Arrival is how far a recovery point has come: what of the packs that its chain needs is in the vault.
type Arrival struct {
	Packs    int // needed
	Missing  int // not in the vault
	Wanted   int // of those: lost, and to be stored again by the next backup
	Disks    int // that carry any of the packs
	Imported int // of those: disks of which no pack is missing
}

// Arrived tells whether the point restores from the vault alone.
func (a Arrival) Arrived() bool { return a.Missing == 0 }

// Arrivals tells it for each commit of the chain. A point needs the packs of all commits up to its own; in the place of lost ones
// it needs those of the commits that settle them.
func Arrivals(c *manifest.Chain, inVault func(manifest.Digest) bool, wanted map[manifest.Digest]bool) []Arrival {
	t := &tally{missing: map[carrier]int{}, lost: c.Lost(), inVault: inVault, wanted: wanted}
	settles := settlers(c)
	all := make([]Arrival, len(c.Links))
	for i := range c.Links {
		t.add(c.Links[i].Manifest)
		whole := t
		for h := i + 1; h < len(c.Links); h++ {
			if from, ok := settles[h]; ok && from <= i {
				if whole == t {
					whole = t.clone()
				}
				whole.add(c.Links[h].Manifest)
			}
		}
		all[i] = whole.arrival()
	}
	return all
}

// settlers are the links that settle packs, each with the first link of which it settles one.
func settlers(c *manifest.Chain) map[int]int {
	settles := map[int]int{}
	added := map[manifest.Digest]int{}
	for i, l := range c.Links {
		for _, name := range l.Manifest.Lost {
			from, known := added[name]
			if first, ok := settles[i]; known && (!ok || from < first) {
				settles[i] = from
			}
		}
		for _, p := range l.Manifest.Packs {
			added[p.Name] = i
		}
	}
	return settles
}

// A tally counts packs.
type tally struct {
	Arrival
	missing map[carrier]int // by disk
	lost    map[manifest.Digest]bool
	inVault func(manifest.Digest) bool
	wanted  map[manifest.Digest]bool
}

func (t *tally) clone() *tally {
	c := *t
	c.missing = maps.Clone(t.missing)
	return &c
}

func (t *tally) add(m *manifest.Manifest) {
	for _, p := range m.Packs {
		if t.lost[p.Name] {
			continue
		}
		t.Packs++
		n := 0
		if !t.inVault(p.Name) {
			n = 1
			t.Missing++
		}
		if n == 1 && t.wanted[p.Name] {
			t.Wanted++
		}
		if p.Disk > 0 {
			t.missing[carrier{m.Set, p.Disk}] += n
		}
	}
}

func (t *tally) arrival() Arrival {
	a := t.Arrival
	for _, n := range t.missing {
		a.Disks++
		if n == 0 {
			a.Imported++
		}
	}
	return a
}

// Lacks counts the entries of each point that can't be restored as they were, by what later commits say that settled lost packs. A
// healed point lacks what its base does.
func Lacks(points []domain.Point) map[manifest.Digest]int64 {
	said, inherited := map[manifest.Digest]int64{}, map[manifest.Digest]int64{}
	for _, p := range points {
		if p.Err != nil {
			continue
		}
		for _, x := range p.Damaged {
			said[x.Point] += x.Files
			if p.Mode == catalog.Healed && p.Base != nil && x.Point == *p.Base {
				inherited[p.Digest] = x.Files
			}
		}
		if p.Mode == catalog.Healed && p.Base != nil {
			inherited[p.Digest] += inherited[*p.Base]
		}
	}
	for id, n := range inherited {
		said[id] += n
	}
	return said
}
