package machine

import (
	"os"
	"reflect"
	"testing"

	"waybill/manifest"
)

// What was noted is there until it is cleared; a line that a crash cut short, or rubbish, costs only itself.
func TestLedger(t *testing.T) {
	l := &Ledger{path: t.TempDir() + "/ledger"}
	want := []manifest.Pack{
		{Name: manifest.Sum([]byte("1")), Class: manifest.Data, Size: 512 << 20, CRC64: 1<<64 - 1, MD5: [16]byte{1, 2}, Disk: 3},
		{Name: manifest.Sum([]byte("2")), Class: manifest.Catalogue, Size: 1},
	}
	for range 2 {
		if got, err := l.Packs(); len(got) != 0 || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		for _, p := range want {
			if err := l.Add(p); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.path, append(append([]byte("{}\nrubbish\n"), b...), b[:20]...), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Packs(); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		if err := l.Clear(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Clear(); err != nil {
		t.Error("clearing what is clear:", err)
	}
}
