package manifest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

const ageRecipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

func sampleVault(s *Signer) *Vault {
	return &Vault{Vault: vaultID, Created: when, RecoveryRecipient: ageRecipient, ReceiptKey: s.Public()}
}

func sampleMachine(s *Signer) *Machine {
	return &Machine{Vault: vaultID, Machine: machineID, Name: "db1 <main> & Söhne", Created: when, SigningKey: s.Public(),
		CatalogueRecipient: ageRecipient, Cutter: Cutter{"waybill gear 1", 16 << 10, 64 << 10, 256 << 10}}
}

func sampleReceipt() *Receipt {
	return &Receipt{Vault: vaultID, Machine: machineID, Set: setID, Time: when, Host: "vault1", Tool: "waybill-ingest 0.1",
		Manifests: []Covered{{1, Sum([]byte("1"))}, {2, Sum([]byte("2"))}}, Verified: 5, Imported: 4, Present: 2, Bytes: 1 << 31,
		Missing: []WantPack{{Digest{1}, 17, 2, Absent}, {Digest{2}, 18, 0, DamagedPack}}}
}

func TestDocumentsGolden(t *testing.T) {
	s := testSigner(t)
	vault, err := sampleVault(s).Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "waybill.json", vault)
	if v, err := ParseVault(vault); err != nil || !reflect.DeepEqual(v, sampleVault(s)) {
		t.Errorf("waybill.json: %+v, %v", v, err)
	}
	machine, err := sampleMachine(s).Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "machine.json", machine)
	if m, err := ParseMachine(machine); err != nil || !reflect.DeepEqual(m, sampleMachine(s)) {
		t.Errorf("machine.json: %+v, %v", m, err)
	}
	receipt, err := sampleReceipt().Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "receipt.json", receipt)
	if r, err := ParseReceipt(receipt); err != nil || !reflect.DeepEqual(r, sampleReceipt()) {
		t.Errorf("receipt: %+v, %v", r, err)
	}
	full := sampleReceipt()
	full.Repaired, full.Arrived, full.Custody = 2, []int{1, 3}, []CustodyHead{{1, 4, Digest{4}}, {2, 3, Digest{5}}}
	if receipt, err = full.Encode(); err != nil {
		t.Fatal(err)
	}
	golden(t, "receipt-full.json", receipt)
	if r, err := ParseReceipt(receipt); err != nil || !reflect.DeepEqual(r, full) {
		t.Errorf("receipt: %+v, %v", r, err)
	}
	empty, err := Receipt{Vault: vaultID, Machine: machineID, Time: when}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "receipt-empty.json", empty)
}

