package ntfs

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// fixture opens a real volume out of the shared fixtures, which not every machine has.
func fixture(t testing.TB, name string) *Volume {
	t.Helper()
	f, err := os.Open(filepath.Join("../../../../shared/fixtures/usn", name))
	if err != nil {
		f, err = os.Open(filepath.Join("/work/shared/fixtures/usn", name))
	}
	if err != nil {
		t.Skip("the real volumes aren't here: ", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRealVolumes(t *testing.T) {
	for _, test := range []struct {
		name   string
		serial uint64
		label  string
		files  map[string]int64 // size
	}{
		{"gontfs_test.ntfs.dd.gz", 0x5696a7bd96a79c4d, "Test Volume", map[string]int64{
			"ones.bin": 2949120, "Folder A/Folder B/Hello world text document.txt": 12, "$Extend/$RmMetadata/$TxfLog/$TxfLog.blf": 65536}},
		{"dfir_ntfs3.raw.gz", 0x26a7a1e93d3a46ed, "", map[string]int64{"test/2.txt": 0, "test/3.txt": 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := fixture(t, test.name)
			if info := v.Info(); info.Serial != test.serial || info.Label != test.label || info.Major != 3 || info.Minor != 1 {
				t.Errorf("the volume says %+v", info)
			}
			if state, err := v.State(); err != nil || !state.Clean() {
				t.Error("the volume is", state, err)
			}
			for path, size := range test.files {
				frn, err := v.Resolve(path)
				if err != nil {
					t.Error(err)
					continue
				}
				if r, err := v.Lookup(frn); err != nil || r.Data() == nil || r.Data().Size != size {
					t.Errorf("%s: %+v, %v", path, r, err)
				}
			}
		})
	}
}
