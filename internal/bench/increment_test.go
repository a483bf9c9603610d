package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestIncremental takes small file systems through all that this waybill can do, without peers.
func TestIncremental(t *testing.T) {
	needsMounts(t)
	var out bytes.Buffer
	dir := inMemory(t)
	args := []string{"--rows", "million,big", "--tools", "", "--files", "1000", "--big", "100", "--ten", "--runs", "2", "--dir", dir, "--json"}
	if err := benchIncremental(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r incrementReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for corpus, rows := range map[string][]string{groupMillion: {rowFirst, rowChanged, rowRenamed, rowScan}, "ten": {rowFirst, rowChanged}, groupBig: {rowFirst, rowChanged}} {
		for _, row := range rows {
			if got, ok := r.row(corpus, row); !ok || got.Seconds <= 0 || got.Stored <= 0 || r.How[corpus+" "+row] == "" {
				t.Errorf("%s of %s: %+v", row, corpus, got)
			}
		}
	}
	if got, _ := r.row(groupBig, rowFirst); got.Read != 100<<20 || got.Stored < 64<<20 || got.Stored > 80<<20 {
		t.Errorf("the large file: %d bytes read, %d stored", got.Read, got.Stored)
	}
	if got, _ := r.row("ten", rowChanged); got.Read < treeChanged*treeMin || got.Read > treeChanged*(treeMin+treeSpread+10) {
		t.Errorf("%d bytes of changed files read", got.Read)
	}
	if got, _ := r.row(groupMillion, rowScan); got.Read != 0 {
		t.Errorf("%d bytes read, nothing having changed", got.Read)
	}
	if err := r.writeTables(io.Discard); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTree builds trees, changes one and renames half of it.
func TestTree(t *testing.T) {
	var same [2][]string
	for i := range same {
		x := &tree{files: 500}
		if err := x.fillAt(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		same[i] = lines(t, x.dir)
	}
	if !slices.Equal(same[0], same[1]) {
		t.Error("two trees of the same size differ")
	}
	a := &tree{files: treeChanged * treePerDir}
	if err := a.fillAt(t.Context(), inMemory(t)); err != nil {
		t.Fatal(err)
	}
	before := lines(t, a.dir)
	if len(before) != a.files {
		t.Fatalf("%d files", len(before))
	}
	if err := a.change(7); err != nil {
		t.Fatal(err)
	}
	changed := 0
	after := lines(t, a.dir)
	for i := range before {
		if before[i] != after[i] {
			changed++
		}
	}
	if changed != treeChanged || len(after) != len(before) {
		t.Errorf("%d of %d files changed", changed, len(after))
	}
	if err := a.rename(false); err != nil {
		t.Fatal(err)
	}
	if names := a.some(5000); len(names) != 1 || names[0] != filepath.Join("left", "0000") {
		t.Errorf("half of the files: %q", names)
	}
	moved, err := os.ReadDir(filepath.Join(a.dir, "was left"))
	if err != nil || len(moved) != 1 {
		t.Errorf("moved: %v, %v", moved, err)
	}
	if err := a.rename(true); err != nil || !slices.Equal(lines(t, a.dir), after) {
		t.Errorf("not as it was: %v", err)
	}
}

// inMemory is a temporary directory on a tmpfs where there is one: disks take their time when others write to them.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(defaultDir(), "bench-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// lines is path and content of all files below dir, in order.
func lines(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, strings.TrimPrefix(path, dir)+string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestIncrementJudge(t *testing.T) {
	r := newIncrementReport(&incrementOptions{files: 1_000_000, big: 10 << 10})
	r.addCorpus(groupMillion, 1_020_207, 1e9)
	for _, x := range []struct {
		corpus, tool, row string
		s                 sample
	}{
		{groupMillion, "waybill", rowFirst, sample{Seconds: 20, Peak: 300 << 20}},
		{groupMillion, "waybill", rowChanged, sample{Seconds: 0.4, Stored: 300_000}},
		{groupMillion, "borg", rowFirst, sample{Seconds: 1}},
		{groupMillion, "borg", rowChanged, sample{Seconds: 9}},
		{groupMillion, "restic", rowChanged, sample{Seconds: 7}},
		{groupMillion, "waybill", rowRenamed, sample{Seconds: 0.6, Stored: 500_000}},
		{groupMillion, "waybill", rowScan, sample{Seconds: 2}},
		{groupAgent, "waybill", rowChanged, sample{Seconds: 0.3, Stored: 300_000}},
		{groupAgent, "waybill", rowTar, sample{Seconds: 10}},
		{groupAgent, "waybill", rowTarAgent, sample{Seconds: 11}},
		{groupAgent, "waybill", rowIdle, sample{Peak: 41 << 20}},
		{"ten", "waybill", rowChanged, sample{Seconds: 0.5}},
		{groupBig, "waybill", rowChanged, sample{Seconds: 0.5, Read: 30e6, Stored: 9e6}},
	} {
		r.add(x.corpus, x.tool, x.row, x.s)
	}
	r.Rates = ratesIn([]byte("goos: linux\nBenchmarkEach-2  10  1234 ns/op  1500000 records/s  3 B/op\nBenchmarkFold-2  10  99 ns/op\nok x 1s\n"))
	want := []verdict{
		{groupMillion, "100 files changed: seconds", "0.4", "at most 0.5", true},
		{groupMillion, "100 files changed: times as fast as restic", "17.5", "at least 20", false},
		{groupMillion, "100 files changed: kB stored", "300", "at most 400", true},
		{groupAgent, "100 files changed: seconds", "0.3", "at most 0.5", true},
		{groupAgent, "100 files changed: times as fast as restic", "23.33", "at least 20", true},
		{groupAgent, "100 files changed: kB stored", "300", "at most 400", true},
		{"ten", "100 files changed: times what they cost among a tenth of the files", "1.25", "at most 1.3", true},
		{groupMillion, "scan, unchanged: entries/s", "5.101e+05", "at least 6e+05", false},
		{groupMillion, "half renamed: bytes read", "0", "at most 0", true},
		{groupMillion, "half renamed: kB stored", "500", "at most 400", false},
		{groupMillion, "half renamed: seconds", "0.6", "at most 0.5", false},
		{groupBig, "100 pages changed: kB stored", "9000", "", false},
		{groupBig, "100 pages changed: MB read", "30", "at most 64", true},
		{groupBig, "100 pages changed: seconds", "0.5", "at most 1", true},
		{groupAgent, "extracting small files: times what it takes unwatched", "1.1", "at most 1.15", true},
		{groupAgent, "agent, idle: MiB resident", "41", "at most 40", false},
		{groupRates, "BenchmarkEach-2: records/s", "1.5e+06", "at least 1e+06", true},
		{"", "peak MiB: in million, first", "300", "at most 350", true},
	}
	if got := r.judge(); !slices.Equal(got, want) {
		t.Errorf("verdicts:\n%v\nwant\n%v", got, want)
	}
}

func TestAnswer(t *testing.T) {
	said := `{"type":"warning","text":"no journal"}
{"type":"backup","id":"00","mode":"journal","reason":"","stats":{"files":7,"read_bytes":42},"volumes":[{"path":"/a","mode":"optimised"},{"path":"/b","mode":"unoptimised","reason":"first backup"}]}
`
	a, err := answerOf([]byte(said))
	if err != nil || a.Stats.Read != 42 || a.how() != "journal: ; optimised; unoptimised: first backup" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := answerOf([]byte(`{"type":"warning"}`)); err == nil {
		t.Error("no answer, and no error")
	}
}

func TestAgentProcess(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	start := func(script string) (*agent, error) {
		return startAgent(&command{args: shell(script, socket), dir: dir}, socket)
	}
	for range 2 {
		a, err := start(`sleep 0.1; : > "$1"; exec sleep 100`)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.stop(); err != nil {
			t.Error(err)
		}
	}
	if _, err := start(`echo it can not watch >&2; exit 3`); err == nil || !strings.Contains(err.Error(), "it can not watch") {
		t.Errorf("an agent that ended: %v", err)
	}
}

func TestIncrementalRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown row":   {"--rows", "speed"},
		"unknown tool":  {"--tools", "floppy"},
		"no second run": {"--tools", "tar"},
		"no runs":       {"--runs", "0"},
		"few files":     {"--files", "10"},
		"a small file":  {"--big", "1"},
		"too much":      {"--files", "1000000000", "--waybill", "/bin/true", "--tools", ""},
		"arguments":     {"somewhere"},
		"not there":     {"--waybill", "/nowhere/waybill", "--tools", "", "--files", "1000"},
		"not there yet": {"--dir", "/nowhere"},
	} {
		if err := benchIncremental(t.Context(), append([]string{"--dir", t.TempDir()}, args...), io.Discard, io.Discard); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// needsMounts skips where images can't be mounted: file systems, loop devices and root are asked for.
func needsMounts(t *testing.T) {
	t.Helper()
	if err := mountable(); err != nil {
		t.Skip(err)
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := makeFileSystem(t.Context(), image, "btrfs", 200<<20); err != nil {
		t.Fatal(err)
	}
	unmount, err := mountImage(t.Context(), image, dir)
	if err != nil {
		t.Skip(err)
	}
	if err := unmount(); err != nil {
		t.Fatal(err)
	}
}
