// Package volumes finds the file systems that a selection reaches, holds them still where that is possible, and asks their change journals what
// changed since the base.
//
//	held, err := volumes.Prepare(ctx, &cfg, volumes.Options{StateDir: dir, Snapshot: true, Sweep: 30 * 24 * time.Hour})
//	defer held.Release()
//	result, err := save.Run(ctx, cfg)
//
// A journal that can't vouch for the whole time since the base means a scan of that volume; why is said in the point, volume by
// volume. All journals are below incremental/journal; this package is where it is chosen among them.
package volumes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
	"waybill/internal/save"
	"waybill/manifest"
)

// Mode says how journals are used.
type Mode int

// The modes.
const (
	Auto     Mode = iota // where one vouches
	Off                  // not at all
	On                   // as Auto: who asks for it wants to be told loudly where one doesn't
	Required             // or nothing is saved
)

// Options say how volumes are looked at. The zero value uses journals and takes no snapshots.
type Options struct {
	Mode     Mode
	Sweep    time.Duration    // a volume is scanned all the same when it was not for so long; 0: never, below 0: now
	Snapshot bool             // read from snapshots, where there are such
	StateDir string           // of the machine: where the agent's log is, and what is known of large files; empty: neither
	Now      func() time.Time // the clock; nil for time.Now
	Tell     func(string)     // told what people should know of a volume; may be nil
	Images   []Image          // what is saved lies in these, instead of on this machine
}

// An Image is a disk image with an NTFS volume in it.
type Image struct {
	Path      string
	Partition int    // from 1 on; 0 for the only one with NTFS
	As        string // what the volume is called: "C:"
}

// A RequiredError says that a journal was required and could not be used.
type RequiredError struct{ Volume, Reason, Hint string }

func (e *RequiredError) Error() string {
	return fmt.Sprintf("the change journal of %s can't be used: %s", e.Volume, e.Reason)
}

// Held is what Prepare opened.
type Held struct{ volumes []*volume }

// Release lets the volumes go, and removes their snapshots.
func (h *Held) Release() error {
	var errs []error
	for _, v := range slices.Backward(h.volumes) {
		errs = append(errs, v.close())
	}
	h.volumes = nil
	return errors.Join(errs...)
}

// Reason says in words for people why something was scanned, or looked at otherwise than where journals told.
func (h *Held) Reason() string {
	var list []string
	for _, v := range h.volumes {
		if r := v.saving.Record; r.Reason != "" {
			list = append(list, r.Reason)
		}
	}
	if len(list) == 0 {
		return "the change journals told where to look"
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), "; ")
}

// Prepare sets cfg's Volumes, Mounts and Selection, and for images Root, from its Base and Roots. It adds to Skip what it puts on the
// volumes itself. The caller releases what is returned when the run is over.
func Prepare(ctx context.Context, cfg *save.Config, o Options) (*Held, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Held{}
	err := h.prepare(ctx, cfg, o)
	if err != nil {
		return nil, errors.Join(err, h.Release())
	}
	return h, nil
}

func (h *Held) prepare(ctx context.Context, cfg *save.Config, o Options) error {
	var err error
	if h.volumes, err = open(cfg, o); err != nil {
		return err
	}
	for _, v := range h.volumes {
		v.leaveOutTransient(cfg)
	}
	cfg.Selection = selectionOf(cfg, o.Images)
	h.tellGone(cfg, o)
	for _, v := range h.volumes {
		if !v.pseudo {
			v.open(ctx, o)
			v.hold(ctx, o)
		}
	}
	for _, v := range h.volumes {
		if err := v.ask(ctx, cfg, o); err != nil {
			return err
		}
		cfg.Skip = append(cfg.Skip, v.skip...)
	}
	cfg.Volumes = h.forSaving()
	for _, v := range h.volumes {
		if v.pseudo {
			cfg.Mounts = append(cfg.Mounts, v.path)
		}
	}
	return nil
}

