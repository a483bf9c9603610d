//go:build linux

package ntfsdir_test

import (
	"bytes"
	"testing"

	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/ntfs/ntfstest"
	"waybill/internal/save"
	"waybill/internal/save/savetest"
	"waybill/internal/source"
)

// The engine saves a volume without a problem, and the second time there is nothing to read.
func TestSaved(t *testing.T) {
	image := ntfstest.Make(t, 256<<20)
	top, unmount := ntfstest.Mount(t, image, "compression,big_writes")
	everything(t, top)
	unmount()
	v, _ := open(t, image)
	m, err := savetest.New()
	if err != nil {
		t.Fatal(err)
	}
	run := func(last *save.Result) *save.Result {
		cfg := m.Config(last, "/C:")
		cfg.Root = func() (*source.Dir, error) {
			return source.Virtual(map[string]func() (*source.Dir, error){"C:": func() (*source.Dir, error) { return ntfsdir.Open(v) }}), nil
		}
		r, err := save.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := run(nil)
	t.Logf("%+v %v", first.Point.Stats, first.Point.Problems)
	second := run(first)
	t.Logf("%+v", second.Point.Stats)
	if first.Point.ProblemCount != 0 || !bytes.Equal(first.Point.Root, second.Point.Root) || second.Point.Stats.ReadBytes != 0 {
		t.Errorf("first %+v, then %+v", first.Point, second.Point)
	}
}
