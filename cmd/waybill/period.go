package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A period is a time that a flag says in days, as in 10d, or in hours and less, as in 12h or 90m.
type period time.Duration

// String implements pflag.Value.
func (p *period) String() string {
	d := time.Duration(*p)
	if d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	return d.String()
}

// Set implements pflag.Value.
func (p *period) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, found := strings.CutSuffix(text, "d"); found {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * day
	}
	if err != nil || d <= 0 {
		return errors.New("it is a time as in 10d, 12h or 90m")
	}
	*p = period(d)
	return nil
}

// Type implements pflag.Value.
func (p *period) Type() string { return "time" }
