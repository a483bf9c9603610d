package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"
)

// incrementReport collects what bench incremental measured, and shows it.
type incrementReport struct {
	report
	How   map[string]string `json:"how"` // by corpus and row: how we found what changed, in the last run
	Rates []parseRate       `json:"rates"`

	meant, meantBig bool // sizes are those that the goals are for
}

func newIncrementReport(o *incrementOptions) *incrementReport {
	return &incrementReport{How: map[string]string{}, meant: o.files == 1_000_000, meantBig: o.big == 10<<10, report: report{
		Format: "waybill bench incremental 1", Dir: o.dir, Runs: o.runs, Scale: float64(o.files) / 1_000_000, Tools: map[string]string{},
		Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())}}
}

// name notes a program that is measured.
func (r *incrementReport) name(ctx context.Context, t *tool) {
	r.Tools[t.name] = t.says(ctx)
	r.order = append(r.order, t.name)
}

func (r *incrementReport) writeJSON(w io.Writer) error {
	r.Goals = r.judge()
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

func (r *incrementReport) writeTables(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s; images in %s; medians of %d runs, but for first\n", r.Machine, r.Dir, r.Runs)
	for _, name := range r.order {
		fmt.Fprintf(w, "%s\t%s\n", name, r.Tools[name])
	}
	for _, c := range r.Corpora {
		fmt.Fprintf(w, "\n%s: %d entries, %.2f GB\n\t\tseconds\tx ours\tCPU s\tstored kB\tread MB\tpeak MiB\t\n", c.Name, c.Entries, float64(c.Bytes)/1e9)
		for _, x := range r.Results {
			if x.Corpus == c.Name {
				r.writeResult(w, x)
			}
		}
	}
	for _, p := range r.Rates {
		fmt.Fprintf(w, "\n%s\t%.0f records/s", p.Name, p.Rate)
	}
	fmt.Fprint(w, "\ngoals\n")
	for _, v := range r.judge() {
		word := v.word()
		if v.Goal == "" {
			word = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Corpus, v.What, v.Got, v.Goal, word)
	}
	return w.Flush()
}

func (r *incrementReport) writeResult(w io.Writer, x *result) {
	m, times, read, how := x.Median, "", "", ""
	if ours := r.find(x.Corpus, "waybill", x.Row); x.Tool != "waybill" && ours != nil {
		times = fmt.Sprintf("%.1f", m.Seconds/ours.Median.Seconds)
	}
	if x.Tool == "waybill" {
		read, how = fmt.Sprintf("%.2f", float64(m.Read)/1e6), r.How[x.Corpus+" "+x.Row]
	}
	fmt.Fprintf(w, "%s\t%s\t%.3f\t%s\t%.2f\t%.0f\t%s\t%d\t%s\n", x.Row, x.Tool, m.Seconds, times, m.User+m.System, float64(m.Stored)/1e3, read, m.Peak>>20, how)
}

// judge holds what was measured against the goals: section 8 of the design, and those of the agent. A figure without a goal is there to be read.
func (r *incrementReport) judge() []verdict {
	return slices.Concat(r.judgeChanged(groupMillion), r.judgeChanged(groupAgent), r.judgeTen(), r.judgeScan(), r.judgeRenamed(), r.judgeBig(), r.judgeAgent(), r.judgeRates(), r.judgePeak())
}

func (r *incrementReport) row(corpus, row string) (sample, bool) {
	x := r.find(corpus, "waybill", row)
	if x == nil {
		return sample{}, false
	}
	return x.Median, true
}

// judgeChanged: a hundred changed files cost what a hundred files cost. Peers are measured on btrfs; for them a file system is like the other.
func (r *incrementReport) judgeChanged(corpus string) (all []verdict) {
	m, ok := r.row(corpus, rowChanged)
	if !ok {
		return nil
	}
	g := func(bound float64) goal { return goal{corpus: corpus, bound: bound} }
	if r.meant {
		all = append(all, g(0.5).atMost("100 files changed: seconds", m.Seconds))
	}
	if fastest := r.fastest(); fastest != nil {
		all = append(all, g(20).atLeast("100 files changed: times as fast as "+fastest.Tool, fastest.Median.Seconds/m.Seconds))
	}
	return append(all, g(400).atMost("100 files changed: kB stored", float64(m.Stored)/1e3))
}

// fastest is the peer that needs least for the changed files, nil when none was measured.
func (r *incrementReport) fastest() *result {
	var peers []*result
	for _, x := range r.Results {
		if x.Corpus == groupMillion && x.Row == rowChanged && x.Tool != "waybill" {
			peers = append(peers, x)
		}
	}
	if len(peers) == 0 {
		return nil
	}
	return slices.MinFunc(peers, func(x, y *result) int { return cmp.Compare(x.Median.Seconds, y.Median.Seconds) })
}

func (r *incrementReport) judgeTen() []verdict {
	ten, ok := r.row("ten", rowChanged)
	one, ok2 := r.row(groupMillion, rowChanged)
	if !ok || !ok2 {
		return nil
	}
	return []verdict{goal{corpus: "ten", bound: 1.3}.atMost("100 files changed: times what they cost among a tenth of the files", ten.Seconds/one.Seconds)}
}

func (r *incrementReport) judgeScan() []verdict {
	m, ok := r.row(groupMillion, rowScan)
	if !ok {
		return nil
	}
	i := slices.IndexFunc(r.Corpora, func(c measuredCorpus) bool { return c.Name == groupMillion })
	return []verdict{goal{corpus: groupMillion, bound: 600_000}.atLeast("scan, unchanged: entries/s", math.Round(float64(r.Corpora[i].Entries)/m.Seconds))}
}

// judgeRenamed: what moved keeps its content, and what is below it.
func (r *incrementReport) judgeRenamed() []verdict {
	m, ok := r.row(groupMillion, rowRenamed)
	if !ok {
		return nil
	}
	g := func(bound float64) goal { return goal{corpus: groupMillion, bound: bound} }
	all := []verdict{g(0).atMost("half renamed: bytes read", float64(m.Read)), g(400).atMost("half renamed: kB stored", float64(m.Stored)/1e3)}
	if r.meant {
		all = append(all, g(0.5).atMost("half renamed: seconds", m.Seconds))
	}
	return all
}

// judgeBig: of a large file only what is around the changed pages is read.
func (r *incrementReport) judgeBig() []verdict {
	m, ok := r.row(groupBig, rowChanged)
	if !ok {
		return nil
	}
	g := func(bound float64) goal { return goal{corpus: groupBig, bound: bound} }
	all := []verdict{{Corpus: groupBig, What: "100 pages changed: kB stored", Got: fmt.Sprintf("%.4g", float64(m.Stored)/1e3)}}
	if r.meantBig {
		all = append(all, g(64).atMost("100 pages changed: MB read", float64(m.Read)/1e6), g(1).atMost("100 pages changed: seconds", m.Seconds))
	}
	return all
}

func (r *incrementReport) judgeAgent() []verdict {
	with, ok := r.row(groupAgent, rowTarAgent)
	if !ok {
		return nil
	}
	without, _ := r.row(groupAgent, rowTar)
	idle, _ := r.row(groupAgent, rowIdle)
	g := func(bound float64) goal { return goal{corpus: groupAgent, bound: bound} }
	return []verdict{g(1.15).atMost("extracting small files: times what it takes unwatched", with.Seconds/without.Seconds),
		g(40).atMost("agent, idle: MiB resident", float64(idle.Peak)/(1<<20))}
}

func (r *incrementReport) judgeRates() (all []verdict) {
	for _, p := range r.Rates {
		all = append(all, goal{corpus: groupRates, bound: 1e6}.atLeast(p.Name+": records/s", p.Rate))
	}
	return all
}

func (r *incrementReport) judgePeak() []verdict {
	most, where := int64(0), ""
	for _, x := range r.Results {
		if x.Tool == "waybill" && x.Median.Peak > most {
			most, where = x.Median.Peak, x.Corpus+", "+x.Row
		}
	}
	if most == 0 {
		return nil
	}
	return []verdict{goal{corpus: "", bound: 350}.atMost("peak MiB: in "+where, float64(most>>20))}
}
