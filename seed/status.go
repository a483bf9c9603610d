package seed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/internal/catalog"
	"waybill/manifest"
	"waybill/seed/disk"
)

// A Status tells how far a seed is.
type Status struct {
	Set      manifest.ID  `json:"set"`
	Complete bool         `json:"complete"` // its point is, or a backup's that ended it; not necessarily its disks' sealing
	Files    int64        `json:"files"`    // in its newest commit
	Bytes    int64        `json:"bytes"`
	Updated  time.Time    `json:"updated"` // when that commit was made
	Disks    []DiskStatus `json:"disks"`
}

// A DiskStatus tells what commits have on a disk, and, when it is there, what its label says.
type DiskStatus struct {
	Disk   int        `json:"disk"`
	Path   string     `json:"path,omitempty"` // where it is; empty when it isn't here
	State  disk.State `json:"state,omitempty"`
	Role   string     `json:"role,omitempty"`
	Serial string     `json:"serial,omitempty"`
	Packs  int        `json:"packs"`
	Bytes  int64      `json:"bytes"`
	Free   int64      `json:"free,omitempty"` // disk.Boundless is left out
}

// Look tells how far the machine's seed is, by its commits and by the disks at hand: ErrNothing when none has been begun.
func Look(ctx context.Context, o *Options) (*Status, error) {
	s := &Status{Set: setOf(o.Domain.Chain)}
	if s.Set == "" {
		return nil, fmt.Errorf("no commit of this machine is on disks: %w", ErrNothing)
	}
	at := map[int]*DiskStatus{}
	var first error
	for _, link := range o.Domain.Chain.Links {
		m := link.Manifest
		for n := 1; m.Set == s.Set && n <= m.Disks; n++ {
			if at[n] == nil {
				at[n] = &DiskStatus{Disk: n}
			}
		}
		for _, p := range m.Packs {
			if d := at[p.Disk]; d != nil {
				d.Packs++
				d.Bytes += p.Size
			}
		}
		if m.Set == s.Set {
			first = errors.Join(first, s.point(ctx, o, link))
		}
	}
	if !s.Complete { // a backup may have ended it
		last, err := o.Domain.Last(ctx)
		s.Complete = err == nil && last != nil && last.State == catalog.Complete
		first = errors.Join(first, err)
	}
	for _, path := range o.Disks {
		if err := s.here(o, path, at); err != nil {
			return nil, err
		}
	}
	for _, d := range at {
		s.Disks = append(s.Disks, *d)
	}
	slices.SortFunc(s.Disks, func(a, b DiskStatus) int { return cmp.Compare(a.Disk, b.Disk) })
	return s, first
}

// point takes in what a commit of the seed says of itself.
func (s *Status) point(ctx context.Context, o *Options, link manifest.Link) error {
	p, err := o.Domain.Resolve(ctx, link.Digest.String())
	if err != nil {
		return err
	}
	s.Complete = p.State == catalog.Complete
	s.Files, s.Bytes, s.Updated = p.Stats.Files, p.Stats.Bytes, p.Ended
	return nil
}

// here takes in what the label of a disk at hand says.
func (s *Status) here(o *Options, path string, at map[int]*DiskStatus) error {
	m, err := o.medium(path)
	if err != nil {
		return err
	}
	d, err := disk.OpenOn(m)
	if err != nil {
		return err
	}
	defer d.Close()
	l := d.Label()
	if l.Set != s.Set {
		return fmt.Errorf("%s: %w: it is of set %s", path, disk.ErrForeign, l.Set)
	}
	if at[l.Disk] == nil {
		at[l.Disk] = &DiskStatus{Disk: l.Disk}
	}
	st := at[l.Disk]
	st.Path, st.State, st.Role, st.Serial = path, l.State, l.Role, l.Serial
	if free, err := d.Free(); err != nil || free < disk.Boundless {
		st.Free = free
		return err
	}
	return nil
}
