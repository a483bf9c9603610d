package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// A parseRate is what a benchmark of a package says it does in a second.
type parseRate struct {
	Name string  `json:"name"`
	Rate float64 `json:"records_per_second"`
}

// rates runs the benchmarks of the parsers, which count records themselves.
func (b *increments) rates(ctx context.Context) error {
	for _, pkg := range []string{"waybill/internal/ntfs", "waybill/incremental/journal/usn"} {
		if err := exec.CommandContext(ctx, "go", "list", pkg).Run(); err != nil {
			fmt.Fprintf(b.log, "left out: %s: it is not here\n", pkg)
			continue
		}
		out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-timeout", "5m", pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("measuring %s: %w\n%s", pkg, err, out)
		}
		b.report.Rates = append(b.report.Rates, ratesIn(out)...)
	}
	return nil
}

// ratesIn finds the lines that give a figure of records/s.
func ratesIn(out []byte) (all []parseRate) {
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		words := strings.Fields(s.Text())
		for i := 1; i < len(words); i++ {
			if rate, err := strconv.ParseFloat(words[i-1], 64); err == nil && words[i] == "records/s" {
				all = append(all, parseRate{words[0], rate})
			}
		}
	}
	return all
}
