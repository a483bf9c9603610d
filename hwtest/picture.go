package hwtest

import "strings"

// Bars draws rates as one line of bars, whose height is relative to the highest: for a terminal.
func Bars(rates []int64, highest int64) string {
	const heights = "▁▂▃▄▅▆▇█"
	steps := []rune(heights)
	var b strings.Builder
	for _, r := range rates {
		i := 0
		if highest > 0 {
			i = int(float64(r) / float64(highest) * float64(len(steps)))
		}
		b.WriteRune(steps[max(min(i, len(steps)-1), 0)])
	}
	return b.String()
}
