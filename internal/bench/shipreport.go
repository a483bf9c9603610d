package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
)

// shipReport collects what bench ship measured, and shows it.
type shipReport struct {
	report
	Rate  int `json:"rate"` // of a slow disk, MB/s
	seeds int // that were begun
}

func newShipReport(o *shipOptions) *shipReport {
	return &shipReport{Rate: o.rate, report: report{Format: "waybill bench ship 1", Dir: o.dir, Runs: o.runs, Scale: 1,
		Tools: map[string]string{}, Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())}}
}

// row is the median of a row, and whether there is one.
func (r *shipReport) row(name string) (sample, bool) {
	x := r.find("shipped", "waybill", name)
	if x == nil {
		return sample{}, false
	}
	return x.Median, true
}

func (r *shipReport) writeJSON(w io.Writer) error {
	r.Goals = r.judge()
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

func (r *shipReport) writeTables(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	c := r.Corpora[0]
	fmt.Fprintf(w, "%s; in %s; medians of %d runs; %d entries, %.2f GB; slow disks write %d MB/s; no peak is below what this process has\n\n", r.Machine, r.Dir, r.Runs, c.Entries, float64(c.Bytes)/1e9, r.Rate)
	fmt.Fprint(w, "\tseconds\tCPU s\twritten MB\tMB/s\tpeak MiB\n")
	for _, x := range r.Results {
		m := x.Median
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%s\t%d\n", x.Row, m.Seconds, m.User+m.System, written(m), m.Peak>>20)
	}
	fmt.Fprint(w, "\ngoals\n")
	for _, v := range r.judge() {
		word := v.word()
		if v.Goal == "" {
			word = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.What, v.Got, v.Goal, word)
	}
	return w.Flush()
}

func written(m sample) string {
	if m.Stored == 0 {
		return "\t"
	}
	return fmt.Sprintf("%.0f\t%.0f", float64(m.Stored)/1e6, float64(m.Stored)/1e6/m.Seconds)
}

// judge holds what was measured against the goals. A figure without a goal is there to be read.
func (r *shipReport) judge() []verdict {
	return slices.Concat(r.judgeDisks(), r.judgeParity(), r.judgeArrival(), r.judgeResume(), r.judgeMemory())
}

// judgeDisks: more disks are faster in proportion, until the seed is as fast as onto disks that are not slow.
func (r *shipReport) judgeDisks() (all []verdict) {
	one, ok := r.row(rowSlow(1))
	if !ok {
		return nil
	}
	fast, _ := r.row(rowFast)
	for _, n := range slowDisks[1:] {
		if m, ok := r.row(rowSlow(n)); ok {
			ideal := max(one.Seconds/float64(n), fast.Seconds)
			all = append(all, atLeast(fmt.Sprintf("%d slow disks: of the speed of %d times one, or of what the CPU can do", n, n), ideal/m.Seconds, 0.8),
				verdict{What: fmt.Sprintf("%d slow disks: times as fast as one", n), Got: fmt.Sprintf("%.2f", one.Seconds/m.Seconds)})
		}
	}
	return all
}

func (r *shipReport) judgeParity() (all []verdict) {
	off, ok := r.row(rowSeedOff)
	if !ok {
		return nil
	}
	for _, p := range []struct {
		row         string
		wall, bytes float64 // as many times those of no parity
	}{{rowSeed1, 1.25, 1.08}, {rowSeed2, 1.35, 1.16}, {rowSeedSet, 1.5, 1.45}} {
		if m, ok := r.row(p.row); ok {
			all = append(all, atMost(p.row+": times the seconds of no parity", m.Seconds/off.Seconds, p.wall),
				verdict{What: p.row + ": times its CPU seconds", Got: fmt.Sprintf("%.3f", (m.User+m.System)/(off.User+off.System))},
				atMost(p.row+": times its bytes", float64(m.Stored)/float64(off.Stored), p.bytes))
		}
	}
	return all
}

func (r *shipReport) judgeArrival() (all []verdict) {
	for _, p := range []struct{ row, cp, sum string }{
		{rowShipIn, rowShipCp, rowShipSum}, {rowShipMend, rowShipCp, rowShipSum}, {rowLostIn, rowLostCp, rowLostSum}, {rowShipCheck, "", rowShipSum},
	} {
		m, ok := r.row(p.row)
		cp, _ := r.row(p.cp)
		sum, measured := r.row(p.sum)
		if !ok || !measured {
			continue
		}
		what := p.row + ": of the speed of the slower of cp and sha256sum"
		if p.cp == "" {
			what = p.row + ": of the speed of sha256sum"
		}
		ratio := max(cp.Seconds, sum.Seconds) / m.Seconds
		if p.row == rowLostIn {
			all = append(all, verdict{What: what, Got: fmt.Sprintf("%.3f", ratio)})
			continue
		}
		all = append(all, atLeast(what, ratio, 0.8))
	}
	return all
}

// judgeResume: half a seed and the other half are together not much more than a whole one.
func (r *shipReport) judgeResume() (all []verdict) {
	whole, _ := r.row(rowSeed1)
	for _, p := range []struct{ until, after string }{{rowUntilInt, rowAfterInt}, {rowUntilKill, rowAfterKill}} {
		until, ok := r.row(p.until)
		after, ok2 := r.row(p.after)
		if ok && ok2 {
			all = append(all, atMost(fmt.Sprintf("%s: with the half before, times a seed at one go", p.after), (until.Seconds+after.Seconds)/whole.Seconds, 1.25))
		}
	}
	return all
}

func (r *shipReport) judgeMemory() []verdict {
	most, row := int64(0), ""
	for _, x := range r.Results {
		if x.Median.Peak > most {
			most, row = x.Median.Peak, x.Row
		}
	}
	return []verdict{atMost("peak MiB: in "+row, float64(most>>20), 350)}
}

func atLeast(what string, got, bound float64) verdict {
	return goal{corpus: "shipped", bound: bound}.atLeast(what, got)
}

func atMost(what string, got, bound float64) verdict {
	return goal{corpus: "shipped", bound: bound}.atMost(what, got)
}
