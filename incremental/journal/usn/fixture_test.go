package usn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/incremental/journal"
)

var update = flag.Bool("update", false, "write golden files anew")

// fixtures are real journals, beside the project.
const fixtures = "../../../../shared/fixtures/usn"

// fixture reads a file that is not part of the project, which not every machine has.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join(fixtures, name)); err == nil {
		return b
	}
	t.Skipf("no fixture %s on this machine", name)
	return nil
}

// win7 is the whole journal of a real Windows 7.
func win7(t testing.TB) []byte {
	t.Helper()
	archive := fixture(t, "orc_win7.7z")
	z, err := exec.LookPath("7z")
	if err != nil {
		t.Skip("no 7z to unpack the fixture with")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.7z"), archive, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(z, "x", "-o"+dir, filepath.Join(dir, "a.7z"), "usnjrnl_win7").CombinedOutput(); err != nil {
		t.Fatalf("7z: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "usnjrnl_win7"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dump is a journal out of a file: what is zero at its beginning is a hole. As a Device it knows nothing of files but that they are there.
type dump struct {
	*bytes.Reader
	first int64
	pages
}

func newDump(b []byte) *dump {
	d := &dump{Reader: bytes.NewReader(b)}
	d.first = int64(len(b) - len(bytes.TrimLeft(b, "\x00")))
	d.s = d
	return d
}

func (d *dump) Size() int64 { return d.Reader.Size() }

func (d *dump) NextData(off int64) (start, end int64, err error) {
	if start = max(off, d.first); start >= d.Size() {
		return 0, 0, io.EOF
	}
	return start, d.Size(), nil
}

func (d *dump) Query() (Info, error) {
	first, next, err := d.bounds()
	return Info{Volume: "dump", ID: 1, First: first, Next: next, Root: ID{Low: 5 | 5<<48}}, err
}

func (d *dump) Read(_, start uint64, buf []byte) (int, error) {
	return d.records(start, uint64(d.Size()), buf)
}
func (d *dump) Each(context.Context, func(ID, uint64) error) error { return errWrapped }

func (d *dump) Lookup(_ ID, f *File) error { *f = File{}; return nil }
func (d *dump) Close() error               { return nil }

// TestWin7 has all figures of the real journal.
func TestWin7(t *testing.T) {
	d := newDump(win7(t))
	info, err := d.Query()
	if err != nil || info.First != 6291456 || info.Next != 10180312 {
		t.Fatalf("bounds %+v, %v", info, err)
	}
	j := New(d)
	records, parents, last, reasons := 0, map[ID]bool{}, map[ID]uint32{}, map[uint32]int{}
	err = j.each(t.Context(), info, info.First, info.Next, func(r *Record) error {
		records++
		parents[r.Parent] = true
		last[r.File] = r.Reason
		for bit := uint32(1); bit != 0; bit <<= 1 {
			if r.Reason&bit != 0 {
				reasons[bit]++
			}
		}
		if r.Major != 2 || len(r.Name) == 0 || r.Time().Before(time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("record %+v", *r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, r := range last {
		if r&closed == 0 {
			open++
		}
	}
	// go-ntfs returns 1,622 of them: behind padding it goes on at the next byte that isn't zero, and 95 records begin with one that is.
	if records != 38014 || len(last) != 6311 || len(parents) != 646 || open != 71 {
		t.Errorf("%d records of %d files in %d directories, %d open; want 38014, 6311, 646, 71", records, len(last), len(parents), open)
	}
	for bit, want := range map[uint32]int{fileCreate: 10204, dataExtend: 15994, dataOverwrite: 6524, dataTruncation: 6847,
		securityChange: 3659, renameOld: 1184, renameNew: 2368, basicInfoChange: 3437, closed: 16419} {
		if reasons[bit] != want {
			t.Errorf("reason %#x: %d times, want %d", bit, reasons[bit], want)
		}
	}

	// The fold: every parent, and all files, and the open ones.
	from := &journal.Cursor{Kind: Kind, Volume: "dump", Journal: journalID(1), Position: info.First}
	to := now(t, j)
	dirt := changes(t, j, from, to)
	for p := range parents {
		if dirt.Dirs[p.Fold()] == nil {
			t.Errorf("directory %x is not dirty", p.Low)
		}
	}
	if len(to.Open) != open {
		t.Errorf("%d open files kept, want %d", len(to.Open), open)
	}
	if len(dirt.Files) != 6311-purelyClosed(last, t, j, info) {
		t.Errorf("%d files in the dirt", len(dirt.Files))
	}
	s, err := j.Status(t.Context())
	if err != nil || s.Since.IsZero() {
		t.Errorf("status %+v, %v", s, err)
	}

	// A cursor from any record on: the same records.
	seen := 0
	if err := j.each(t.Context(), info, 10180192, info.Next, func(*Record) error { seen++; return nil }); err != nil || seen != 1 {
		t.Errorf("the last record: %d, %v", seen, err)
	}
}

// purelyClosed counts files of which nothing but that they were closed is told.
func purelyClosed(last map[ID]uint32, t *testing.T, j *Journal, info Info) int {
	all := map[ID]uint32{}
	if err := j.each(t.Context(), info, info.First, info.Next, func(r *Record) error { all[r.File] |= r.Reason; return nil }); err != nil {
		t.Fatal(err)
	}
	n := 0
	for id := range last {
		if all[id] == closed {
			n++
		}
	}
	return n
}

// TestOtherPlace is a piece out of a journal: its records are not where they say, which is damage, not an end.
func TestOtherPlace(t *testing.T) {
	b := fixture(t, "js-sample1.bin")
	j := New(newDump(b))
	info, err := j.dev.Query()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.each(t.Context(), info, 0, info.Next, func(*Record) error { return nil }); !errors.Is(err, errDamaged) {
		t.Errorf("got %v", err)
	}
	records, files := 0, map[ID]bool{}
	for at := 0; at+8 <= len(b); {
		var r Record
		if binary.LittleEndian.Uint32(b[at:]) == 0 {
			at = at&^(pageSize-1) + pageSize
			continue
		}
		n, err := parse(b[at:], &r)
		if err != nil {
			t.Fatal(err)
		}
		records, files[r.File] = records+1, true
		at += n
	}
	if records != 104 || len(files) != 13 {
		t.Errorf("%d records of %d files, want 104 of 13", records, len(files))
	}
}

// TestRecords parses single records of all versions.
func TestRecords(t *testing.T) {
	tests := []struct {
		file string
		want string
	}{
		{"ez_record.usn", "v2 file 9168000000000073 parent 7000000022a3b usn 20342374400 reason 2 attributes 2020 name BTDevManager.log"},
		{"dfir_usn_1170953448.bin", "v2 file d000000013252 parent 60000000009eb usn 1170953448 reason 80000001 attributes 20 name large_file.txt"},
		{"dfir_usn_1170955904.bin", "v4 file 20000000051c0 parent 4000000001066 usn 1170955904 reason 80000001 attributes 0 name  ranges [{0 16384} {6242304 32768}]"},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			b := fixture(t, test.file)
			var r Record
			n, err := parse(b, &r)
			if err != nil || n != len(b) {
				t.Fatalf("%d bytes, %v", n, err)
			}
			got := fmt.Sprintf("v%d file %x parent %x usn %d reason %x attributes %x name %s", r.Major, r.File.Low, r.Parent.Low, r.USN, r.Reason, r.Attributes, appendName(nil, r.Name))
			if list, ok := r.Ranges(nil); ok && list != nil {
				got += fmt.Sprint(" ranges ", list)
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestGolden has the records of a small journal, and what they make dirty.
func TestGolden(t *testing.T) {
	j := New(newDump(fixture(t, "plaso_UsnJrnl.raw")))
	info, err := j.dev.Query()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	err = j.each(t.Context(), info, 0, info.Next, func(r *Record) error {
		fmt.Fprintf(&b, "%d %s file %x in %x reason %x %s\n", r.USN, r.Time().Format(time.RFC3339Nano), r.File.Low, r.Parent.Low, r.Reason, appendName(nil, r.Name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	to := now(t, j)
	d := changes(t, j, &journal.Cursor{Kind: Kind, Volume: "dump", Journal: journalID(1)}, to)
	b.WriteString(describe(d))
	fmt.Fprintf(&b, "open %x mark %s\n", to.Open, to.Mark)
	const golden = "testdata/plaso_UsnJrnl.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || b.String() != string(want) {
		t.Errorf("got\n%s\n%v", b.String(), err)
	}
}

// TestBounds is where a journal begins and ends, in a stream that has more.
func TestBounds(t *testing.T) {
	m := newModel(2)
	for i := range 300 {
		m.create(m.info.Root, fmt.Sprint("file", i), false)
	}
	page := func(n int) []byte { return make([]byte, n*pageSize) }
	purged := slices.Clone(m.log)
	clear(purged[:2*pageSize])
	torn := slices.Clone(m.log)
	clear(torn[len(torn)&^(pageSize-1):])
	tests := []struct {
		name        string
		b           []byte
		first, next int
	}{
		{"empty", nil, 0, 0},
		{"purged to the end", page(2), 2 * pageSize, 2 * pageSize},
		{"whole", m.log, 0, len(m.log)},
		{"purged", purged, 2 * pageSize, len(m.log)},
		{"pages made ready", append(slices.Clone(m.log), page(3)...), 0, len(m.log)},
		{"last page not written", torn, 0, len(m.log)&^(pageSize-1) - tail(m.log)},
	}
	for _, test := range tests {
		first, next, err := (&pages{s: newDump(test.b)}).bounds()
		if err != nil || int(first) != test.first || int(next) != test.next {
			t.Errorf("%s: %d to %d, %v; want %d to %d", test.name, first, next, err, test.first, test.next)
		}
	}
}

// tail counts the zeros at the end of the page before the last one.
func tail(b []byte) int {
	b = b[:len(b)&^(pageSize-1)]
	at := len(b) - pageSize
	for at < len(b) && b[at] != 0 {
		at += int(binary.LittleEndian.Uint32(b[at:]))
	}
	return len(b) - at
}

// TestHoleInside has a page without records amid others: something is lost, which is no end.
func TestHoleInside(t *testing.T) {
	m := newModel(2)
	for i := range 300 {
		m.create(m.info.Root, fmt.Sprint("file", i), false)
	}
	b := slices.Clone(m.log)
	clear(b[pageSize : 2*pageSize])
	j := New(newDump(b))
	c := &journal.Cursor{Kind: Kind, Volume: "dump", Journal: journalID(1)}
	wantGap(t, j.Changes(t.Context(), c, now(t, j), &journal.Dirty{}), "the journal can't be relied on: damaged record: nothing on the page at 4096")
}

// TestNames keeps names of any UTF-16.
func TestNames(t *testing.T) {
	tests := map[string][]uint16{
		"plain": {'p', 'l', 'a', 'i', 'n'}, "ä€": {0xe4, 0x20ac}, "\U0001f600": {0xd83d, 0xde00},
		"\xed\xa0\xbd": {0xd83d}, "\xed\xb8\x80a": {0xde00, 'a'}, "\xed\xa0\xbdx": {0xd83d, 'x'}, "\xed\xa0\xbd\U0001f600": {0xd83d, 0xd83d, 0xde00},
	}
	for want, name := range tests {
		var b []byte
		for _, c := range name {
			b = binary.LittleEndian.AppendUint16(b, c)
		}
		if got := string(appendName(nil, b)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzParse has any bytes as records: no panic, and nothing outside of the record.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"ez_record.usn", "plaso_UsnJrnl.raw"} {
		if b, err := os.ReadFile(filepath.Join(fixtures, name)); err == nil {
			f.Add(b)
		}
	}
	m := newModel(3)
	m.ranged = true
	m.overwrite(m.create(m.info.Root, "f", false), 0, journal.Range{Off: 1, Len: 2})
	f.Add(m.log)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if n, err := parse(b, &r); err == nil && (n < 60 || n > len(b) || len(r.Name) > n) {
			t.Errorf("%d bytes of %d, name of %d", n, len(b), len(r.Name))
		}
		r.Ranges(nil)
		r.Time()
		appendName(nil, b)
	})
}

// FuzzJournal has any bytes as a journal: it is read or refused, and ends.
func FuzzJournal(f *testing.F) {
	if b, err := os.ReadFile(filepath.Join(fixtures, "plaso_UsnJrnl.raw")); err == nil {
		f.Add(b)
	}
	m := newModel(2)
	for i := range 100 {
		m.create(m.info.Root, fmt.Sprint(i), false)
	}
	f.Add(m.log)
	f.Fuzz(func(t *testing.T, b []byte) {
		j := New(newDump(b))
		c := &journal.Cursor{Kind: Kind, Volume: "dump", Journal: journalID(1)}
		to, err := j.Now(t.Context())
		if err != nil {
			return
		}
		err = j.Changes(t.Context(), c, to, &journal.Dirty{})
		if _, ok := errors.AsType[*journal.Gap](err); err != nil && !ok {
			t.Errorf("got %v", err)
		}
	})
}

// BenchmarkFold reads and folds the real journal.
func BenchmarkFold(b *testing.B) {
	data := win7(b)
	j := New(newDump(data))
	to, err := j.Now(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	from := &journal.Cursor{Kind: Kind, Volume: "dump", Journal: journalID(1), Position: 6291456}
	for b.Loop() {
		if err := j.Changes(b.Context(), from, to, &journal.Dirty{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(38014*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
