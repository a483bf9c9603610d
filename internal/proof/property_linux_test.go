package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/fault"
	"waybill/internal/restore"
	"waybill/internal/save"
	"waybill/internal/treetest"
)

// A history is a tree that is edited and saved in turn.
type history struct {
	*machine
	random *rand.Rand
	root   string
	edits  []string // all of them
	kept   []kept
}

// kept is what a backup's tree was: its point and a copy of the tree.
type kept struct {
	*save.Result
	tree string
}

// Whatever is in a tree and happens to it, each point has exactly what there was, and goes on having it; and the tree that
// the backups of changes arrive at is the one that a first backup makes.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	randomly(t, 15*time.Second, func(t *testing.T, seed uint64) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newHistory(t, seed).live() })
	})
}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	h := &history{machine: newMachine(t, newIdentity(t)), random: random(seed)}
	parent := "" // two file systems have more ways of being strange than one
	if _, err := os.Stat("/dev/shm"); err == nil && h.random.IntN(2) == 0 {
		parent = "/dev/shm"
	}
	h.root = wild(t, parent)
	c := h.id.doc.Cutter
	o := treetest.Options{Entries: 20 + h.random.IntN(150), MaxFile: 1 << 20, Sizes: []int64{int64(c.Min), int64(2 * c.Min), int64(c.Max), 128 << 10}, Shallow: h.random.IntN(3) > 0}
	if h.random.IntN(4) == 0 {
		o.Wide = 2000
	}
	if err := treetest.Make(h.root, seed, o); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *history) live() {
	h.t.Helper()
	for range 3 + h.random.IntN(4) {
		if h.random.IntN(3) == 0 {
			h.interrupted()
		}
		h.step()
		if h.t.Failed() {
			h.t.Fatalf("after these edits: %q", h.edits)
		}
		if h.random.IntN(6) > 0 {
			log, err := treetest.Edit(h.root, h.random.Uint64(), 1+h.random.IntN(40))
			if h.edits = append(h.edits, log...); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	h.verified(true)
	h.points(func(d *domain.Domain, p domain.Point) { // the partial ones, too
		if _, err := h.read(d, p, h.root); err != nil {
			h.t.Errorf("point %d: %v", p.Manifest.Sequence, err)
		}
	})
	for _, k := range h.kept {
		again := h.restored(k.ID.String())
		for _, difference := range treetest.Compare(k.tree, again) {
			h.t.Errorf("point %d at the end: %s", k.Manifest.Sequence, difference)
		}
	}
}

// step makes a backup and checks it.
func (h *history) step() {
	h.t.Helper()
	r := h.backup(h.root)
	if r.Point.ProblemCount > 0 {
		h.t.Errorf("point %d has problems: %+v", r.Manifest.Sequence, r.Point.Problems)
	}
	tree := h.restored("latest")
	for _, difference := range treetest.Compare(h.root, tree) {
		if !h.hidden(difference) {
			h.t.Errorf("point %d: %s", r.Manifest.Sequence, difference)
		}
	}
	h.kept = append(h.kept, kept{r, tree})
	first := newMachine(h.t, h.id)
	first.backup(h.root)
	if a, b := h.top(), first.top(); a != b {
		h.t.Errorf("point %d: the tree is %x, that of a first backup %x", r.Manifest.Sequence, a, b)
	}
}

// hidden tells whether a difference is a hole that nobody sees: the file occupies as much as it is large, by a block that
// its attributes take, say. Nor can be seen what no path leads to.
func (h *history) hidden(difference string) bool {
	if !strings.Contains(difference, "want a hole") {
		return false
	}
	quoted, err := strconv.QuotedPrefix(difference)
	path, uerr := strconv.Unquote(quoted)
	var st unix.Stat_t
	serr := unix.Lstat(filepath.Join(h.root, path), &st)
	return err == nil && uerr == nil && (serr == unix.ENAMETOOLONG || serr == nil && st.Blocks*512 >= st.Size)
}

// interrupted lets a backup fail at some operation of the vault, or be cancelled.
func (h *history) interrupted() {
	h.t.Helper()
	script := &fault.Script{At: 1 + h.random.IntN(20), When: fault.Moments[h.random.IntN(3)], Down: h.random.IntN(2) == 0}
	h.try(fault.Store{Inner: h.vault, Script: script}, h.config(h.root)) // whatever comes of it
}

// restored restores a point into a new directory and returns where the tree is in it.
func (m *machine) restored(spec string) string {
	m.t.Helper()
	to := wild(m.t, scratch(m.t))
	d := must[*domain.Domain](m.t)(m.open(m.t.Context(), "", m.vault))
	defer d.Close()
	p := must[*domain.Point](m.t)(d.Resolve(m.t.Context(), spec))
	report, err := restore.Run(m.t.Context(), d, p, restore.Options{To: to})
	if err != nil {
		m.t.Fatalf("restoring %s: %v %+v", spec, err, report)
	}
	if report.WarningsCount > 0 {
		m.t.Errorf("restoring %s: %+v", spec, report.Warnings)
	}
	return filepath.Join(to, p.Roots[0])
}

// top is the encoded entry of the saved tree in the latest point. It names all below by hash.
func (m *machine) top() (entry string) {
	m.t.Helper()
	m.latest(func(ctx context.Context, d *domain.Domain, p *domain.Point) {
		e := must[catalog.Entry](m.t)(m.entry(d, *p, p.Roots[0]))
		entry = string(e.Append(nil))
	})
	return entry
}

// latest opens the vault and hands over the latest complete point.
func (m *machine) latest(use func(ctx context.Context, d *domain.Domain, p *domain.Point)) {
	m.t.Helper()
	d := must[*domain.Domain](m.t)(m.open(m.t.Context(), "", m.vault))
	defer d.Close()
	p := must[*domain.Point](m.t)(d.Resolve(m.t.Context(), "latest"))
	if p.State != catalog.Complete {
		m.t.Fatalf("the latest point is %s", p.State)
	}
	use(m.t.Context(), d, p)
}
