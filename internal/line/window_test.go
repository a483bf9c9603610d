package line

import (
	"testing"
	"time"
)

func TestParseWindow(t *testing.T) {
	workdays := [7]bool{1: true, 2: true, 3: true, 4: true, 5: true}
	all := [7]bool{true, true, true, true, true, true, true}
	for text, want := range map[string]Window{
		"mon-fri 08:00-18:00 2Mbit": {workdays, Hours{8 * 3600, 18 * 3600}, 2e6},
		" Mon-Fri  8-18  2Mbit/s ":  {workdays, Hours{8 * 3600, 18 * 3600}, 2e6},
		"sat,sun unlimited":         {[7]bool{0: true, 6: true}, Hours{}, Unlimited},
		"fri-mon,wed 1MB":           {[7]bool{0: true, 1: true, 3: true, 5: true, 6: true}, Hours{}, 8e6},
		"22:00-06:00 pause":         {all, Hours{22 * 3600, 6 * 3600}, Pause},
		"500kbit":                   {all, Hours{}, 500e3},
	} {
		if got, err := ParseWindow(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "mon-fri", "08:00-18:00", "mon-fri 08:00-18:00", "08:00-18:00 mon-fri 2Mbit", "mon tue 2Mbit", "1-2 3-4 2Mbit", "monday 2Mbit",
		"mon- 2Mbit", "25:00-26:00 2Mbit", "mon 8-18 2", "mon 8-18 2Mbit x", "mon 8-18 -2Mbit", "mon 8-18 0Mbit"} {
		if got, err := ParseWindow(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if _, err := ParseSchedule([]string{"sun pause", "so pause"}, ""); err == nil {
		t.Error("one of two windows makes no sense")
	}
	if _, err := ParseSchedule(nil, "fast"); err == nil {
		t.Error("a limit makes no sense")
	}
}

// The clock on the wall decides, in zones that change it too; hours after midnight belong to the day they began on; the last window that holds counts.
func TestScheduleAt(t *testing.T) {
	for _, c := range []struct {
		name, zone, limit string
		windows           []string
		at                map[string]string
	}{
		{"hours of working days", "UTC", "50Mbit", []string{"mon-fri 08:00-18:00 2Mbit"}, map[string]string{
			"2026-11-30T07:59:59Z": "50 Mbit/s", "2026-11-30T08:00:00Z": "2 Mbit/s", "2026-11-30T17:59:59Z": "2 Mbit/s", "2026-11-30T18:00:00Z": "50 Mbit/s",
			"2026-11-29T12:00:00Z": "50 Mbit/s", "2026-12-04T12:00:00Z": "2 Mbit/s", "2026-12-05T12:00:00Z": "50 Mbit/s"}},
		{"across midnight", "UTC", "", []string{"fri 22:00-06:00 pause"}, map[string]string{
			"2026-12-04T21:59:59Z": "unlimited", "2026-12-04T22:00:00Z": "pause", "2026-12-05T05:59:59Z": "pause", "2026-12-05T06:00:00Z": "unlimited",
			"2026-12-04T03:00:00Z": "unlimited", "2026-12-05T22:00:00Z": "unlimited"}},
		{"a day from eight to eight", "UTC", "", []string{"sun 08:00-08:00 1Mbit"}, map[string]string{
			"2026-11-29T07:00:00Z": "unlimited", "2026-11-29T08:00:00Z": "1 Mbit/s", "2026-11-30T07:00:00Z": "1 Mbit/s", "2026-11-30T08:00:00Z": "unlimited"}},
		{"the last that holds", "UTC", "", []string{"1Mbit", "mon-fri unlimited", "12:00-13:00 pause"}, map[string]string{
			"2026-11-30T11:00:00Z": "unlimited", "2026-11-30T12:30:00Z": "pause", "2026-11-29T12:30:00Z": "pause", "2026-11-29T11:00:00Z": "1 Mbit/s"}},
		{"in the zone of the machine", "Asia/Kolkata", "", []string{"mon 00:00-01:00 1Mbit"}, map[string]string{
			"2026-11-29T18:29:59Z": "unlimited", "2026-11-29T18:30:00Z": "1 Mbit/s", "2026-11-29T19:30:00Z": "unlimited"}},
		// Clocks go from 2:00 to 3:00 at 1:00 UTC on March 29th, and from 3:00 to 2:00 at 1:00 UTC on October 25th.
		{"clocks put forward", "Europe/Berlin", "", []string{"02:30-08:00 2Mbit"}, map[string]string{
			"2026-03-29T00:59:59Z": "unlimited", "2026-03-29T01:00:00Z": "2 Mbit/s", "2026-03-29T05:59:59Z": "2 Mbit/s", "2026-03-29T06:00:00Z": "unlimited",
			"2026-03-28T06:59:59Z": "2 Mbit/s", "2026-03-28T07:00:00Z": "unlimited"}},
		{"an hour left out", "Europe/Berlin", "", []string{"02:00-03:00 pause"}, map[string]string{
			"2026-03-29T00:59:59Z": "unlimited", "2026-03-29T01:00:00Z": "unlimited", "2026-03-30T00:30:00Z": "pause"}},
		{"clocks put back", "Europe/Berlin", "", []string{"02:00-02:30 pause"}, map[string]string{
			"2026-10-24T23:59:59Z": "unlimited", "2026-10-25T00:00:00Z": "pause", "2026-10-25T00:30:00Z": "unlimited", "2026-10-25T01:00:00Z": "pause", "2026-10-25T01:30:00Z": "unlimited"}},
		{"midnight put forward", "Africa/Cairo", "", []string{"fri 00:30-02:00 pause"}, map[string]string{ // at 0:00 on April 24th, a Friday, it is 1:00
			"2026-04-23T21:59:59Z": "unlimited", "2026-04-23T22:00:00Z": "pause", "2026-04-23T23:00:00Z": "unlimited"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseSchedule(c.windows, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			for moment, want := range c.at {
				at, err := time.Parse(time.RFC3339, moment)
				if err != nil {
					t.Fatal(err)
				}
				if got := s.At(at.In(zone)).String(); got != want {
					t.Errorf("%s: %s, want %s", at.In(zone).Format("Mon 2006-01-02 15:04:05 MST"), got, want)
				}
			}
		})
	}
}
