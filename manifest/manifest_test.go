package manifest

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	vaultID   ID = "6f1c9a52-3c1e-4a7b-9d55-0f2f8c1e7a01"
	machineID ID = "0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02"
	setID     ID = "d2c4b8a0-1f3e-4c6d-8a9b-7e5f3d1c0b03"
)

var when = time.Date(2026, 11, 24, 12, 30, 5, 0, time.UTC)

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
}

// sample is a manifest of a seed that uses every member.
func sample() *Manifest {
	return &Manifest{
		Vault: vaultID, Machine: machineID, Set: setID, Sequence: 2, Previous: Sum([]byte("the first")), Time: when,
		Tool: "waybill 0.1 (linux/amd64)", Disks: 3, Record: []byte("age-encryption.org/v1\n..."),
		Packs: []Pack{
			{Name: Digest{1}, Class: Data, Size: 1 << 29, CRC64: 0x0123456789abcdef, MD5: [16]byte{0xff, 1}, Disk: 1},
			{Name: Digest{1, 2}, Class: Catalogue, Size: 1, Disk: 3},
			{Name: Digest{0xfe}, Class: Data, Size: maxPack},
		},
	}
}

// healing is a manifest that settles packs of earlier ones.
func healing() *Manifest {
	m := sample()
	m.Lost = []Digest{{}, {1, 1}, {0xff}}
	return m
}

func first() *Manifest {
	return &Manifest{Vault: vaultID, Machine: machineID, Sequence: 1, Time: when, Tool: "waybill", Record: []byte{0}}
}

func TestManifestGolden(t *testing.T) {
	for name, m := range map[string]*Manifest{"manifest.json": sample(), "manifest-first.json": first(), "manifest-lost.json": healing()} {
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, b)
		again, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if b2, err := again.Encode(); err != nil || !bytes.Equal(b, b2) {
			t.Errorf("%s: parsed and written again: %v\n%s", name, err, b2)
		}
	}
}

func TestManifestRefused(t *testing.T) {
	local := time.FixedZone("", 3600)
	for name, change := range map[string]func(m *Manifest){
		"no vault":               func(m *Manifest) { m.Vault = "" },
		"upper-case machine":     func(m *Manifest) { m.Machine = ID(strings.ToUpper(string(m.Machine))) },
		"hostile set":            func(m *Manifest) { m.Set = `x","sequence":1` },
		"sequence 0":             func(m *Manifest) { m.Sequence = 0 },
		"nine digits":            func(m *Manifest) { m.Sequence = 100_000_000 },
		"first with previous":    func(m *Manifest) { m.Sequence = 1 },
		"second without":         func(m *Manifest) { m.Previous = Digest{} },
		"parts of a second":      func(m *Manifest) { m.Time = m.Time.Add(1) },
		"another zone":           func(m *Manifest) { m.Time = m.Time.In(local) },
		"year 10000":             func(m *Manifest) { m.Time = m.Time.AddDate(9000, 0, 0) },
		"quote in tool":          func(m *Manifest) { m.Tool = `a"b` },
		"umlaut in tool":         func(m *Manifest) { m.Tool = "wäybill" },
		"long tool":              func(m *Manifest) { m.Tool = strings.Repeat("x", maxTool+1) },
		"no record":              func(m *Manifest) { m.Record = nil },
		"large record":           func(m *Manifest) { m.Record = make([]byte, maxRecord+1) },
		"disks without set":      func(m *Manifest) { m.Set, m.Packs = "", nil },
		"pack on a fourth disk":  func(m *Manifest) { m.Packs[0].Disk = 4 },
		"negative disk":          func(m *Manifest) { m.Packs[0].Disk = -1 },
		"packs out of order":     func(m *Manifest) { m.Packs[0], m.Packs[1] = m.Packs[1], m.Packs[0] },
		"pack twice":             func(m *Manifest) { m.Packs[1] = m.Packs[0] },
		"unknown class":          func(m *Manifest) { m.Packs[0].Class = "parity" },
		"empty pack":             func(m *Manifest) { m.Packs[0].Size = 0 },
		"lost out of order":      func(m *Manifest) { m.Lost = []Digest{{2}, {1}} },
		"lost twice":             func(m *Manifest) { m.Lost = []Digest{{2}, {2}} },
		"lost and added":         func(m *Manifest) { m.Lost = []Digest{{0}, {0xfe}} },
		"lost of the first":      func(m *Manifest) { *m = *first(); m.Lost = []Digest{{2}} },
		"pack larger than 4 GiB": func(m *Manifest) { m.Packs[0].Size = 1 << 32 },
	} {
		m := sample()
		change(m)
		if b, err := m.Encode(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: Encode gave %q, %v", name, b, err)
		}
	}
}

