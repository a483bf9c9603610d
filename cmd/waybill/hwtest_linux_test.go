package main

import (
	"errors"
	"io"
	"os"
	"testing"

	"waybill/hwtest"
	"waybill/internal/cli"
	"waybill/internal/fault"
	"waybill/internal/save"
	"waybill/seed"
)

// A seed refuses a disk that doesn't keep what it takes before it writes to it, unless told not to look.
func TestSeedTriesItsDisks(t *testing.T) {
	const size = 8 << 20
	lying := fault.MountTest(t, fault.Faults{Size: size, Lie: fault.Everywhere})
	whole := fault.MountTest(t, fault.Faults{Size: size})
	a := &app{out: &cli.Output{Stdout: io.Discard, Stderr: io.Discard}}
	o := &seed.Options{Disks: []string{lying.Dir, whole.Dir, t.TempDir()}, Save: save.Config{}}
	err := a.testDisks(t.Context(), o, &seedFlags{})
	var unfit *hwtest.UnfitError
	if !errors.As(err, &unfit) || unfit.Report.Path != lying.Dir || cli.Explain(err, rules).Code != cli.Unfit {
		t.Errorf("disks of which one lies: %v", err)
	}
	if err := a.testDisks(t.Context(), o, &seedFlags{noTest: true}); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(whole.Dir); err != nil || len(entries) != 0 {
		t.Errorf("left on the disk are %v, %v", entries, err)
	}
}
