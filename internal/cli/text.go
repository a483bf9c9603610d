package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bytes writes a size for people: "512 B", "1.03 GB". Decimal units, as carriers count.
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), -1
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	digits := 0
	switch {
	case v < 9.995:
		digits = 2
	case v < 99.95:
		digits = 1
	}
	return strings.Replace(fmt.Sprintf("%.*f %cB", digits, v, units[unit]), "KB", "kB", 1)
}

const units = "KMGTPE"

// ParseBytes reads a size as people write it: "8TB", "500 GiB", "1000000". Units ending in "iB"
// count by 1024, the others by 1000.
func ParseBytes(s string) (int64, error) {
	number, unit := s, ""
	if i := strings.IndexFunc(s, unicode.IsLetter); i >= 0 {
		number, unit = s[:i], strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(s[i:])), "B")
	}
	base := 1000.0
	if strings.HasSuffix(unit, "I") {
		base, unit = 1024, unit[:len(unit)-1]
	}
	power := 0
	if unit != "" || base == 1024 {
		power = strings.Index(units, unit) + 1
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	v *= math.Pow(base, float64(power))
	if err != nil || len(unit) > 1 || unit == "" && base == 1024 || power == 0 && unit != "" || !(v >= 0 && v < math.MaxInt64/2) {
		return 0, fmt.Errorf("%q is no size: write a number and a unit, as in 8TB, 500GB or 512MiB", s)
	}
	return int64(v), nil
}

// Count writes a number with its thousands apart: "84,000".
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Counted is Count with its noun: "1 pack", "84,000 packs".
func Counted(n int64, noun string) string {
	if n != 1 {
		if stem, ok := strings.CutSuffix(noun, "y"); ok {
			noun = stem + "ies"
		} else {
			noun += "s"
		}
	}
	return Count(n) + " " + noun
}

// Duration writes a time span to its two largest units: "0.4 s", "12 s", "3 min 5 s", "2 h 14 min", "3 d 4 h".
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Truncate(time.Second).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}
