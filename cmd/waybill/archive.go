package main

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/spf13/pflag"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
	"waybill/internal/domain"
	"waybill/internal/restore"
	"waybill/manifest"
)

// A rehydration says what to do when contents are in the archive.
type rehydration string

func (r *rehydration) flags(f *pflag.FlagSet) {
	f.StringVar((*string)(r), "rehydrate", "standard", "bring packs back from a vault's archive tier, at this `PRIORITY`: standard, high, or none to fail instead")
}

func (r rehydration) check() error {
	if r != "standard" && r != "high" && r != "none" {
		return cli.Errorf(cli.Usage, "--rehydrate %s is none of standard, high, none", string(r))
	}
	return nil
}

// An archive is a vault that may keep objects where they can't be read at once.
type archive interface {
	Archived(ctx context.Context, names []string) (archived []string, bytes int64, err error)
	Rehydrate(ctx context.Context, names []string, haste bool, progress func(ready int)) error
}

// fromArchive does what reads contents. When something turns out to be in the archive, it has brought back what is needed, and does it again: packs
// that need not be brought back aren't asked about, and most vaults have no archive.
func (r *reading) fromArchive(ctx context.Context, a *app, how rehydration, needs func() ([]string, error), do func() error) error {
	for {
		err := do()
		if how == "none" || !place.InArchive(err) {
			return err
		}
		names, nerr := needs()
		if nerr != nil {
			return nerr
		}
		brought, berr := r.bringBack(ctx, a, names, how == "high")
		if berr != nil {
			return berr
		}
		if !brought {
			return err // it is another object
		}
	}
}

// bringBack has what is in the archive of some packs brought back, and waits for it. It tells whether there was any.
func (r *reading) bringBack(ctx context.Context, a *app, names []string, haste bool) (any bool, err error) {
	for _, t := range r.trees {
		from, ok := t.Store.(archive)
		if !ok {
			continue
		}
		archived, bytes, err := from.Archived(ctx, names)
		if err != nil || len(archived) == 0 {
			if err != nil {
				return false, err
			}
			continue
		}
		wait := "up to 15 hours"
		if haste {
			wait = "mostly less than an hour"
		}
		a.out.Say("%s, %s, must be brought back from the archive, which takes %s; interrupted, the service goes on, and the same command then waits for the rest",
			cli.Counted(int64(len(archived)), "pack"), cli.Bytes(bytes), wait)
		var ready atomic.Int64
		stop := a.out.Progress(func() cli.Sample {
			return cli.Sample{Phase: "bringing back", Files: ready.Load(), TotalFiles: int64(len(archived)), Unit: "pack"}
		})
		err = from.Rehydrate(ctx, archived, haste, func(n int) { ready.Store(int64(n)) })
		stop()
		if err != nil {
			return false, err
		}
		any = true
	}
	return any, nil
}

// packsOf returns the names of the packs that a restore of paths of a point reads. When the tables of packs are in the archive too, nobody knows, and it is
// all that the point may need.
func (r *reading) packsOf(ctx context.Context, p *domain.Point, paths [][]byte) ([]string, error) {
	needed, err := restore.Needs(ctx, r.Domain, p, paths)
	if place.InArchive(err) {
		return r.dataPacks(p.Manifest.Sequence), nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range slices.SortedFunc(maps.Keys(needed), func(a, b manifest.Digest) int { return slices.Compare(a[:], b[:]) }) {
		names = append(names, manifest.PackName(r.Machine.Machine, name))
	}
	return names, nil
}

// dataPacks returns the names of all data packs of the commits up to one; 0 for all.
func (r *reading) dataPacks(upto int) (names []string) {
	lost := r.Chain.Lost()
	for _, l := range r.Chain.Links {
		for _, p := range l.Manifest.Packs {
			if p.Class == manifest.Data && !lost[p.Name] && (upto == 0 || l.Manifest.Sequence <= upto) {
				names = append(names, manifest.PackName(r.Machine.Machine, p.Name))
			}
		}
	}
	return names
}
