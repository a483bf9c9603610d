package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBench takes the two programs that every Linux has through all corpora.
func TestBench(t *testing.T) {
	needsTools(t)
	var out bytes.Buffer
	args := []string{"--tools", "tar,cp", "--scale", "0.001", "--runs", "2", "--dir", t.TempDir(), "--json"}
	if err := bench(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"mixed", "small", "db"} {
		for _, tool := range []string{"tar", "cp"} {
			got := r.find(c, tool, rowFirst)
			if got == nil || len(got.Samples) != 2 || got.Median.Seconds <= 0 || got.Median.Stored <= 0 {
				t.Errorf("%s of %s: %+v", tool, c, got)
			}
		}
	}
	if got := r.find("db", "cp", rowFirst).Median.Stored; got != 131*dbPage {
		t.Errorf("cp stored %d bytes of the database", got)
	}
	if err := r.writeTables(io.Discard); err != nil {
		t.Error(err)
	}
}

func TestBenchLeavesNothing(t *testing.T) {
	needsTools(t)
	dir := t.TempDir()
	args := []string{"--tools", "cp", "--corpus", "small", "--scale", "0.001", "--runs", "1", "--dir", dir}
	if err := bench(t.Context(), args, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBenchRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown corpus": {"--corpus", "big", "--tools", "cp"},
		"unknown tool":   {"--tools", "floppy"},
		"unknown row":    {"--tools", "cp", "--rows", "speed"},
		"no runs":        {"--tools", "cp", "--runs", "0"},
		"arguments":      {"--tools", "cp", "somewhere"},
		"not there":      {"--waybill", "/nowhere/waybill", "--tools", "waybill"},
	} {
		if err := bench(t.Context(), append(args, "--dir", t.TempDir()), io.Discard, io.Discard); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestCorporaAreFixed builds each corpus twice.
func TestCorporaAreFixed(t *testing.T) {
	needsTools(t)
	picked, err := pickCorpora([]string{"mixed", "small", "db"}, 0.001)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range picked {
		var sums [2]string
		for i := range sums {
			dir := t.TempDir()
			if err := c.build(t.Context(), c, dir); err != nil {
				t.Fatal(err)
			}
			sums[i] = contents(t, dir)
		}
		if sums[0] != sums[1] {
			t.Errorf("%s differs from one build to the next", c.name)
		}
	}
}

func TestChangeDB(t *testing.T) {
	picked, err := pickCorpora([]string{"db"}, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	c, dir := picked[0], t.TempDir()
	if err := c.build(t.Context(), c, dir); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if err := c.change(c, dir, false); err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	pages := 0
	for at := strings.IndexByte(before, 0) + 1; at < len(before); at += dbPage {
		if before[at:at+dbPage] != after[at:at+dbPage] {
			pages++
		}
	}
	if pages != 13 {
		t.Errorf("%d of 1310 pages changed", pages)
	}
	if err := c.change(c, dir, true); err != nil {
		t.Fatal(err)
	}
	if contents(t, dir) != before {
		t.Error("undoing left changes")
	}
}

// contents is the names and bytes of all regular files below dir.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		b.WriteString(strings.TrimPrefix(path, dir) + "\x00")
		b.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func needsTools(t *testing.T) {
	t.Helper()
	for _, tool := range []*tool{tar(), cp()} {
		if err := tool.available(t.Context()); err != nil {
			t.Skip(err)
		}
	}
}
