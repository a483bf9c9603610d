package hwtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// says tells whether one of the texts has the words.
func says(texts []string, words string) bool {
	return strings.Contains(strings.Join(texts, "\n"), words)
}

func TestPattern(t *testing.T) {
	p := make([]byte, 4*blockSize)
	fill(p, 7, 8*blockSize)
	copy(p[blockSize:], p[:blockSize]) // the second block has what was written to the first
	clear(p[2*blockSize : 3*blockSize])
	p[3*blockSize+100] ^= 1
	c := Capacity{FirstBad: -1}
	c.check(p, 7, 8*blockSize, make([]byte, blockSize))
	want := Capacity{Good: blockSize, Moved: blockSize, Empty: blockSize, Wrong: blockSize, FirstBad: 9 * blockSize, Real: blockSize}
	if c != want {
		t.Errorf("found %+v, want %+v", c, want)
	}
	fill(p, 8, 8*blockSize)
	c = Capacity{FirstBad: -1}
	if c.check(p, 7, 8*blockSize, make([]byte, blockSize)); c.Wrong != int64(len(p)) {
		t.Errorf("what another run wrote: %+v, want it wrong", c)
	}
}

// The places of the quick form reach from the run to the end, and into the run by any power of two.
func TestSpots(t *testing.T) {
	const run, size = 64 << 20, 8 << 40
	all := spots(run, size)
	if !slices.IsSorted(all) || all[0] < run || all[len(all)-1] != size-spot || len(all) > 60 {
		t.Errorf("%d places from %d to %d", len(all), all[0], all[len(all)-1])
	}
	for real := int64(128 << 20); real < size/2; real *= 2 {
		if !slices.ContainsFunc(all, func(p int64) bool { return p > real && p%real < run }) {
			t.Errorf("no place of a medium that holds %d lies in the run", real)
		}
	}
	for _, p := range all {
		if p%blockSize != 0 || p+spot > size {
			t.Errorf("place %d", p)
		}
	}
	if got := spots(chunk, chunk); len(got) != 0 {
		t.Errorf("places %v behind the end", got)
	}
}

func TestMeter(t *testing.T) {
	const n = 512
	m := &meter{total: n * chunk}
	for i := range int64(n) {
		d := 10 * time.Millisecond
		if i >= n/4 {
			d = 100 * time.Millisecond
		}
		m.add(i*chunk, chunk, d)
	}
	s := m.speed()
	if s.Bytes != n*chunk || len(s.Curve) != parts || s.First != 100*chunk || s.Sustained != 10*chunk || s.Slowest != 10*chunk {
		t.Errorf("%+v", s)
	}
	if l := s.Latency; l.P50 < 100 || l.P50 > 115 || l.Max != 100 && l.Max > l.P50*1.2 {
		t.Errorf("latency %+v", l)
	}
	r := &Report{Form: Full, Write: s}
	if r.judge(); !says(r.Remarks, "once the drive's cache is full") {
		t.Errorf("remarks %q on a drive that slows down", r.Remarks)
	}
}

// The answers are of real drives, shortened.
func TestHealth(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		verdict      Verdict
		says         string
	}{
		{"good disk", `{"smart_status":{"passed":true},"temperature":{"current":34},"power_on_time":{"hours":812},"ata_smart_attributes":{"table":[{"id":5,"raw":{"value":0}}]}}`, Fit, ""},
		{"pending", `{"smart_status":{"passed":true},"ata_smart_attributes":{"table":[{"id":5,"raw":{"value":8}},{"id":197,"raw":{"value":16}}]}}`, Unfit, "16 sectors can't be read"},
		{"reallocated", `{"smart_status":{"passed":true},"ata_smart_attributes":{"table":[{"id":5,"raw":{"value":8}}]}}`, WithRemarks, "8 sectors were replaced"},
		{"failing", `{"smart_status":{"passed":false}}`, Unfit, "failing"},
		{"worn NVMe", `{"smart_status":{"passed":true,"nvme":{"value":0}},"nvme_smart_health_information_log":{"percentage_used":104,"media_errors":0}}`, Unfit, "104 %"},
	} {
		h, err := parseHealth([]byte(test.answer))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		r := &Report{Health: h}
		if r.judge(); r.Verdict != test.verdict || !says(append(r.Reasons, r.Remarks...), test.says) {
			t.Errorf("%s: %s %q %q", test.name, r.Verdict, r.Reasons, r.Remarks)
		}
	}
	for _, bad := range []string{"", "{}", "[]", `{"smart_status":7}`} {
		if h, err := parseHealth([]byte(bad)); err == nil {
			t.Errorf("%q passes for an answer: %+v", bad, h)
		}
	}
}

func TestLimits(t *testing.T) {
	const gib = 1 << 30
	for _, test := range []struct {
		name string
		fs   FileSystem
		pack int64
		want Verdict
		says string
	}{
		{"ext4", FileSystem{Type: "ext4", Free: 100 * gib, FreeFiles: 1e6}, gib, Fit, ""},
		{"FAT32", FileSystem{Type: "vfat", Free: 100 * gib, FreeFiles: -1}, gib, WithRemarks, "4.3 GB at most"},
		{"FAT32 and large packs", FileSystem{Type: "vfat", Free: 100 * gib, FreeFiles: -1}, 4 * gib, Unfit, "FAT32 holds files of 4.3 GB at most"},
		{"NTFS, unclean", FileSystem{Type: "fuseblk", ReadOnly: true, Free: 100 * gib, FreeFiles: -1}, gib, Unfit, "chkdsk"},
		{"no room", FileSystem{Type: "xfs", Free: gib, FreeFiles: -1}, gib, Unfit, "no room for one pack"},
		{"few files", FileSystem{Type: "ext4", Free: 100 * gib, FreeFiles: 500}, gib, WithRemarks, "only 500 more files"},
		{"no files", FileSystem{Type: "ext4", Free: 100 * gib}, gib, Unfit, "no room for more files"},
	} {
		r := &Report{FileSystem: test.fs}
		r.FileSystem.known()
		r.limits(test.pack)
		if r.judge(); r.Verdict != test.want || !says(append(r.Reasons, r.Remarks...), test.says) {
			t.Errorf("%s: %s %q %q", test.name, r.Verdict, r.Reasons, r.Remarks)
		}
	}
}

func TestStructure(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"BlockBlob", "PageBlob", "account_BlockBlob"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{dir: "Data Box Disk", filepath.Join(dir, "account_BlockBlob"): "share of a Data Box"} {
		r := &Report{}
		if r.structure(path); !says(r.Remarks, want) {
			t.Errorf("%s: %q, want %q", path, r.Remarks, want)
		}
	}
}

func TestBars(t *testing.T) {
	if got := Bars([]int64{0, 50, 100}, 100); got != "▁▅█" {
		t.Error(got)
	}
	if got := Bars([]int64{0}, 0); got != "▁" {
		t.Error(got)
	}
}
