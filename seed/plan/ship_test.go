package plan

import (
	"math"
	"testing"
	"time"

	"waybill/internal/line"
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
		{"at night only", func(q *Question) { q.Line = Line{Rate: 1e9, Hours: line.Hours{From: 20 * 3600, To: 6 * 3600}} }, 4.444, 2.849, 6, 6, 1560, true, false},
		{"slower by day", func(q *Question) {
			q.Line = Line{Rate: 1e9, Hours: line.Hours{From: 20 * 3600, To: 6 * 3600}, Busy: 1e9}
		}, 1.852, 2.849, 6, 6, 160.1, false, false},
		{"by day is enough", func(q *Question) { q.Line = Line{Hours: line.Hours{From: 20 * 3600, To: 6 * 3600}, Busy: 2e9} }, 1.587, 2.849, 6, 6, 0, false, false},
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
