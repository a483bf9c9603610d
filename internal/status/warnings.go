package status

import (
	"fmt"
	"time"
)

// Soon is how long before an access ends somebody is warned.
const Soon = 3 * 24 * time.Hour

// Warnings says what somebody should look after: no backup for longer than stale, seeds whose disks travel, packs and commits that are lost or
// missing, and access that ends.
func (m *Machine) Warnings(now time.Time, stale time.Duration) (all []string) {
	warn := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if m.Err != nil {
		warn("its documents are not as they should be: %v", m.Err)
	}
	switch {
	case m.Last.IsZero() && now.Sub(m.Registered) > stale && m.Err == nil:
		warn("no backup, %s after it was registered", days(now.Sub(m.Registered)))
	case !m.Last.IsZero() && now.Sub(m.Last) > stale:
		warn("no backup for %s", days(now.Sub(m.Last)))
	}
	for _, s := range m.Seeds {
		warn("a seed of %s ago is in transit, %d of %s imported", days(now.Sub(s.Time)), s.Imported, counted(s.Disks, "disk"))
	}
	if n := len(m.Gaps); n > 0 {
		warn("%s not there", are(n, "commit"))
	}
	if m.Lost > 0 {
		warn("%s lost, by the vault's receipts; the machine's next backup stores again what was in them", are(m.Lost, "pack"))
	}
	if m.Missing > 0 {
		warn("%s missing, and no disk carries them", are(m.Missing, "pack"))
	}
	switch {
	case m.Access.IsZero():
	case !now.Before(m.Access):
		warn("its access to the vault ended %s ago", days(now.Sub(m.Access)))
	case m.Access.Sub(now) < Soon:
		warn("its access to the vault ends in %s", days(m.Access.Sub(now)))
	}
	return all
}

// days is a time in days, or below two in hours.
func days(d time.Duration) string {
	if d < time.Hour {
		return "less than an hour"
	}
	if d < 48*time.Hour {
		return counted(int(d/time.Hour), "hour")
	}
	return counted(int(d/(24*time.Hour)), "day")
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func are(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return counted(n, noun) + " are"
}