// tellGone tells which volumes of the last backup are no volumes any more: one that nobody has mounted is empty, and saved so.
func (h *Held) tellGone(cfg *save.Config, o Options) {
	if o.Tell == nil || cfg.Base == nil || cfg.Base.Point.Selection != cfg.Selection {
		return
	}
	for _, was := range cfg.Base.Point.Volumes {
		if !slices.ContainsFunc(h.volumes, func(v *volume) bool { return manifest.EscapePath([]byte(v.path)) == was.Path }) {
			o.Tell(was.Path + " was mounted, or a subvolume, at the last backup and is not now: what was in it is not in this one")
		}
	}
}

// open finds the volumes that cfg's roots are on, here or in images.
func open(cfg *save.Config, o Options) ([]*volume, error) {
	if len(o.Images) > 0 {
		return openImages(cfg, o)
	}
	return find(cfg.Roots, cfg.OneFileSystem)
}

// forSaving is what the engine is told. What is mounted below a snapshot is not in it, and is opened by its path.
func (h *Held) forSaving() (all []save.Volume) {
	for _, v := range h.volumes {
		above := h.above(v)
		if v.saving.Open == nil && above != nil && above.held() {
			v.saving.Open = v.openLive
		}
		if v.saving.Open != nil || !v.pseudo {
			all = append(all, v.saving)
		}
	}
	return all
}

// above is the innermost volume that v is mounted in.
func (h *Held) above(v *volume) (found *volume) {
	for _, x := range h.volumes {
		if x != v && within(v.path, x.path) && (found == nil || len(x.path) > len(found.path)) {
			found = x
		}
	}
	return found
}

// selectionOf is the hash of all that says what is saved. Cursors of another selection don't tell what is missing of this one.
func selectionOf(cfg *save.Config, images []Image) manifest.Digest {
	type selection struct {
		Roots, Excludes []string
		OneFileSystem   bool
		Images          []string // what they are called: which file an image is in differs from snapshot to snapshot
	}
	s := selection{nil, cfg.Excludes, cfg.OneFileSystem, nil}
	for _, r := range cfg.Roots {
		if path, err := filepath.EvalSymlinks(r); err == nil && len(images) == 0 {
			r = path // where it leads now
		}
		s.Roots = append(s.Roots, r)
	}
	slices.Sort(s.Roots)
	for _, m := range images {
		s.Images = append(s.Images, m.As)
	}
	slices.Sort(s.Images)
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers can be marshalled
	}
	return manifest.Sum(b)
}

// reasons not to go by a journal, beside those that the journals have themselves.
var (
	errOff         = &journal.Gap{Reason: "change journals are switched off"}
	errFirst       = &journal.Gap{Reason: "first backup"}
	errSelection   = &journal.Gap{Reason: "selection changed"}
	errInterrupted = &journal.Gap{Reason: "the last backup was interrupted"}
	errLost        = &journal.Gap{Reason: "what was lost on the way is looked for"}
	errProblems    = &journal.Gap{Reason: "the last backup had too many problems to look at one by one"}
	errOverflow    = &journal.Gap{Reason: journal.Overflown}
	errNew         = &journal.Gap{Reason: "the volume was not in the last backup"}
)

// cursorOf finds where the base left off in a volume, nil and the reason when it can't be gone on from.
func cursorOf(cfg *save.Config, path string) (*catalog.Volume, *journal.Gap) {
	if cfg.Base == nil {
		return nil, errFirst
	}
	p := cfg.Base.Point
	i := slices.IndexFunc(p.Volumes, func(v catalog.Volume) bool { return v.Path == manifest.EscapePath([]byte(path)) })
	switch {
	case cfg.Wary:
		return nil, errLost
	case p.Selection != cfg.Selection:
		return nil, errSelection
	case p.ProblemCount > len(p.Problems):
		return nil, errProblems
	case i < 0 || p.Volumes[i].Cursor == nil:
		if p.State == catalog.PartialState {
			return nil, errInterrupted
		}
		if i >= 0 && p.Volumes[i].Reason != "" {
			return nil, &journal.Gap{Reason: "no cursor from the last backup (then: " + p.Volumes[i].Reason + ")"}
		}
		return nil, errNew
	}
	return &p.Volumes[i], nil
}
