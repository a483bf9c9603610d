package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// report collects samples and shows them.
type report struct {
	Format  string            `json:"format"`
	Machine string            `json:"machine"`
	Dir     string            `json:"dir"`
	Runs    int               `json:"runs"`
	Scale   float64           `json:"scale"`
	Tools   map[string]string `json:"tools"` // and the versions they say they are
	Corpora []measuredCorpus  `json:"corpora"`
	Results []*result         `json:"results"`
	Goals   []verdict         `json:"goals"`

	order []string // of the tools
}

type measuredCorpus struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
}

// A result is all samples of one row of one tool.
type result struct {
	Corpus  string   `json:"corpus"`
	Tool    string   `json:"tool"`
	Row     string   `json:"row"`
	Samples []sample `json:"samples"`
	Median  sample   `json:"median"` // of each figure by itself
}

// A shown report can be read by people and by programs.
type shown interface {
	writeJSON(w io.Writer) error
	writeTables(w io.Writer) error
}

func show(r shown, json bool, w io.Writer) error {
	if json {
		return r.writeJSON(w)
	}
	return r.writeTables(w)
}

func newReport(ctx context.Context, o *options, tools []*tool) *report {
	r := &report{Format: "waybill bench 1", Dir: o.dir, Runs: o.runs, Scale: o.scale, Tools: map[string]string{},
		Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())}
	for _, t := range tools {
		r.Tools[t.name] = t.says(ctx)
		r.order = append(r.order, t.name)
	}
	return r
}

func (r *report) addCorpus(name string, entries int, bytes int64) {
	r.Corpora = append(r.Corpora, measuredCorpus{name, entries, bytes})
}

func (r *report) add(corpus, tool, row string, s sample) {
	res := r.find(corpus, tool, row)
	if res == nil {
		res = &result{Corpus: corpus, Tool: tool, Row: row}
		r.Results = append(r.Results, res)
	}
	res.Samples = append(res.Samples, s)
	res.Median = sample{
		Seconds: median(res.Samples, func(s sample) float64 { return s.Seconds }),
		User:    median(res.Samples, func(s sample) float64 { return s.User }),
		System:  median(res.Samples, func(s sample) float64 { return s.System }),
		Peak:    int64(median(res.Samples, func(s sample) float64 { return float64(s.Peak) })),
		Stored:  int64(median(res.Samples, func(s sample) float64 { return float64(s.Stored) })),
		Read:    int64(median(res.Samples, func(s sample) float64 { return float64(s.Read) })),

		Requests: int64(median(res.Samples, func(s sample) float64 { return float64(s.Requests) })),
	}
}

// find returns nil where nothing was measured.
func (r *report) find(corpus, tool, row string) *result {
	i := slices.IndexFunc(r.Results, func(x *result) bool { return x.Corpus == corpus && x.Tool == tool && x.Row == row })
	if i < 0 {
		return nil
	}
	return r.Results[i]
}

// median is that of one figure; of an even number of samples the mean of the middle two.
func median(samples []sample, figure func(sample) float64) float64 {
	all := each(samples, figure)
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

func (r *report) writeJSON(w io.Writer) error {
	r.Goals = judge(r)
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

func (r *report) writeTables(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s; in %s; medians of %d runs\n", r.Machine, r.Dir, r.Runs)
	for _, name := range r.order {
		fmt.Fprintf(w, "%s\t%s\n", name, r.Tools[name])
	}
	for _, c := range r.Corpora {
		r.writeCorpus(w, c)
	}
	fmt.Fprint(w, "\ngoals of the design\n")
	for _, v := range judge(r) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Corpus, v.What, v.Got, v.Goal, v.word())
	}
	return w.Flush()
}

// writeCorpus prints a line a program: seconds of each row, and beside a peer's how many times ours that is.
func (r *report) writeCorpus(w io.Writer, c measuredCorpus) {
	fmt.Fprintf(w, "\n%s: %d entries, %.2f GB; seconds (x waybill's)\n", c.Name, c.Entries, float64(c.Bytes)/1e9)
	rows := []string{rowFirst, rowUnchanged, rowChanged, rowDigestRepo, rowVerify, rowCheck, rowRestore, rowCopy, rowDigest, rowIngest}
	rows = slices.DeleteFunc(rows, func(row string) bool {
		return !slices.ContainsFunc(r.Results, func(x *result) bool { return x.Corpus == c.Name && x.Row == row })
	})
	fmt.Fprintf(w, "\t%s\tCPU s\tstored MB\tadded MB\tpeak MiB\n", strings.Join(rows, "\t"))
	for _, tool := range r.order {
		cells := []string{tool}
		for _, row := range rows {
			cells = append(cells, r.cell(c.Name, tool, row))
		}
		fmt.Fprintln(w, strings.Join(append(cells, r.means(c.Name, tool)...), "\t"))
	}
}

func (r *report) cell(corpus, tool, row string) string {
	got, ours := r.find(corpus, tool, row), r.find(corpus, "waybill", row)
	switch {
	case got == nil:
		return "-"
	case ours == nil || tool == "waybill":
		return fmt.Sprintf("%.2f", got.Median.Seconds)
	}
	return fmt.Sprintf("%.2f (%.2fx)", got.Median.Seconds, got.Median.Seconds/ours.Median.Seconds)
}

// means is the processor time of the first backup, what it stored, what the second added, and the largest peak of any row.
func (r *report) means(corpus, tool string) []string {
	out := []string{"-", "-", "-", "-"}
	if first := r.find(corpus, tool, rowFirst); first != nil {
		out[0] = fmt.Sprintf("%.1f", first.Median.User+first.Median.System)
		out[1] = fmt.Sprintf("%.1f", float64(first.Median.Stored)/1e6)
	}
	for _, row := range []string{rowUnchanged, rowChanged} {
		if second := r.find(corpus, tool, row); second != nil {
			out[2] = fmt.Sprintf("%.2f", float64(second.Median.Stored)/1e6)
		}
	}
	if peak, row := r.peak(corpus, tool); peak > 0 {
		out[3] = fmt.Sprintf("%d (%s)", peak>>20, row)
	}
	return out
}

// peak is the largest median peak over the tool's own rows, and the row it is of.
func (r *report) peak(corpus, tool string) (most int64, row string) {
	for _, x := range r.Results {
		if x.Corpus == corpus && x.Tool == tool && slices.Contains(rowNames, x.Row) && x.Median.Peak > most {
			most, row = x.Median.Peak, x.Row
		}
	}
	return most, row
}
