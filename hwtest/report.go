package hwtest

import (
	"fmt"
	"slices"
	"strings"
)

// A Report is what was found.
type Report struct {
	Path       string     `json:"path"`
	Form       Form       `json:"form"`
	Verdict    Verdict    `json:"verdict"`
	Reasons    []string   `json:"reasons"` // why it is unfit; empty if it isn't
	Remarks    []string   `json:"remarks"` // what is worth knowing
	Device     Device     `json:"device"`
	Health     *Health    `json:"health,omitempty"`     // nil when nobody could ask the drive
	FileSystem FileSystem `json:"file_system,omitzero"` // empty for a device
	Capacity   Capacity   `json:"capacity"`
	Write      *Speed     `json:"write,omitempty"`  // nil when nothing was written
	Read       *Speed     `json:"read,omitempty"`   // nil when nothing was read back
	Random     *Latency   `json:"random,omitempty"` // of reads here and there, in the quick form
	Sync       *Latency   `json:"sync,omitempty"`   // of fsync after 4 KiB; nil on a device
	Seconds    float64    `json:"seconds"`          // the test took
}

// Form is how thorough a test was.
type Form string

// The forms.
const (
	Quick Form = "quick" // some places
	Full  Form = "full"  // everything that was free
)

// Verdict says whether a medium may travel.
type Verdict string

// The verdicts.
const (
	Fit         Verdict = "fit"
	WithRemarks Verdict = "fit with remarks"
	Unfit       Verdict = "unfit"
)

// An UnfitError says that a medium is not fit, and why.
type UnfitError struct{ Report *Report }

func (e *UnfitError) Error() string {
	return fmt.Sprintf("%s is not fit to carry a backup: %s", e.Report.Path, strings.Join(e.Report.Reasons, "; "))
}

// Err is an *UnfitError if the verdict is Unfit, else nil.
func (r *Report) Err() error {
	if r.Verdict == Unfit {
		return &UnfitError{r}
	}
	return nil
}

func (r *Report) unfit(format string, args ...any) {
	r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
}

func (r *Report) remark(format string, args ...any) {
	r.Remarks = append(r.Remarks, fmt.Sprintf(format, args...))
}

// judge adds what follows from the figures, and the verdict.
func (r *Report) judge() {
	r.judgeCapacity()
	r.judgeSpeed()
	if r.Health != nil {
		r.judgeHealth(r.Health)
	}
	if s := r.Sync; s != nil && r.Device.Name != "" && !r.FileSystem.Memory {
		if r.Device.Rotational && s.P50 < 1 {
			r.remark("fsync takes %.2f ms, faster than a disk can turn: it may confirm what a power cut takes away", s.P50)
		} else if s.P50 < 0.02 {
			r.remark("fsync takes no time: it may confirm what a power cut takes away")
		}
	}
	switch {
	case len(r.Reasons) > 0:
		r.Verdict = Unfit
	case len(r.Remarks) > 0:
		r.Verdict = WithRemarks
	default:
		r.Verdict = Fit
	}
}

func (r *Report) judgeCapacity() {
	c := &r.Capacity
	if c.Moved > 0 {
		about := "about"
		if r.Form == Quick {
			about = "at most"
		}
		r.unfit("it is smaller than it says: %s came back as what was written elsewhere, it holds %s %s", size(c.Moved), about, size(c.Real))
	}
	if c.Empty > 0 {
		r.unfit("it doesn't keep what it takes: %s came back empty, first at %s", size(c.Empty), size(c.FirstBad))
	}
	if c.Wrong > 0 {
		r.unfit("it doesn't keep what it takes: %s came back changed, first at %s", size(c.Wrong), size(c.FirstBad))
	}
	if c.Unreadable > 0 {
		r.unfit("%s can't be read back, first at %s", size(c.Unreadable), size(c.FirstBad))
	}
}

// slow is the rate below which filling a disk takes too long to be practical.
const slow = 10_000_000

// longRun is how many bytes make a curve that says something.
const longRun = 256 << 20

func (r *Report) judgeSpeed() {
	for _, s := range []struct {
		what string
		*Speed
	}{{"writing", r.Write}, {"reading", r.Read}} {
		if s.Speed == nil || r.FileSystem.Memory {
			continue
		}
		if s.Sustained < slow {
			r.remark("%s is slow: %s/s", s.what, size(s.Sustained))
		}
		if r.Form == Full && s.Bytes >= longRun {
			r.judgeCurve(s.what, s.Speed)
		}
	}
}

// judgeCurve looks for a cache that fills and for places that stall. A disk that turns is half as fast at its end.
func (r *Report) judgeCurve(what string, s *Speed) {
	sorted := slices.Sorted(slices.Values(s.Curve))
	median := sorted[len(sorted)/2]
	if s.First > 3*s.Sustained {
		r.remark("%s slows down from %s/s to %s/s once the drive's cache is full", what, size(s.First), size(s.Sustained))
	} else if s.Slowest*8 < median {
		at := slices.Index(s.Curve, s.Slowest) * 100 / len(s.Curve)
		r.remark("%s stalls: %s/s at %d %% of the medium, elsewhere %s/s", what, size(s.Slowest), at, size(median))
	}
}

// size writes a number of bytes for people.
func size(n int64) string {
	v, unit := float64(n), 0
	for v >= 999.5 && unit < 5 {
		v, unit = v/1000, unit+1
	}
	if v < 9.95 && unit > 0 {
		return fmt.Sprintf("%.1f %s", v, units[unit])
	}
	return fmt.Sprintf("%.0f %s", v, units[unit])
}

var units = [...]string{"B", "kB", "MB", "GB", "TB", "PB"}
