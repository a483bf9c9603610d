package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
)

// azureReport collects what bench azure measured, and shows it.
type azureReport struct{ report }

func newAzureReport(o *azureOptions) *azureReport {
	return &azureReport{report{Format: "waybill bench azure 1", Dir: o.dir, Runs: o.runs, Scale: 1, Tools: map[string]string{},
		Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())}}
}

func (r *azureReport) writeJSON(w io.Writer) error {
	r.Goals = r.judge()
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// azureRows are the rows in the report's order.
var azureRows = []string{rowUpload, rowFirst, rowUnchanged, rowChanged, rowRestore}

func (r *azureReport) writeTables(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	c := r.Corpora[0]
	fmt.Fprintf(w, "%s; in %s; medians of %d runs; %d entries, %.2f GB; Azurite, which takes most of a processor, in memory and by TLS\n", r.Machine, r.Dir, r.Runs, c.Entries, float64(c.Bytes)/1e9)
	for _, name := range azureToolNames {
		fmt.Fprintf(w, "%s\t%s\n", name, r.Tools[name])
	}
	fmt.Fprint(w, "\n\t\tseconds\tCPU s\tpeak MiB\trequests\tper GB\n")
	for _, row := range azureRows {
		for _, name := range azureToolNames {
			if x := r.find("azure", name, row); x != nil {
				m := x.Median
				fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%d\t%d\t%.0f\n", row, name, m.Seconds, m.User+m.System, m.Peak>>20, m.Requests, float64(m.Requests)*1e9/float64(c.Bytes))
			}
		}
	}
	fmt.Fprint(w, "\ngoals\n")
	for _, v := range r.judge() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.What, v.Got, v.Goal, v.word())
	}
	return w.Flush()
}

// judge holds what was measured against the goals: uploads as fast as copying, backups ahead of the peers'. Restores are there to be
// read: much of a small one is the passphrase, which is made slow on purpose.
func (r *azureReport) judge() (list []verdict) {
	for _, g := range []struct{ row, ours string }{{rowUpload, "waybill-ingest"}, {rowFirst, "waybill"}, {rowUnchanged, "waybill"}, {rowChanged, "waybill"}} {
		ours := r.find("azure", g.ours, g.row)
		for _, name := range azureToolNames {
			peer := r.find("azure", name, g.row)
			if ours == nil || peer == nil || name == g.ours {
				continue
			}
			list = append(list, goal{corpus: "azure", bound: 1}.atLeast(fmt.Sprintf("%s: %s against %s", g.row, g.ours, name), peer.Median.Seconds/ours.Median.Seconds))
		}
	}
	return list
}
