package volumes

import (
	"context"
	"errors"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/save"
)

// A VolumeStatus is how a volume's journal does, and whether the next backup can go by it.
type VolumeStatus struct {
	Path       string // absolute
	FileSystem string
	journal.Status
	Gap, Hint  string  // why the next backup would scan; empty when it would not
	How        string  // how it would find the changes, when not as always
	Changed    int     // directories that would be looked at
	FillPerDay int64   // bytes; 0 when not known
	DaysLeft   float64 // until the journal has lost what the next backup needs; 0 when it doesn't wrap, or that is not known
}

// Status looks at the journals of the volumes that the roots are on. Last is the newest point, nil when there is none. Nothing is held still or changed.
func Status(ctx context.Context, roots []string, last *catalog.Point, o Options) (all []VolumeStatus, err error) {
	o.Snapshot = false
	cfg := save.Config{Roots: roots}
	h := &Held{}
	defer func() { err = errors.Join(err, h.Release()) }()
	if last != nil {
		cfg.Base, cfg.OneFileSystem = &save.Base{Point: last}, last.OneFileSystem
		cfg.Selection = last.Selection
	}
	if h.volumes, err = open(&cfg, o); err != nil {
		return nil, err
	}
	for _, v := range h.volumes {
		if v.pseudo {
			continue
		}
		v.open(ctx, o)
		s, err := v.status(ctx, &cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// status asks the journal for what the next backup would ask.
func (v *volume) status(ctx context.Context, cfg *save.Config) (s VolumeStatus, err error) {
	s.Path, s.FileSystem = v.path, v.system
	if v.journal != nil {
		if s.Status, err = v.journal.Status(ctx); err != nil {
			v.failed(err)
		}
	}
	base, gap := cursorOf(cfg, v.path)
	if v.gap == nil {
		v.now, err = v.journal.Now(ctx)
		v.failed(err)
	}
	if v.gap != nil {
		gap = v.gap
	} else if gap, err = v.changes(ctx, base, gap); err != nil {
		return s, err
	}
	if gap != nil {
		s.Gap, s.Hint = gap.Reason, gap.Hint
	} else {
		s.How, s.Changed = v.saving.Dirty.How, len(v.saving.Dirty.Dirs)
	}
	s.foretell(v.now, v.saving.From)
	return s, nil
}

// foretell reckons with a journal that goes on to grow as it did: since its oldest record, or since the last backup.
func (s *VolumeStatus) foretell(now, from *journal.Cursor) {
	if s.Size == 0 || now == nil {
		return
	}
	since, first := s.Since, s.First
	if from != nil && (since.IsZero() || now.Taken.Sub(from.Taken) >= now.Taken.Sub(since)) {
		since, first = from.Taken, from.Position
	}
	days := now.Taken.Sub(since).Hours() / 24
	if since.IsZero() || days <= 0 || s.Next <= first {
		return
	}
	s.FillPerDay = int64(float64(s.Next-first) / days)
	if s.FillPerDay > 0 {
		s.DaysLeft = float64(s.Size) / float64(s.FillPerDay)
	}
}
