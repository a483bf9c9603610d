package cli

import (
	"io"

	"github.com/schollz/progressbar/v3"
)

// bar is progress on a terminal. The library draws it; out's mutex keeps messages apart.
type bar struct {
	out   *Output
	phase string
	pb    *progressbar.ProgressBar
}

func (v *bar) show(s Sample) {
	v.out.mu.Lock()
	defer v.out.mu.Unlock()
	if v.pb == nil || v.phase != s.Phase {
		v.clear()
		v.phase, v.pb = s.Phase, newBar(v.out.Stderr, s)
	}
	if total := barTotal(s); total != v.pb.GetMax64() {
		v.pb.ChangeMax64(total)
	}
	text := s.Phase
	if s.Files > 0 || s.TotalFiles > 0 {
		text += ", " + files(s)
	}
	text += ofLine(s)
	v.pb.Describe(text)
	v.pb.Set64(s.Bytes)
	v.out.bar = v
}

func (v *bar) end(Sample) {
	v.out.mu.Lock()
	defer v.out.mu.Unlock()
	v.clear()
	v.out.bar = nil
}

// clear takes the bar off the screen; the next show draws it again. out.mu is held.
func (v *bar) clear() {
	if v.pb != nil {
		v.pb.Clear()
	}
}

// barTotal is always above what is done: the library takes a bar that reached its
// total for finished, and a source may grow while it is read.
func barTotal(s Sample) int64 {
	if s.TotalBytes <= 0 {
		return -1
	}
	return max(s.TotalBytes, s.Bytes+1)
}

func newBar(w io.Writer, s Sample) *progressbar.ProgressBar {
	return progressbar.NewOptions64(barTotal(s),
		progressbar.OptionSetWriter(w),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionSetSpinnerChangeInterval(0), // else it starts a goroutine of its own
		progressbar.OptionSpinnerType(14),
		progressbar.OptionUseANSICodes(true),
	)
}
