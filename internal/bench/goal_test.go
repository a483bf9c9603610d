package main

import (
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		got := median(each(c.in, func(s float64) sample { return sample{Seconds: s} }), func(s sample) float64 { return s.Seconds })
		if got != c.want {
			t.Errorf("median of %v: %v, want %v", c.in, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	r := &report{Scale: 1, order: []string{"waybill", "waybill-seed", "restic-fastest", "tar", "cp"}}
	r.addCorpus("mixed", 1000, 1e9)
	r.addCorpus("small", 600_000, 1e9)
	for _, x := range []struct {
		corpus, tool, row string
		s                 sample
	}{
		{"mixed", "waybill", rowFirst, sample{Seconds: 10, Stored: 900, Peak: 400 << 20}},
		{"mixed", "restic-fastest", rowFirst, sample{Seconds: 31, Stored: 1000, Peak: 1}},
		{"mixed", "tar", rowFirst, sample{Seconds: 9}},
		{"mixed", "cp", rowFirst, sample{Seconds: 1}},
		{"mixed", "waybill", rowVerify, sample{Seconds: 2}},
		{"mixed", "waybill", rowDigestRepo, sample{Seconds: 1.8}},
		{"mixed", "waybill-seed", rowIngest, sample{Seconds: 4}},
		{"mixed", "waybill-seed", rowCopy, sample{Seconds: 1}},
		{"mixed", "waybill-seed", rowDigest, sample{Seconds: 2}},
		{"small", "waybill", rowUnchanged, sample{Seconds: 1.01}},
	} {
		r.add(x.corpus, x.tool, x.row, x.s)
	}
	want := []verdict{
		{"mixed", "first: waybill against restic-fastest", "3.1", "at least 3", true},
		{"mixed", "first: waybill against tar", "0.9", "at least 0.95", false},
		{"mixed", "first: waybill against restic-fastest, stored", "0.9", "at most 0.97", true},
		{"small", "unchanged: waybill, entries/s", "5.941e+05", "at least 6e+05", false},
		{"mixed", "verify: waybill, of sha256sum's speed", "0.9", "at least 0.8", true},
		{"mixed", "ingest: waybill-seed, of the slower of cp and sha256sum", "0.5", "at least 0.8", false},
		{"mixed", "waybill, peak MiB: in first", "400", "at most 350", false},
	}
	if got := judge(r); !slices.Equal(got, want) {
		t.Errorf("verdicts:\n%v\nwant\n%v", got, want)
	}
}
