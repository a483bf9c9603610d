package plan

import (
	"math"
	"testing"
	"time"

	"waybill/seed/disk/parity"
)

func TestCompare(t *testing.T) {
	const tb = 1_000_000_000_000
	base := Question{Source: 40 * tb, Stored: 20 * tb, Rate: 1e9, DiskSize: 4 * tb, DiskSpeed: 200e6, Courier: 48 * time.Hour,
		Line: Line{Rate: 100e6}}
	for _, c := range []struct {
		name        string
		change      func(*Question)
		wire, disk  float64 // days
		bare, disks int
		breakeven   float64 // Mbit/s
		ship, never bool
	}{
		{"a server of 40 TB", func(*Question) {}, 18.52, 2.849, 6, 6, 650.1, true, false},
		{"with parity", func(q *Question) { q.Parity, q.ParityDisks = parity.Scheme{Data: 20, Shards: 1}, 1 }, 18.52, 2.868, 6, 7, 645.6, true, false},
		{"one disk at a time", func(q *Question) { q.Disks = 1 }, 18.52, 5.472, 6, 6, 338.4, true, false},
		{"a slow vault", func(q *Question) { q.Ingest = 100e6 }, 18.52, 4.971, 6, 6, 372.6, true, false},
		{"a fast line", func(q *Question) { q.Line.Rate = 10e9 }, 0.463, 2.849, 6, 6, 650.1, false, false},
		{"at night only", func(q *Question) { q.Line = Line{Rate: 1e9, Hours: Hours{20 * 3600, 6 * 3600}} }, 4.444, 2.849, 6, 6, 1560, true, false},
		{"slower by day", func(q *Question) { q.Line = Line{Rate: 1e9, Hours: Hours{20 * 3600, 6 * 3600}, Busy: 1e9} }, 1.852, 2.849, 6, 6, 160.1, false, false},
		{"by day is enough", func(q *Question) { q.Line = Line{Hours: Hours{20 * 3600, 6 * 3600}, Busy: 2e9} }, 1.587, 2.849, 6, 6, 0, false, false},
		{"no line is known", func(q *Question) { q.Line = Line{} }, 0, 2.849, 6, 6, 650.1, false, false},
		{"nothing", func(q *Question) { q.Source, q.Stored = 0, 0 }, 0, 2, 1, 1, 0, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := base
			c.change(&q)
			a, err := Compare(q)
			if err != nil {
				t.Fatal(err)
			}
			near := func(what string, got, want float64) {
				if math.Abs(got-want) > 0.002*want+1e-9 {
					t.Errorf("%s: %.4g, not %.4g", what, got, want)
				}
			}
			near("wire", a.Wire/day, c.wire)
			near("disk", a.Disk/day, c.disk)
			near("break-even", a.Breakeven/1e6, c.breakeven)
			if a.Bare != c.bare || a.Disks != c.disks || a.Ship != c.ship || a.Never != c.never {
				t.Errorf("%+v", a)
			}
			if q.Line.Rate > 0 && a.Breakeven > 0 { // at the break-even bandwidth neither way is faster
				q.Line.Rate = a.Breakeven
				if b, err := Compare(q); err != nil || math.Abs(b.Wire-b.Disk) > 1 {
					t.Errorf("at %g: %+v, %v", q.Line.Rate, b, err)
				}
			}
		})
	}
	for _, q := range []Question{{}, {DiskSize: 64 << 20, DiskSpeed: 1}, {DiskSize: tb}, {DiskSize: 1 << 30, DiskSpeed: 1, Largest: 1 << 30}} {
		if a, err := Compare(q); err == nil {
			t.Errorf("%+v: %+v", q, a)
		}
	}
}

func TestParseRate(t *testing.T) {
	for s, want := range map[string]float64{"100Mbit": 1e8, "100 Mbit/s": 1e8, "1.5Gbps": 1.5e9, "10Mb": 1e7, "12MB": 96e6, "12MB/s": 96e6, "1MiB/s": 8 << 20,
		"512kbit": 512e3, "800bit": 800, "1TB": 8e12,
		"": -1, "100": -1, "Mbit": -1, "-1Mbit": -1, "0Mbit": -1, "NaNMbit": -1, "1e300Mbit": -1, "5Xbit": -1, "5M": -1, "5mbit": -1, "5 Mbit x": -1} {
		got, err := ParseRate(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %g, %v", s, got, err)
		}
	}
	for bits, want := range map[float64]string{0: "0 bit/s", 940e6: "940 Mbit/s", 1.234e9: "1.23 Gbit/s", 999.7e3: "1 Mbit/s", 5e17: "5e+05 Tbit/s"} {
		if got := FormatRate(bits); got != want {
			t.Errorf("%g: %q", bits, got)
		}
	}
}

func TestParseHours(t *testing.T) {
	for s, want := range map[string]int{"": 24, "20:00-06:00": 10, "8-18": 10, "00:00-24:00": 24, "22:30-23:30": 1, " 9:00 - 17:00 ": 8,
		"20:00": -1, "a-b": -1, "25:00-1": -1, "1:60-2": -1, "24:01-2": -1, "-": -1} {
		h, err := ParseHours(s)
		got := h.length() / 3600
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, %v", s, h, err)
		}
	}
}
