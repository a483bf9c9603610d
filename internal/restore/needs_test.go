package restore_test

import (
	"fmt"
	"testing"

	"waybill/internal/restore"
	"waybill/internal/save"
	"waybill/manifest"
)

// A restore of one file needs its pack, of everything all of them.
func TestNeeds(t *testing.T) {
	m, src := newMachine(t), temp(t)
	m.change = func(c *save.Config) { c.DataPack, c.Readers = 1<<20, 1 }
	for i := range 40 {
		write(t, fmt.Sprintf("%s/f%02d", src, i), noise(100<<10, byte(i)))
	}
	packs, _ := bytesOf(m.backup(src), manifest.Data)
	d := m.open(true)
	p := m.point(d, "latest")
	for _, c := range []struct {
		paths [][]byte
		want  int64
	}{{nil, packs}, {[][]byte{[]byte(src + "/f07")}, 1}, {[][]byte{[]byte(src)}, packs}} {
		if needed, err := restore.Needs(t.Context(), d, p, c.paths); err != nil || int64(len(needed)) != c.want {
			t.Errorf("%s: %d packs of %d, %v", c.paths, len(needed), packs, err)
		}
	}
}