func TestParseRefused(t *testing.T) {
	good, err := healing().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"space":              {`"vault":`, `"vault": `},
		"newline inside":     {`,"tool"`, ",\n\"tool\""},
		"no newline":         {"}\n", "}"},
		"more behind":        {"}\n", "}\n{}\n"},
		"member twice":       {`,"sequence":2`, `,"sequence":2,"sequence":2`},
		"other order":        {`"sequence":2,"previous":"`, `"previous":"","sequence":2,"previous":"`},
		"unknown member":     {`,"tool"`, `,"files":17,"tool"`},
		"other case":         {`"vault"`, `"Vault"`},
		"next generation":    {"manifest 1", "manifest 2"},
		"escaped text":       {`waybill 0.1`, `w\u0061ybill 0.1`},
		"leading zero":       {`"sequence":2`, `"sequence":02`},
		"sign":               {`"sequence":2`, `"sequence":+2`},
		"float":              {`"sequence":2`, `"sequence":2.0`},
		"huge number":        {`"sequence":2`, `"sequence":18446744073709551618`},
		"empty set":          {`"set":"` + string(setID) + `"`, `"set":""`},
		"disks 0":            {`"disks":3`, `"disks":0`},
		"disk 0":             {`,"disk":1}`, `,"disk":0}`},
		"upper-case digest":  {`"fe00`, `"FE00`},
		"zero previous":      {`"previous":"` + sample().Previous.String(), `"previous":"` + strings.Repeat("0", 64)},
		"time with fraction": {`05Z"`, `05.5Z"`},
		"time with zone":     {`05Z"`, `05+00:00"`},
		"no such day":        {`2026-11-24`, `2026-11-31`},
		"trailing comma":     {`}],"lost"`, `},],"lost"`},
		"lost empty":         {`"lost":[`, `"lost":[],"lost":[`},
		"lost null":          {`"lost":[`, `"lost":null,"lost":[`},
		"lost with comma":    {`"],"record"`, `",],"record"`},
		"lost before packs":  {`"packs":[`, `"lost":["` + strings.Repeat("a", 64) + `"],"packs":[`},
		"packs null":         {`"packs":[`, `"packs":null,"x":[`},
		"base64 newline":     {`"record":"YWdl`, `"record":"YW` + "\n" + `dl`},
		"base64 loose bits":  {`Lg=="}`, `Lh=="}`},
		"class too long":     {`"class":"catalogue"`, `"class":"cataloguecataloguecatalogue"`},
	} {
		b := strings.Replace(string(good), edit[0], edit[1], 1)
		if b == string(good) {
			t.Errorf("%s: the edit changes nothing", name)
		}
		if _, err := Parse([]byte(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if _, err := Parse(good[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at byte %d: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range []*Manifest{sample(), first(), healing()} {
		b, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted, and written differently: %v\n%q\n%q", err, b, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	m := sample()
	m.Packs = nil
	for i := range 100_000 {
		m.Packs = append(m.Packs, Pack{Name: Digest{byte(i >> 16), byte(i >> 8), byte(i)}, Class: Data, Size: 1 << 29, Disk: 1})
	}
	text, err := m.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
