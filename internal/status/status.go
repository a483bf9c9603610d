// Package status tells how the machines of a vault are doing, without any key: from what manifests, receipts and names say.
//
// [Machines] goes through a vault machine by machine. Nothing of packs is read but their names, so a pack that is there and damaged goes
// unnoticed here: that is for `verify` to find.
package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"waybill/internal/heal"
	"waybill/manifest"
)

// A Machine is how one is doing.
type Machine struct {
	ID         manifest.ID
	Name       string
	Registered time.Time
	Points     int       // commits that are there
	Restorable int       // of those: all whose packs are there
	Gaps       []int     // commits, by number, that are not there
	Last       time.Time // of the newest commit; zero without any
	Packs      int       // that are there
	Bytes      int64     // of them
	Seeds      []Seed    // of which disks have not arrived
	Lost       int       // packs that the vault's receipts want, and that are not there
	Missing    int       // packs that are not there, though they travelled on no disk and no receipt wants them
	Access     time.Time // when the last of what lets the machine into the vault ends; zero where there is none
	Err        error     // what of its documents is not as it should be; nil when all is well
}

// A Seed is one of which disks have not arrived.
type Seed struct {
	Set      manifest.ID
	Time     time.Time // of its newest commit
	Disks    int       // that carry packs
	Imported int       // of those: disks of which all is there
	Packs    int       // that are not there
}

// atOnce is how many machines of a vault far away are looked at at once: there it is waiting that takes the time.
const atOnce = 4

// Machines calls each with every machine that the vault has a key of, ascending. It keeps in memory what some machines' manifests and lists of packs take,
// however many machines there are. It stops at each's first error, and when the vault can't be read.
func Machines(ctx context.Context, vault manifest.Reader, doc *manifest.Vault, each func(*Machine) error) error {
	ids, err := manifest.Machines(ctx, vault)
	if err != nil {
		return err
	}
	workers := 1
	if r, ok := vault.(interface{ Remote() bool }); ok && r.Remote() {
		workers = atOnce
	}
	for len(ids) > 0 {
		now := ids[:min(workers, len(ids))]
		ids = ids[len(now):]
		all := make([]*Machine, len(now))
		g, gctx := errgroup.WithContext(ctx)
		for i, id := range now {
			g.Go(func() (err error) {
				all[i], err = look(gctx, vault, doc, id)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, m := range all {
			if err := each(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// look looks at one machine. What is wrong with its documents is in the result.
func look(ctx context.Context, vault manifest.Reader, doc *manifest.Vault, id manifest.ID) (*Machine, error) {
	m := &Machine{ID: id}
	machine, err := manifest.OpenMachine(ctx, vault, id)
	if flaw(err) {
		m.Err = err
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	m.Name, m.Registered = machine.Name, machine.Created
	if m.Access, err = Access(ctx, vault, id, time.Time{}); err != nil {
		return nil, err
	}
	packs, err := m.list(ctx, vault)
	if err != nil {
		return nil, err
	}
	chain, err := manifest.ReadChain(ctx, vault, machine)
	if err := unread(err); err != nil {
		return nil, err
	}
	m.Err, m.Points, m.Gaps = err, len(chain.Links), chain.Missing
	if last := chain.Last(); last != nil {
		m.Last = last.Manifest.Time
	}
	wants, err := heal.WantsOf(ctx, sizes{vault, packs}, machine, &chain, doc.ReceiptKey)
	if err != nil {
		return nil, err
	}
	m.count(&chain, packs, wants)
	return m, nil
}

// list lists the packs that are there.
func (m *Machine) list(ctx context.Context, vault manifest.Reader) (map[manifest.Digest]int64, error) {
	packs := map[manifest.Digest]int64{}
	err := vault.List(ctx, manifest.PacksPrefix(m.ID), func(name string, size int64) error {
		if _, d, ok := manifest.ParsePackName(name); ok {
			packs[d] = size
			m.Packs++
			m.Bytes += size
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the packs of machine %s: %w", m.ID, err)
	}
	return packs, nil
}

// count goes through what the commits list and the vault lacks.
func (m *Machine) count(chain *manifest.Chain, packs map[manifest.Digest]int64, wants heal.List) {
	wanted := map[manifest.Digest]bool{}
	for _, p := range append(wants.Now, wants.Later...) {
		wanted[p.Name] = true
	}
	m.Lost = len(wanted)
	there := func(d manifest.Digest) bool { _, ok := packs[d]; return ok && !wants.Unseen[d] && !wanted[d] }
	for _, a := range heal.Arrivals(chain, there, wanted) {
		if a.Arrived() {
			m.Restorable++
		}
	}
	lost := chain.Lost()
	var seeds []*seed
	for _, l := range chain.Links {
		s := seedOf(&seeds, l.Manifest)
		for _, p := range l.Manifest.Packs {
			switch {
			case lost[p.Name]:
				continue
			case p.Disk > 0:
				s.away[p.Disk] += 0 // it carries something
			}
			switch {
			case there(p.Name) || wanted[p.Name]:
			case p.Disk > 0:
				s.away[p.Disk]++
			default:
				m.Missing++
			}
		}
	}
	for _, s := range seeds {
		if s.add(); s.Packs > 0 {
			m.Seeds = append(m.Seeds, s.Seed)
		}
	}
}

// A seed is one that is being counted.
type seed struct {
	Seed
	away map[int]int // packs that are not there, by disk
}

func seedOf(all *[]*seed, m *manifest.Manifest) *seed {
	for _, s := range *all {
		if s.Set == m.Set {
			s.Time = m.Time
			return s
		}
	}
	s := &seed{Seed{Set: m.Set, Time: m.Time}, map[int]int{}}
	*all = append(*all, s)
	return s
}

func (s *seed) add() {
	for _, n := range s.away {
		s.Disks++
		s.Packs += n
		if n == 0 {
			s.Imported++
		}
	}
}

// sizes is a vault whose packs were listed.
type sizes struct {
	manifest.Reader
	packs map[manifest.Digest]int64
}

// Size asks the vault of what is no pack only.
func (s sizes) Size(ctx context.Context, name string) (int64, error) {
	_, d, ok := manifest.ParsePackName(name)
	if !ok {
		return s.Reader.Size(ctx, name)
	}
	if size, there := s.packs[d]; there {
		return size, nil
	}
	return 0, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// Access tells when the last of what lets a machine into the vault ends, by its name, before a limit, unless that is zero; zero when there is none. Anybody who can
// create objects can make the name.
func Access(ctx context.Context, vault manifest.Reader, id manifest.ID, limit time.Time) (ends time.Time, err error) {
	err = vault.List(ctx, manifest.AccessPrefix(id), func(name string, _ int64) error {
		if _, t, ok := manifest.ParseAccessName(name); ok && t.After(ends) && (limit.IsZero() || t.Before(limit)) {
			ends = t
		}
		return nil
	})
	if err != nil {
		return ends, fmt.Errorf("listing the access of machine %s: %w", id, err)
	}
	return ends, nil
}

// flaw tells an error of a document from one of reading it.
func flaw(err error) bool {
	return errors.Is(err, manifest.ErrFormat) || errors.Is(err, manifest.ErrSignature) || errors.Is(err, manifest.ErrChain) || errors.Is(err, fs.ErrNotExist)
}

// unread is what of a chain's error is no flaw of a commit: the vault could not be read.
func unread(err error) error {
	list, ok := err.(interface{ Unwrap() []error }) // it joins what is wrong with each commit
	if !ok {
		return err
	}
	for _, e := range list.Unwrap() {
		if !flaw(e) {
			return e
		}
	}
	return nil
}