func TestDocumentsRefused(t *testing.T) {
	b, err := sampleMachine(testSigner(t)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	for name, edit := range map[string][2]string{
		"no JSON":              {`{`, ``},
		"an array":             {good, `[` + good + `]`},
		"null":                 {good, `null`},
		"more behind":          {"}\n", "}{}"},
		"next generation":      {"machine 1", "machine 2"},
		"another document":     {"waybill machine 1", "waybill vault 1"},
		"member twice":         {`"name"`, `"vault":"` + string(setID) + `","name"`},
		"member in other case": {`"name"`, `"Name"`},
		"escaped member twice": {`"name"`, `"v\u0061ult":"` + string(setID) + `","name"`},
		"nested twice":         {`"min":`, `"max":3,"min":`},
		"deep nesting":         {`"name"`, `"more":` + strings.Repeat("[", 10) + strings.Repeat("]", 10) + `,"name"`},
		"not UTF-8":            {"Söhne", "S\xf6hne"},
		"too large":            {`"name"`, `"more":"` + strings.Repeat("x", maxDocument) + `","name"`},
		"path for a vault":     {`"vault":"` + string(vaultID), `"vault":"../../../../../etc/passwd`},
		"no machine":           {`"machine":"` + string(machineID) + `",`, ``},
		"empty name":           {`"name":"db1 <main> & Söhne"`, `"name":""`},
		"terminal escapes":     {"db1", `\u001b[2J`},
		"key that is none":     {`"signing_key":"RW`, `"signing_key":"XX`},
		"recipient of another": {`"age1`, `"ssh-`},
		"cutter of size 0":     {`"min":16384`, `"min":0`},
		"cutter upside down":   {`"mean":65536`, `"mean":1000000`},
		"number too large":     {`"min":16384`, `"min":1e99`},
	} {
		edited := strings.Replace(good, edit[0], edit[1], 1)
		if edited == good {
			t.Errorf("%s: the edit changes nothing", name)
		}
		if _, err := ParseMachine([]byte(edited)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	spaced := strings.Replace(good, `"name"`, ` "later": {"a": [1]}, "name"`, 1)
	if _, err := ParseMachine([]byte(spaced)); err != nil {
		t.Errorf("with spaces and a member of a later version: %v", err)
	}
}

func TestReceiptRefused(t *testing.T) {
	for name, change := range map[string]func(r *Receipt){
		"no vault":               func(r *Receipt) { r.Vault = "" },
		"negative count":         func(r *Receipt) { r.Present = -1 },
		"more imported":          func(r *Receipt) { r.Imported = 6 },
		"manifests out of order": func(r *Receipt) { r.Manifests[0].Sequence = 2 },
		"manifest of no digest":  func(r *Receipt) { r.Manifests[0].Digest = Digest{} },
		"packs out of order":     func(r *Receipt) { r.Missing[1].Name = Digest{} },
		"unknown reason":         func(r *Receipt) { r.Missing[0].Reason = "eaten by the dog" },
		"host of two lines":      func(r *Receipt) { r.Host = "a\nb" },
		"more repaired":          func(r *Receipt) { r.Repaired = 5 },
		"disks out of order":     func(r *Receipt) { r.Arrived = []int{2, 2} },
		"disks of no set":        func(r *Receipt) { r.Set, r.Arrived = "", []int{1} },
		"custody of no disk":     func(r *Receipt) { r.Custody = []CustodyHead{{0, 1, Digest{1}}} },
		"custody of no digest":   func(r *Receipt) { r.Custody = []CustodyHead{{1, 1, Digest{}}} },
	} {
		r := sampleReceipt()
		change(r)
		if _, err := r.Encode(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNames(t *testing.T) {
	d := Sum(nil)
	if m, got, ok := ParsePackName(PackName(machineID, d)); !ok || m != machineID || got != d {
		t.Error("a pack's name does not come back")
	}
	group := d.String()[:32]
	for shard := -1; shard < 16; shard++ {
		name := ParityTableName(machineID, group)
		if shard >= 0 {
			name = ParityShardName(machineID, group, shard)
		}
		if m, g, j, ok := ParseParityName(name); !ok || m != machineID || g != group || j != shard {
			t.Errorf("%s: %v %v %v %v", name, m, g, j, ok)
		}
	}
	for _, file := range []string{group, group + "-0.shard", group + "-001.shard", group + "--1.shard", group + ".shard", group[1:] + ".table", "A" + group[1:] + ".table"} {
		if _, _, _, ok := ParseParityName(ParityPrefix(machineID) + file); ok {
			t.Errorf("%s is taken for parity", file)
		}
	}
	if m, seq, ok := ParseManifestName(ManifestName(machineID, 12345678)); !ok || m != machineID || seq != 12345678 {
		t.Error("a manifest's name does not come back")
	}
	if m, ok := ParseMachineKeyName(MachineKeyName(machineID)); !ok || m != machineID {
		t.Error("a key file's name does not come back")
	}
	hex, prefix := d.String(), MachinePrefix(machineID)
	for _, name := range []string{"", "x", prefix + "packs/" + hex, prefix + "packs/00/" + hex, prefix + "packs/e3/" + strings.ToUpper(hex),
		"machines/../packs/e3/" + hex, prefix + "packs/e3/" + hex + "/", prefix + "packs/e3/" + hex[1:], "/" + prefix + "packs/e3/" + hex} {
		if _, _, ok := ParsePackName(name); ok {
			t.Errorf("%q passes for a pack", name)
		}
	}
	for _, file := range []string{"", "1.json", "00000000.json", "0000000a.json", "+0000001.json", "000000001.json", "00000001.json/", "00000001", "00000001-0123456789abcdef.minisig"} {
		if _, _, ok := ParseManifestName(prefix + "manifests/" + file); ok {
			t.Errorf("%q passes for a manifest", file)
		}
	}
	for _, name := range []string{"keys/.age", "keys/recovery.json", "keys/receipts.key", string(machineID), "keys/" + string(machineID)} {
		if _, ok := ParseMachineKeyName(name); ok {
			t.Errorf("%q passes for a machine's keys", name)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	s := testSigner(f)
	for _, encode := range []func() ([]byte, error){sampleVault(s).Encode, sampleMachine(s).Encode, sampleReceipt().Encode, sampleCustody(s).Encode} {
		b, err := encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	check := func(t *testing.T, err error, encode func() ([]byte, error)) {
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if _, err := encode(); err != nil {
			t.Fatalf("accepted, and not writable: %v", err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseVault(b)
		check(t, err, func() ([]byte, error) { return v.Encode() })
		m, err := ParseMachine(b)
		check(t, err, func() ([]byte, error) { return m.Encode() })
		r, err := ParseReceipt(b)
		check(t, err, func() ([]byte, error) { return r.Encode() })
		c, err := ParseCustody(b)
		check(t, err, func() ([]byte, error) { return c.Encode() })
	})
}

func TestDiskLabelName(t *testing.T) {
	const m, set ID = "0b7a4e1c-8c55-4f0d-bb1e-5a2f9a6d3c02", "d2c4b8a0-1f3e-4c6d-8a9b-7e5f3d1c0b03"
	name := DiskLabelName(m, set, 12)
	if want := "machines/" + string(m) + "/custody/" + string(set) + "-0012/label.json"; name != want {
		t.Errorf("it is %s, not %s", name, want)
	}
	for text, want := range map[string]bool{name: true, name + "x": false, CustodyName(Custody{Machine: m, Set: set, Disk: 12, Number: 1}): false, "label.json": false, "": false} {
		if got := ParseDiskLabelName(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestAccessName(t *testing.T) {
	ends := time.Date(2026, 7, 1, 14, 0, 0, 5, time.FixedZone("", 7200))
	const m, name = ID("0f8c2d3e-4b5a-4697-8877-665544332211"), "machines/0f8c2d3e-4b5a-4697-8877-665544332211/access/20260701t120000z.age"
	if got := AccessName(m, ends); got != name {
		t.Errorf("the name is %s", got)
	}
	if id, got, ok := ParseAccessName(name); !ok || id != m || !got.Equal(ends.Truncate(time.Second)) {
		t.Errorf("%s: %s, %v, %v", name, id, got, ok)
	}
	for _, bad := range []string{"", "access/20260701t120000z.age", name + "x", AccessPrefix(m) + "20260732t120000z.age", AccessPrefix(m) + "20260701T120000Z.age", AccessPrefix("x") + "20260701t120000z.age"} {
		if _, _, ok := ParseAccessName(bad); ok {
			t.Errorf("%q is taken for one", bad)
		}
	}
}
