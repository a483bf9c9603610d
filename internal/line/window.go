// Package line is about the line to a vault: how fast it is, and how much of it may be used when.
//
// [ParseRate] and [ParseHours] read what people write. A [Schedule] tells the rate that is allowed at a moment, from windows by weekday and
// hours, by the clock on the wall. A [Limiter] holds traffic to it while that clock goes on:
//
//	s, err := line.ParseSchedule([]string{"mon-fri 08:00-18:00 2Mbit"}, "")
//	l := line.NewLimiter(s, time.Now)
//	store = vault.Limit(store, l, nil)
//
// It sends nothing itself.
package line

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Rate is bits a second. The zero value is no limit.
type Rate float64

// Rates that are no numbers.
const (
	Unlimited Rate = 0
	Pause     Rate = -1
)

// String writes the rate for people.
func (r Rate) String() string {
	switch r {
	case Unlimited:
		return "unlimited"
	case Pause:
		return "pause"
	}
	return FormatRate(float64(r))
}

// ParseLimit reads a rate as ParseRate does, "unlimited" or "pause".
func ParseLimit(s string) (Rate, error) {
	for _, r := range []Rate{Unlimited, Pause} {
		if s == r.String() {
			return r, nil
		}
	}
	bits, err := ParseRate(s)
	if err != nil {
		return 0, fmt.Errorf("%w; or unlimited, or pause", err)
	}
	return Rate(bits), nil
}

// A Window is hours of some days, and the rate that is allowed in them. Hours that go on after midnight belong to the day that they begin on.
type Window struct {
	Days [7]bool // by time.Weekday
	Hours
	Rate Rate
}

// ParseWindow reads a window as in "mon-fri 08:00-18:00 2Mbit", "sat,sun unlimited" or "22:00-06:00 pause": days and hours may be left out.
func ParseWindow(s string) (w Window, err error) {
	words := strings.Fields(s)
	if len(words) == 0 || len(words) > 3 {
		return w, fmt.Errorf("%.60q is no window: write days, hours and a rate, as in \"mon-fri 08:00-18:00 2Mbit\"", s)
	}
	last := len(words) - 1
	w.Rate, err = ParseLimit(words[last])
	var days, hours string
	for i, word := range words[:last] {
		switch named := word[0] < '0' || word[0] > '9'; {
		case named && i == 0:
			days = word
		case !named && hours == "":
			hours = word
		default:
			err = errors.Join(fmt.Errorf("%.40q is in the wrong place", word), err)
		}
	}
	if err == nil {
		w.Days, err = parseDays(days)
	}
	if err == nil {
		w.Hours, err = ParseHours(hours)
	}
	if err != nil {
		return w, fmt.Errorf("window %.60q: %w", s, err)
	}
	return w, nil
}

var weekdays = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseDays reads days as in "mon-fri" or "sat,sun"; none are all.
func parseDays(s string) (days [7]bool, err error) {
	if s == "" {
		s = "mon-sun"
	}
	for part := range strings.SplitSeq(strings.ToLower(s), ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		from, to := weekday(first), weekday(last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%.40q are no days: write mon, tue, wed, thu, fri, sat or sun, as in mon-fri or sat,sun", s)
		}
		for d := from; ; d = (d + 1) % 7 {
			if days[d] = true; d == to {
				break
			}
		}
	}
	return days, nil
}

func weekday(s string) int {
	for i, name := range weekdays {
		if s == name {
			return i
		}
	}
	return -1
}

// holds tells whether the window holds at a moment, by the clock and calendar of its location. When clocks are put forward, what they leave out is no
// part of it; when they are put back, what they show twice is, twice.
func (w *Window) holds(t time.Time) bool {
	hour, minute, second := t.Clock()
	at, today := hour*3600+minute*60+second, t.Weekday()
	if w.From < w.To {
		return w.Days[today] && at >= w.From && at < w.To
	}
	return w.Days[today] && at >= w.From || w.Days[(today+6)%7] && at < w.To
}

// A Schedule tells how much of a line may be used when. The zero value is all of it.
type Schedule struct {
	Windows []Window // of those that hold at a moment the last counts
	Else    Rate     // outside of all
}

// ParseSchedule reads windows, and a limit outside of them; an empty one is none.
func ParseSchedule(windows []string, limit string) (s Schedule, err error) {
	if limit != "" {
		if s.Else, err = ParseLimit(limit); err != nil {
			return s, err
		}
	}
	for _, text := range windows {
		w, err := ParseWindow(text)
		if err != nil {
			return s, err
		}
		s.Windows = append(s.Windows, w)
	}
	return s, nil
}

// At is the rate that is allowed at a moment, by its own location's clock.
func (s *Schedule) At(t time.Time) Rate {
	rate := s.Else
	for i := range s.Windows {
		if w := &s.Windows[i]; w.holds(t) {
			rate = w.Rate
		}
	}
	return rate
}
