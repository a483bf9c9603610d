package cli

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A Sample is what a run has done at one moment. A total of 0 is not known (yet).
type Sample struct {
	Phase             string // what it is doing: "reading", "checking"
	Bytes, TotalBytes int64
	Files, TotalFiles int64
	Unit              string // what Files counts; default "file"

	Away  time.Time // since when the vault is out of reach; zero while it is not
	Limit string    // of the line, in words; empty for none
}

// Progress shows what sample returns until stop is called; sample must be safe to call at any
// time until then. On a terminal it is a bar, else a line now and then, with --json a
// JSON line a second. stop returns when the display is gone; calling it again does nothing.
func (o *Output) Progress(sample func() Sample) (stop func()) {
	view, every := o.view()
	if view == nil {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				view.show(sample())
			case <-done:
				view.end(sample())
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-gone })
}

// A view is one way to show progress.
type view interface {
	show(Sample)
	end(Sample) // the last state; the view takes itself away
}

func (o *Output) view() (view, time.Duration) {
	switch {
	case o.JSON:
		return &events{out: o, pace: newPace()}, time.Second
	case o.Quiet:
		return nil, 0
	case o.Terminal:
		return &bar{out: o}, 100 * time.Millisecond
	default:
		return &lines{out: o, pace: newPace()}, time.Second
	}
}

// pace knows how fast a phase goes.
type pace struct {
	phase string
	start time.Time
	base  Sample // what was done when the phase began
}

func newPace() pace { return pace{start: time.Now()} }

// at returns bytes a second since the phase began and the time left, 0 for not known.
func (p *pace) at(s Sample) (rate float64, left time.Duration) {
	now := time.Now()
	if s.Phase != p.phase {
		if p.phase != "" { // the first phase began with the display
			p.start, p.base = now, s
		}
		p.phase = s.Phase
	}
	if took := now.Sub(p.start).Seconds(); took > 0 {
		rate = float64(s.Bytes-p.base.Bytes) / took
	}
	if rate > 0 && s.TotalBytes > s.Bytes {
		left = time.Duration(float64(s.TotalBytes-s.Bytes) / rate * float64(time.Second))
	}
	return max(rate, 0), left
}

// events is progress as JSON lines.
type events struct {
	out  *Output
	pace pace
}

// An event is a Sample as JSON.
type event struct {
	Phase      string  `json:"phase"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"total_bytes,omitempty"`
	Files      int64   `json:"files"`
	TotalFiles int64   `json:"total_files,omitempty"`
	Unit       string  `json:"unit,omitempty"` // what files counts, when not files
	Rate       int64   `json:"bytes_per_second"`
	Left       float64 `json:"seconds_left,omitempty"`

	Away  time.Time `json:"vault_out_of_reach_since,omitzero"`
	Limit string    `json:"limit,omitempty"` // of the line
}

func (v *events) show(s Sample) {
	rate, left := v.pace.at(s)
	v.out.event("progress", event{s.Phase, s.Bytes, s.TotalBytes, s.Files, s.TotalFiles, s.Unit, int64(rate), left.Round(time.Second).Seconds(), s.Away.UTC().Truncate(time.Second), s.Limit})
}

func (v *events) end(s Sample) { v.show(s) }

// lines is progress for logs: a line every 10 seconds, or earlier for every 10 %.
type lines struct {
	out   *Output
	pace  pace
	last  time.Time
	tenth int64
	shown bool
}

func (v *lines) show(s Sample) {
	if v.last.IsZero() {
		v.last = v.pace.start
	}
	tenth := int64(0)
	if s.TotalBytes > 0 {
		tenth = 10 * s.Bytes / s.TotalBytes
	}
	if time.Since(v.last) < 10*time.Second && tenth <= v.tenth {
		v.pace.at(s) // it must see a phase begin
		return
	}
	v.last, v.tenth, v.shown = time.Now(), tenth, true
	rate, left := v.pace.at(s)
	v.out.write([]byte(describe(s, rate, left) + "\n"))
}

// end says nothing when nothing was said: what takes a moment needs no progress.
func (v *lines) end(s Sample) {
	if v.shown {
		rate, _ := v.pace.at(s)
		v.out.write([]byte(describe(s, rate, 0) + "\n"))
	}
}

func describe(s Sample, rate float64, left time.Duration) string {
	var b strings.Builder
	b.WriteString(s.Phase)
	if s.TotalBytes > 0 {
		fmt.Fprintf(&b, " %d %%", 100*s.Bytes/s.TotalBytes)
	}
	fmt.Fprintf(&b, ": %s", Bytes(s.Bytes))
	if s.TotalBytes > 0 {
		fmt.Fprintf(&b, " of %s", Bytes(s.TotalBytes))
	}
	if s.Files > 0 || s.TotalFiles > 0 {
		fmt.Fprintf(&b, ", %s", files(s))
	}
	fmt.Fprintf(&b, ", %s/s", Bytes(int64(rate)))
	if left > 0 {
		fmt.Fprintf(&b, ", %s left", Duration(left))
	}
	return b.String() + ofLine(s)
}

// ofLine says how it is about the line to the vault, where that is worth a word.
func ofLine(s Sample) (text string) {
	if s.Limit != "" {
		text = ", limit " + s.Limit
	}
	if !s.Away.IsZero() {
		text += ", the vault is out of reach since " + s.Away.Local().Format(time.DateTime)
	}
	return text
}

func files(s Sample) string {
	unit := cmp.Or(s.Unit, "file")
	if s.TotalFiles > 0 {
		return fmt.Sprintf("%s of %s", Count(s.Files), Counted(s.TotalFiles, unit))
	}
	return Counted(s.Files, unit)
}
