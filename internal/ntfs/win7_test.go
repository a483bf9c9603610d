package ntfs

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// scattered is a disk of which only the master file table is known: all else reads as zeros.
type scattered struct {
	boot, table []byte
	runs        []run
	cluster     int64
}

func (d *scattered) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < 512 {
		copy(p, d.boot[off:])
	}
	for _, r := range d.runs {
		from, to, at := r.lcn*d.cluster, (r.lcn+r.count)*d.cluster, r.vcn*d.cluster
		lo, hi := max(from, off), min(to, off+int64(len(p)))
		if lo < hi && at+lo-from < int64(len(d.table)) {
			copy(p[lo-off:hi-off], d.table[at+lo-from:])
		}
	}
	return len(p), nil
}

// windows7 opens a volume of which there is the boot sector and the master file table, of a Windows that was used for years.
func windows7(t testing.TB) (*Volume, *scattered) {
	t.Helper()
	archive := "/work/shared/fixtures/usn/orc_win7.7z"
	if _, err := os.Stat(archive); err != nil {
		t.Skip("the real volumes aren't here: ", err)
	}
	if _, err := exec.LookPath("7z"); err != nil {
		t.Skip("7z isn't here: ", err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("7z", "x", "-o"+dir, archive, "mft_win7", "vbr_win7").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d := new(scattered)
	var err, err2 error
	d.boot, err = os.ReadFile(filepath.Join(dir, "vbr_win7"))
	d.table, err2 = os.ReadFile(filepath.Join(dir, "mft_win7"))
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	var b boot
	if err := b.parse(d.boot, 1<<62); err != nil {
		t.Fatal(err)
	}
	d.cluster = b.cluster
	first := &Record{v: &Volume{boot: b}, buf: append([]byte{}, d.table[:b.record]...)}
	if err := fixup(first.buf, "record 0"); err != nil {
		t.Fatal(err)
	}
	first.attrs, err = appendAttrs(nil, first.buf, "record 0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := first.parts(attrData, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.runs = s.runs
	v := newVolume(d, b.size)
	v.boot = b
	if err := v.openMFT(); err != nil {
		t.Fatal(err)
	}
	return v, d
}

// The counts are what other tools found in it (59,579 records in use), less 34 continuations; of nine files the list of attributes
// lies where the disk isn't known.
func TestWindows7(t *testing.T) {
	v, _ := windows7(t)
	got := map[string]int{}
	var r Record
	for n := range v.Records() {
		err := v.RecordInto(n, &r)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			got["list elsewhere"]++
			continue
		}
		got["files"]++
		if r.Directory {
			got["directories"]++
		}
		if len(r.Names) > 1 {
			got["hard links"]++
		}
		if len(r.ext) > 0 {
			got["continued"]++
		}
		if r.Standard.Usn > 0 {
			got["usn"]++
		}
		if r.ReparseTag != 0 {
			got["reparse"]++
		}
		for _, name := range r.Names {
			if _, err := v.Lookup(name.Parent); err != nil {
				got["orphans"]++
			}
		}
	}
	want := map[string]int{"files": 59536, "directories": 14207, "hard links": 20451, "continued": 9, "usn": 2834, "reparse": 65, "list elsewhere": 9}
	if !maps.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

// table opens a volume that is nothing but a master file table, all of whose records can be read.
func table(b *testing.B) *Volume {
	v, d := windows7(b)
	var r Record
	for n := range v.Records() {
		if err := v.RecordInto(n, &r); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.table[n*1024+0x16] &^= 1 // not in use
		}
	}
	runs := []run{{count: v.mft.size / d.cluster}}
	v.dev = bytes.NewReader(d.table)
	v.mft = &Stream{dev: v.dev, cluster: d.cluster, size: v.mft.size, valid: v.mft.size, runs: runs}
	return v
}

func BenchmarkEach(b *testing.B) {
	v := table(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := v.Each(b.Context(), func(*Record) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
