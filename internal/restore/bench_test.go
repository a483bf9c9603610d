package restore_test

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"waybill/internal/restore"
	"waybill/internal/save"
	"waybill/internal/treetest"
)

var tree = flag.String("tree", "", "directory to be saved, and restored by the benchmarks; a small one is made without it")

// corpus saves what the benchmarks restore.
func corpus(b *testing.B) (*machine, *save.Result) {
	m, src := newMachine(b), *tree
	if src == "" {
		src = temp(b)
		for i := range 20_000 {
			write(b, fmt.Sprintf("%s/%03d/%d", src, i/100, i), noise(100+i%8000, byte(i)))
		}
	}
	return m, m.backup(src)
}

func BenchmarkRun(b *testing.B) {
	m, saved := corpus(b)
	s := saved.Point.Stats
	d := m.open(true)
	p := m.point(d, "latest")
	b.SetBytes(s.Bytes)
	debug.FreeOSMemory()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak starts anew, proc(5)
	for b.Loop() {
		to := temp(b)
		if _, err := restore.Run(b.Context(), d, p, restore.Options{To: to}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		treetest.RemoveAll(to)
		b.StartTimer()
	}
	b.ReportMetric(float64(s.Files+s.Directories+s.Others)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(peak(), "MiB-peak")
}

// peak is the most memory that was resident, in MiB; 0 where the system doesn't tell.
func peak() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	fmt.Sscan(rest, &kib)
	return kib / 1024
}

func BenchmarkCheck(b *testing.B) {
	m, saved := corpus(b)
	d := m.open(true)
	points := d.Points(b.Context())
	b.SetBytes(saved.Point.Stats.Bytes)
	for b.Loop() {
		if _, err := restore.Check(b.Context(), d, points, restore.CheckOptions{Dedupe: m.writer.Dedupe}); err != nil {
			b.Fatal(err)
		}
	}
}
