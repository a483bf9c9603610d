package incremental_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/incremental"
	"waybill/ingest/vault/vaultsim"
	"waybill/internal/domain"
	"waybill/internal/fault"
	"waybill/internal/restore"
	"waybill/internal/save"
	"waybill/manifest"
)

// A priced machine has its vault in a container among those of a thousand others, and counts the requests.
type priced struct {
	*machine
	line  *fault.Line
	shelf string
}

func newPriced(t *testing.T) *priced {
	t.Helper()
	sim, err := vaultsim.New(vaultsim.Vast)
	if err != nil {
		t.Fatal(err)
	}
	return &priced{newMachine(t), &fault.Line{Inner: sim}, t.TempDir()}
}

// opened is the machine's domain, with what the state keeps or without.
func (p *priced) opened(state bool) *domain.Domain {
	p.t.Helper()
	o := domain.Options{Keys: p.keys, Dedupe: p.writer.Dedupe}
	if state {
		o.IndexDir, o.ShelfDir = p.index, p.shelf
	}
	d, err := domain.Open(p.t.Context(), []domain.Store{p.line}, p.doc, o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { d.Close() })
	return d
}

func (p *priced) saved(root string) *save.Result {
	p.t.Helper()
	d := p.opened(true)
	defer d.Close()
	r, err := incremental.Run(p.t.Context(), p.line, d, save.Config{Roots: []string{root}, Writer: p.writer, Tool: "test", Host: "host"}, incremental.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// counted is what f costs: writes, reads (sizes, too), lists.
func (p *priced) counted(f func()) (writes, reads, lists int64) {
	p.line.Reset()
	f()
	n := p.line.Requests().By
	return n["put"], n["read"] + n["size"], n["list"]
}

// days adds commits until there are n, of which each is the same as the last: nothing changed.
func (p *priced) days(n int) {
	p.t.Helper()
	d := p.opened(true)
	m := *d.Chain.Last().Manifest
	m.Previous, m.Packs = d.Chain.Last().Digest, nil
	d.Close()
	for m.Sequence++; m.Sequence <= n; m.Sequence++ {
		b, err := m.Encode()
		if err != nil {
			p.t.Fatal(err)
		}
		sig, err := p.writer.Signer.Sign(b)
		if err != nil {
			p.t.Fatal(err)
		}
		m.Previous = manifest.Sum(b)
		for name, b := range map[string][]byte{manifest.SignatureName(m.Machine, m.Sequence, m.Previous): sig, manifest.ManifestName(m.Machine, m.Sequence): b} {
			if err := p.line.Inner.Put(p.t.Context(), name, bytes.NewReader(b)); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// A bill is what something costs in requests.
type bill struct {
	what                 string
	writes, reads, lists int64
}

func (b bill) row() string {
	return fmt.Sprintf("| %s | %d | %d | %d |", b.what, b.writes, b.reads, b.lists)
}

// dollars is its row in dollars, with the page's example prices.
func (b bill) dollars() string {
	const write, read = 0.055 / 10_000, 0.0044 / 10_000 // a list is as dear as a write
	return fmt.Sprintf("| %s | %.2f |", b.what, float64(b.writes+b.lists)*write+float64(b.reads)*read)
}

// byFormula is what follows from what is counted and from the sizes of packs, blocks and reads.
func byFormula() []bill {
	const tb, seedPack, onlinePack, block, read = 1_000_000_000_000, 512 << 20, 24 << 20, 8 << 20, 1 << 20
	upTo := func(a, b int64) int64 { return (a + b - 1) / b }
	seeds, commits, packs := upTo(tb, seedPack), int64(2_000_000), int64(100_000_000)
	return []bill{
		{"ingest of 1 TB in 512 MiB packs, each by one Put Blob", seeds + 2, 0, 1},
		{"the same, each in blocks of 8 MiB", seeds*(seedPack/block+1) + 2, 0, 1},
		{"first backup of 1 TB over the wire, in 24 MiB packs", upTo(tb, onlinePack) + 2, 0, 1},
		{"restoring 1 TB, at most", 0, upTo(tb, 50<<20) * mostReads, 1},
		{"`verify` of 1 TB, all of it read", 0, upTo(tb, read), 1},
		{"`verify --list-only` of 100 million packs in 2 million commits", 0, 2*commits + 2000, packs/5000 + 4*1000},
	}
}

// mostReads is how many reads restoring 50 MiB takes at most. Which frames are fetched together depends on what is asked for first.
const mostReads = 36

// TestCosts counts the requests that COSTS.md tells of. Where they have become others, it prints the table's rows as they should be.
func TestCosts(t *testing.T) {
	p := newPriced(t)
	root := t.TempDir()
	noise := make([]byte, 50<<20)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 25 {
		write(fmt.Sprint("file", i), noise[i<<21:(i+1)<<21])
	}
	row := func(what string, writes, reads, lists int64) string { return bill{what, writes, reads, lists}.row() }
	// How many packs there are depends on how many grow at once. P stands for them.
	packs := func(what string, r *save.Result, writes, reads, lists int64) string {
		return fmt.Sprintf("| %s | P + %d | %d | %d |", what, writes-int64(len(r.Packs)), reads, lists)
	}
	var rows []string
	var first *save.Result
	writes, reads, lists := p.counted(func() { first = p.saved(root) })
	rows = append(rows, packs("first backup, of P packs", first, writes, reads, lists))
	p.days(1000)
	p.saved(root) // reads the thousand once, and remembers them

	write("file7", noise[1<<20:3<<20])
	var next *save.Result
	writes, reads, lists = p.counted(func() { next = p.saved(root) })
	rows = append(rows, packs(fmt.Sprintf("daily backup, commit %d, of P new packs", next.Manifest.Sequence), next, writes, reads, lists))
	if writes+reads+lists > 20 {
		t.Errorf("a backup behind 1,000 commits: %d writes, %d reads, %d lists", writes, reads, lists)
	}
	writes, reads, lists = p.counted(func() { p.opened(true).Close() })
	rows = append(rows, row("`points` after it, on the machine", writes, reads, lists))

	writes, reads, lists = p.counted(func() { p.opened(false).Close() })
	rows = append(rows, row(fmt.Sprintf("reading the chain of %d commits on another machine", next.Manifest.Sequence), writes, reads, lists))
	d2, err := domain.Open(t.Context(), []domain.Store{p.line}, p.doc, domain.Options{Keys: p.keys, Dedupe: p.writer.Dedupe, IndexDir: t.TempDir(), ShelfDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d2.Close()
	point, err := d2.Resolve(t.Context(), "latest")
	if err != nil {
		t.Fatal(err)
	}
	writes, reads, lists = p.counted(func() {
		if _, err := restore.Run(t.Context(), d2, point, restore.Options{To: t.TempDir()}); err != nil {
			t.Fatal(err)
		}
	})
	if writes+lists > 0 || reads > mostReads {
		t.Errorf("restoring 50 MiB takes %d writes, %d reads, %d lists", writes, reads, lists)
	}
	rows = append(rows, row("restoring 50 MiB, the chain having been read, at most", 0, mostReads, 0))
	for _, b := range byFormula() {
		rows = append(rows, b.row(), b.dollars())
	}

	page, err := os.ReadFile("../ingest/vault/azure/COSTS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !strings.Contains(string(page), r+"\n") {
			t.Errorf("COSTS.md should say:\n%s", r)
		}
	}
}
