package plan

import (
	"errors"
	"fmt"
	"math"
	"time"

	"waybill/internal/line"
	"waybill/seed/disk/parity"
)

// A Line is a network line. Rates are in bits a second.
type Line struct {
	Rate  float64 // within the hours
	Hours line.Hours
	Busy  float64 // outside of them
}

// A Question is what [Compare] answers. Stored, Source, DiskSize and DiskSpeed are needed.
type Question struct {
	Source, Stored int64   // bytes to be read, and to be shipped or sent
	Rate           float64 // bytes a second of the source that the machine can cut and compress; 0: more than anything else
	Line           Line    // its Rate is 0 when it is not known

	DiskSize    int64   // bytes
	DiskSpeed   float64 // bytes a second, of each
	Disks       int     // connected at once; 0: all
	ParityDisks int
	Parity      parity.Scheme // within each disk
	Largest     int64         // bytes of a pack
	Courier     time.Duration // on the way
	Ingest      float64       // bytes a second at the vault; 0: as the disks give them
}

// An Answer says how long both ways take, in seconds, and what they need.
type Answer struct {
	Wire      float64 `json:"wire_seconds"` // 0 when the line is not known, infinite ones are said by Never
	Never     bool    `json:"wire_never"`   // the line takes nothing
	Seed      float64 `json:"seed_seconds"` // filling the disks and reading them back
	Courier   float64 `json:"courier_seconds"`
	Ingest    float64 `json:"ingest_seconds"`
	Disk      float64 `json:"disk_seconds"` // all three
	OnDisks   int64   `json:"on_disks"`     // bytes, with parity
	Bare      int     `json:"disks_bare"`   // disks without any parity
	Disks     int     `json:"disks"`        // with all parity
	Breakeven float64 `json:"breakeven"`    // bits a second of the line, within its hours, at which both ways take as long; 0 when what flows outside of them is enough
	Ship      bool    `json:"ship"`
}

const (
	day      = 24 * 60 * 60
	fsPart   = 64       // of a disk one part is the file system's
	diskRest = 64 << 20 // bytes that a seed leaves free on each disk
)

// Compare tells how long it takes to send and to ship. It fails when a disk can't hold anything.
func Compare(q Question) (a Answer, err error) {
	room := q.DiskSize - q.DiskSize/fsPart - diskRest
	if q.DiskSpeed <= 0 {
		return a, errors.New("a disk that writes nothing is none to seed to")
	}
	if room <= q.Largest {
		return a, fmt.Errorf("a disk of %d MB is none to seed to: %d MB are kept free on it, and the largest pack has %d MB",
			q.DiskSize/1e6, (q.DiskSize-room)/1e6, q.Largest/1e6)
	}
	needs := func(bytes int64) int { return max(int((bytes+room-1)/room), 1) }
	a.Bare = needs(q.Stored)
	within := q.Parity.Bytes(q.Stored, 0)
	data := needs(q.Stored + within)
	a.Disks = data + q.ParityDisks
	// A disk of parity is as full as the fullest other one, and has parity of its own.
	a.OnDisks = q.Stored + within + int64(q.ParityDisks)*((q.Stored+within)/int64(data))

	cpu := 0.0
	if q.Rate > 0 {
		cpu = float64(q.Source) / q.Rate
	}
	atOnce := func(n int) float64 {
		if q.Disks > 0 {
			n = min(n, q.Disks)
		}
		return float64(n) * q.DiskSpeed
	}
	write := float64(q.Stored) / atOnce(data)
	back := float64(a.OnDisks) / atOnce(a.Disks)
	a.Seed = max(cpu, write) + back
	a.Ingest = float64(a.OnDisks) / atOnce(a.Disks)
	if q.Ingest > 0 {
		a.Ingest = max(a.Ingest, float64(q.Stored)/q.Ingest)
	}
	a.Courier = q.Courier.Seconds()
	a.Disk = a.Seed + a.Courier + a.Ingest
	a.Breakeven = q.Line.breakeven(q.Stored, a.Disk)
	if q.Line.Rate > 0 || q.Line.Busy > 0 {
		a.wire(q.Line.seconds(q.Stored), cpu)
	}
	return a, nil
}

func (a *Answer) wire(line, cpu float64) {
	if math.IsInf(line, 0) {
		a.Never, a.Ship = true, true
		return
	}
	a.Wire = max(line, cpu)
	a.Ship = a.Wire > a.Disk
}

// open is the part of a day in which the line has its full rate.
func (l Line) open() float64 { return float64(l.Hours.Length()) / day }

// mean is the line's rate over a whole day, in bits a second.
func (l Line) mean() float64 { return l.Rate*l.open() + l.Busy*(1-l.open()) }

// seconds is how long bytes take, days counted evenly.
func (l Line) seconds(bytes int64) float64 {
	if bytes == 0 {
		return 0
	}
	return float64(bytes) * 8 / l.mean()
}

// breakeven is the rate within the hours at which bytes take as long as given.
func (l Line) breakeven(bytes int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return max((float64(bytes)*8/seconds-l.Busy*(1-l.open()))/l.open(), 0)
}
