package ntfsdir_test

import (
	"maps"
	"slices"
	"testing"

	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/source"
)

// The shadow copies on a real volume are all that is left out of it.
func TestTransient(t *testing.T) {
	var patterns []string
	for _, p := range ntfsdir.Transient {
		patterns = append(patterns, "/C:"+p)
	}
	ex, err := source.NewExcludes(patterns)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	d := openReal(t, "plaso_vsstest.qcow2")
	hashes(t, d, "", got)
	info, err := d.OpenDir([]byte("System Volume Information"))
	if err != nil {
		t.Fatal(err)
	}
	inside := map[string]string{}
	hashes(t, info, "", inside)
	scope := ex.Root().Enter([]byte("C:"))
	below := scope.Enter([]byte("System Volume Information"))
	for name := range maps.Keys(inside) {
		if !below.Match([]byte(name), source.Regular) {
			t.Error(name, "is kept")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if scope.Match([]byte(name), source.Regular) {
			t.Error(name, "is left out")
		}
	}
	if !scope.Match([]byte("pagefile.sys"), source.Regular) || scope.Match([]byte("pagefile.sys.txt"), source.Regular) {
		t.Error("pagefile.sys is kept, or another")
	}
}
