package main

import (
	"fmt"
	"slices"
	"strings"
)

// A goal is a figure the design asks for: section 8.
type goal struct {
	corpus, row string
	figure      figure
	bound       float64
	peers       string // by the first word of their names; empty for figures that stand alone
}

type figure string

const (
	speed   figure = "speed"     // peer's seconds / ours, at least
	kept    figure = "stored"    // our bytes / peer's, at most
	rate    figure = "entries/s" // at least
	seconds figure = "seconds"   // at most
	memory  figure = "peak MiB"  // at most, over all rows
	digests figure = "of sha256sum's speed"
	copies  figure = "of the slower of cp and sha256sum"
)

func goals() []goal {
	list := []goal{
		{"mixed", rowFirst, speed, 3, "restic kopia borg"},
		{"mixed", rowFirst, speed, 0.95, "tar"},
		{"mixed", rowFirst, kept, 0.97, "restic"},
		{"small", rowFirst, speed, 3.5, "restic kopia borg"},
		{"small", rowFirst, kept, 0.75, "restic"},
		{"small", rowUnchanged, speed, 5, "kopia"},
		{"small", rowUnchanged, rate, 600_000, ""},
		{"db", rowChanged, kept, 1.0 / 4, "restic"},
		{"db", rowChanged, kept, 1.0 / 8, "kopia borg"},
		{"db", rowFirst, seconds, 3.5, ""},
		{"db", rowFirst, memory, 350, ""},
	}
	for _, corpus := range []string{"mixed", "small"} {
		list = append(list,
			goal{corpus, rowRestore, speed, 2, "restic kopia"},
			goal{corpus, rowVerify, digests, 0.8, ""},
			goal{corpus, rowCheck, speed, 1.5, "restic"},
			goal{corpus, rowIngest, copies, 0.8, ""},
			goal{corpus, rowFirst, memory, 350, ""})
	}
	return list
}

// A verdict is what became of a goal, for one of our ways against one peer.
type verdict struct {
	Corpus string `json:"corpus"`
	What   string `json:"what"`
	Got    string `json:"got"`
	Goal   string `json:"goal"`
	Pass   bool   `json:"pass"`
}

func (v verdict) word() string {
	if v.Pass {
		return "pass"
	}
	return "MISS"
}

// judge holds what was measured against every goal it bears on.
func judge(r *report) []verdict {
	var out []verdict
	for _, g := range goals() {
		for _, tool := range r.order {
			ours := r.find(g.corpus, tool, g.row)
			if ours == nil || !strings.HasPrefix(tool, "waybill") {
				continue
			}
			if g.peers == "" {
				out = append(out, g.alone(r, ours)...)
				continue
			}
			for _, name := range r.order {
				if family, _, _ := strings.Cut(name, "-"); slices.Contains(strings.Fields(g.peers), family) {
					out = append(out, g.beside(ours, r.find(g.corpus, name, g.row))...)
				}
			}
		}
	}
	return out
}

// beside compares with a peer; peer is nil where nothing was measured.
func (g goal) beside(ours, peer *result) []verdict {
	if peer == nil {
		return nil
	}
	what := fmt.Sprintf("%s: %s against %s", g.row, ours.Tool, peer.Tool)
	if g.figure == kept {
		got := float64(ours.Median.Stored) / float64(peer.Median.Stored)
		return []verdict{g.atMost(what+", stored", got)}
	}
	return []verdict{g.atLeast(what, peer.Median.Seconds/ours.Median.Seconds)}
}

// alone looks at a figure that needs no peer, or a yardstick measured on the same bytes.
func (g goal) alone(r *report, ours *result) []verdict {
	what := fmt.Sprintf("%s: %s, %s", g.row, ours.Tool, g.figure)
	took := ours.Median.Seconds
	yardstick := func(row string) float64 {
		if y := r.find(g.corpus, ours.Tool, row); y != nil {
			return y.Median.Seconds
		}
		return 0
	}
	switch g.figure {
	case rate:
		i := slices.IndexFunc(r.Corpora, func(c measuredCorpus) bool { return c.Name == g.corpus })
		return []verdict{g.atLeast(what, float64(r.Corpora[i].Entries)/took)}
	case memory:
		most, row := r.peak(g.corpus, ours.Tool)
		return []verdict{g.atMost(fmt.Sprintf("%s, %s: in %s", ours.Tool, g.figure, row), float64(most>>20))}
	case seconds:
		if r.Scale != 1 { // it means the whole corpus
			return nil
		}
		return []verdict{g.atMost(what, took)}
	case digests:
		return []verdict{g.atLeast(what, yardstick(rowDigestRepo)/took)}
	}
	return []verdict{g.atLeast(what, max(yardstick(rowCopy), yardstick(rowDigest))/took)}
}

func (g goal) atLeast(what string, got float64) verdict {
	return verdict{g.corpus, what, fmt.Sprintf("%.4g", got), fmt.Sprintf("at least %.4g", g.bound), got >= g.bound}
}

func (g goal) atMost(what string, got float64) verdict {
	return verdict{g.corpus, what, fmt.Sprintf("%.4g", got), fmt.Sprintf("at most %.4g", g.bound), got <= g.bound}
}
