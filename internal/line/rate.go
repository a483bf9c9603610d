package line

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// ParseRate reads a bandwidth and returns bits a second. A small b stands for bits and a large one for bytes, as in 100Mbit, 100Mbit/s, 1.5Gbps,
// 10Mb, 12MB, 12MB/s, 12MiB/s. A number alone is not enough: it would be taken for either.
func ParseRate(s string) (float64, error) {
	bad := fmt.Errorf("%.40q is no bandwidth: write bits as in 100Mbit or bytes as in 12MB, a second", s)
	text := strings.TrimSpace(s)
	at := strings.IndexFunc(text, unicode.IsLetter)
	if at < 0 {
		return 0, bad
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(text[:at]), 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		return 0, bad
	}
	unit := text[at:]
	for _, second := range []string{"/s", "ps"} {
		if rest, ok := strings.CutSuffix(unit, second); ok {
			unit = rest
			break
		}
	}
	bits := 1.0
	switch {
	case strings.HasSuffix(unit, "bit"):
		unit = strings.TrimSuffix(unit, "bit")
	case strings.HasSuffix(unit, "b"):
		unit = strings.TrimSuffix(unit, "b")
	case strings.HasSuffix(unit, "B"):
		unit, bits = strings.TrimSuffix(unit, "B"), 8
	default:
		return 0, bad
	}
	scale, ok := map[string]float64{"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
		"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}[unit]
	if v *= bits * scale; !ok || v > 1e18 {
		return 0, bad
	}
	return v, nil
}

// FormatRate writes bits a second for people: "940 Mbit/s".
func FormatRate(bits float64) string {
	unit := 0
	for bits >= 999.5 && unit < 4 {
		bits, unit = bits/1000, unit+1
	}
	return fmt.Sprintf("%.3g %sbit/s", bits, [...]string{"", "k", "M", "G", "T"}[unit])
}

// Hours are a time of day from one moment to another, which may be on the next day. The zero value is the whole day.
type Hours struct{ From, To int } // seconds since midnight

// ParseHours reads hours as in 20:00-06:00; empty ones are the whole day.
func ParseHours(s string) (h Hours, err error) {
	if s == "" {
		return h, nil
	}
	from, to, _ := strings.Cut(s, "-")
	if h.From, err = clock(from); err == nil {
		h.To, err = clock(to)
	}
	if err != nil {
		return Hours{}, fmt.Errorf("%.40q are no hours: write two times of day, as in 20:00-06:00", s)
	}
	return h, nil
}

func clock(s string) (int, error) {
	hour, minute, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok {
		minute = "0"
	}
	h, err := strconv.Atoi(hour)
	m, merr := strconv.Atoi(minute)
	if err != nil || merr != nil || h < 0 || h > 24 || m < 0 || m > 59 || h == 24 && m > 0 {
		return 0, fmt.Errorf("no time of day: %q", s)
	}
	return h%24*3600 + m*60, nil
}

const day = 24 * 60 * 60

// Length is how many seconds of a day they last.
func (h Hours) Length() int {
	if h.From == h.To {
		return day
	}
	return (h.To - h.From + day) % day
}
