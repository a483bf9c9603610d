package volumes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/incremental/journal"
	"waybill/incremental/journal/fanotify"
	"waybill/internal/catalog"
	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/save"
	"waybill/internal/source"
)

// A volume is one that the selection reaches.
type volume struct {
	path   string   // absolute
	system string   // the file system's name
	device string   // tells file systems apart
	home   string   // of a subvolume: where the file system is mounted that it was found on
	pseudo bool     // it holds nobody's data, is a single file or left out: it is only known for where it is mounted
	skip   []string // what is put on it by us

	journal journal.Journal
	ranges  save.Ranges
	gap     *journal.Gap    // why there is no journal
	asked   time.Time       // a moment before now
	now     *journal.Cursor // nil when there is none
	release func() error    // of the snapshot
	closers []func() error

	saving save.Volume
}

// within tells whether a path is below another, or the same.
func within(path, top string) bool {
	return path == top || strings.HasPrefix(path, strings.TrimSuffix(top, "/")+"/")
}

// inMemory tells whether the volume is gone after a restart: it is small, and nobody means it who requires journals.
func (v *volume) inMemory() bool { return v.system == "tmpfs" }

func (v *volume) held() bool { return v.release != nil }

func (v *volume) openLive() (*source.Dir, error) { return source.OpenDir(v.path) }

func (v *volume) close() error {
	var errs []error
	if v.release != nil {
		if err := v.release(); err != nil {
			errs = append(errs, fmt.Errorf("releasing the snapshot of %s: %w", v.path, err))
		}
	}
	if v.journal != nil {
		errs = append(errs, v.journal.Close())
	}
	for _, c := range slices.Backward(v.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// leaveOutTransient leaves out what Windows keeps on a volume for itself: page files, shadow copies. A pattern of the user's that begins with an
// exclamation mark brings them back.
func (v *volume) leaveOutTransient(cfg *save.Config) {
	if !strings.EqualFold(v.system, "ntfs") {
		return
	}
	var more []string
	for _, pattern := range ntfsdir.Transient {
		if p := v.path + pattern; !slices.Contains(cfg.Excludes, p) {
			more = append(more, p)
		}
	}
	cfg.Excludes = slices.Concat(more, cfg.Excludes)
}

// open opens the volume's journal, if it has one.
func (v *volume) open(ctx context.Context, o Options) {
	var err error
	if v.journal == nil && v.gap == nil {
		v.journal, err = v.openJournal(o)
	}
	v.failed(err)
	if o.Mode == Off {
		v.gap = errOff
	}
}

// failed takes an error for the reason not to go by the journal.
func (v *volume) failed(err error) {
	if err == nil || v.gap != nil {
		return
	}
	if gap, ok := errors.AsType[*journal.Gap](err); ok {
		v.gap = gap
	} else {
		v.gap = &journal.Gap{Reason: err.Error()}
	}
}

// hold takes a snapshot if that is possible, and the journal's moment. A volume that can't be held still is read as it lives.
func (v *volume) hold(ctx context.Context, o Options) {
	if h, ok := v.journal.(journal.Holder); ok && o.Snapshot {
		dir, release, err := h.Hold(ctx)
		if err == nil {
			v.release = release
			v.saving.Open = func() (*source.Dir, error) { return source.OpenDir(dir) }
		}
		v.failed(err)
	}
	if v.journal == nil || v.gap != nil {
		return
	}
	var err error
	v.asked = o.Now()
	v.now, err = v.journal.Now(ctx)
	v.failed(err)
}

// ask asks the journal what changed since the base, and says what came of it. Only a journal that is required and can't tell is an error.
func (v *volume) ask(ctx context.Context, cfg *save.Config, o Options) error {
	s := &v.saving
	s.Path, s.Ranges = v.path, v.ranges
	if v.pseudo {
		return nil
	}
	now := o.Now().UTC()
	s.Record = catalog.Volume{Mode: catalog.Unoptimised, Cursor: v.now, Scanned: &now}
	if v.now != nil {
		s.Record.Journal = v.now.Kind
	}
	base, gap := cursorOf(cfg, v.path)
	if v.gap != nil {
		gap = v.gap
	}
	if v.now != nil {
		var err error
		if gap, err = v.changes(ctx, base, gap); err != nil {
			return err
		}
	}
	if gap != nil {
		s.Record.Reason = gap.Reason
		if o.Mode == Required && !v.inMemory() && !(gap == errFirst && v.now != nil) {
			return &RequiredError{v.path, gap.Reason, gap.Hint}
		}
		return nil
	}
	if !v.held() {
		s.Later = func() (*journal.Dirty, error) { return v.later(ctx) }
	}
	if v.now.Kind == fanotify.Kind { // btrfs, NTFS and ReFS give no id twice
		s.Reuses = v.asked
	}
	v.sweep(base, o, now)
	return nil
}

// changes asks for what changed since the base, unless there is a reason not to: then only which files are open.
func (v *volume) changes(ctx context.Context, base *catalog.Volume, gap *journal.Gap) (*journal.Gap, error) {
	var from *journal.Cursor
	if gap == nil {
		from = base.Cursor
	}
	d := &journal.Dirty{}
	err := v.journal.Changes(ctx, from, v.now, d)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case gap != nil:
		return gap, nil
	case err != nil:
		v.failed(err)
		return v.gap, nil
	case d.Overflow:
		return errOverflow, nil
	}
	v.saving.Dirty, v.saving.From = d, from
	return nil, nil
}

// sweep decides whether the volume is scanned all the same.
func (v *volume) sweep(base *catalog.Volume, o Options, now time.Time) {
	r := &v.saving.Record
	switch {
	case o.Sweep < 0:
		r.Reason = "swept, as was asked for"
	case o.Sweep > 0 && base.Misses > 0:
		r.Reason = "swept, because the last sweep found what the journal had missed"
	case o.Sweep > 0 && (base.Scanned == nil || now.Before(*base.Scanned) || now.Sub(*base.Scanned) >= o.Sweep): // the clock may have been set back
		r.Reason = fmt.Sprintf("swept, as it is every %d days", int(o.Sweep.Hours()/24))
	default:
		r.Mode, r.Reason, r.Scanned = catalog.Optimised, v.saving.Dirty.How, base.Scanned
		return
	}
	v.saving.Sweep = true
}

// later is what changed since the run began.
func (v *volume) later(ctx context.Context) (*journal.Dirty, error) {
	now, err := v.journal.Now(ctx)
	d := &journal.Dirty{}
	if err == nil {
		err = v.journal.Changes(ctx, v.now, now, d)
	}
	return d, err
}
