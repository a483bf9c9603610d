package usn

import (
	"slices"
	"time"

	"waybill/incremental/journal"
)

// A Sample is where a journal wrote next at some time: a cursor's Position and Taken, or a status' First and Since.
type Sample struct {
	Position uint64
	At       time.Time
}

// Advice is how long a journal lasts.
type Advice struct {
	PerDay   int64   // bytes written a day, over all of the samples
	Busiest  int64   // the same, over the busiest stretch between samples at least six hours apart; never less than PerDay
	DaysLeft float64 // until what is written now is lost, at that pace; 0 if not known
	Size     int64   // the size that would hold the days asked for, and half as many again
}

// The sizes that are advised: what Windows makes itself, and where a scan becomes cheaper than the reading.
const (
	smallest = 32 << 20
	largest  = 4 << 30
)

// Advise tells from a journal's status and what is known of its past how long it lasts, and what size would hold so many days. Samples of
// other journals, or of positions that it hasn't reached, are for the caller to leave out.
func Advise(s journal.Status, now time.Time, past []Sample, days int) Advice {
	list := append([]Sample{{s.Next, now}}, past...)
	if !s.Since.IsZero() {
		list = append(list, Sample{s.First, s.Since})
	}
	slices.SortFunc(list, func(a, b Sample) int { return a.At.Compare(b.At) })
	a := Advice{PerDay: pace(list[0], list[len(list)-1])}
	a.Busiest = a.PerDay
	for i, from := 1, list[0]; i < len(list); i++ {
		if list[i].At.Sub(from.At) >= 6*time.Hour {
			a.Busiest = max(a.Busiest, pace(from, list[i]))
			from = list[i]
		}
	}
	if a.Busiest > 0 && s.Size > 0 {
		a.DaysLeft = float64(s.Size) / float64(a.Busiest)
	}
	a.Size = min(roundUp(a.Busiest*int64(days)*3/2, smallest), largest)
	return a
}

// pace returns bytes a day; 0 for less than a minute.
func pace(a, b Sample) int64 {
	if d := b.At.Sub(a.At); d >= time.Minute && b.Position > a.Position {
		return int64(float64(b.Position-a.Position) / (d.Hours() / 24))
	}
	return 0
}

func roundUp(n, to int64) int64 { return max((n+to-1)/to, 1) * to }
