package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"waybill/ingest"
	"waybill/internal/domain"
	"waybill/internal/durable"
	"waybill/internal/restore"
	"waybill/internal/treetest"
	"waybill/manifest"
	"waybill/seed"
	"waybill/seed/disk"
)

// A damage is what becomes of a file; nil content means that it is gone.
type damage struct {
	what    string
	content []byte
}

// damages are many ways to spoil a file: every class of its bytes flipped, cut anywhere, lengthened, gone.
func damages(name string, b []byte) (all []damage) {
	add := func(what string, content []byte) { all = append(all, damage{what, content}) }
	for what, at := range classes(name, b) {
		c := bytes.Clone(b)
		c[at] ^= 1 << (at % 8)
		add("flipped: "+what, c)
	}
	for what, n := range map[string]int{"to nothing": 0, "in half": len(b) / 2, "by a byte": len(b) - 1, "by 32 bytes": len(b) - 32} {
		if n >= 0 && n < len(b) {
			add("cut "+what, b[:n:n])
		}
	}
	add("a byte longer", append(bytes.Clone(b), 0))
	add("zeros", make([]byte, len(b)))
	add("gone", nil)
	slices.SortFunc(all, func(a, b damage) int { return strings.Compare(a.what, b.what) })
	return all
}

// classes are places in a file where bytes of each meaning are.
func classes(name string, b []byte) map[string]int {
	at := map[string]int{"first": 0, "last": len(b) - 1}
	if _, _, ok := manifest.ParsePackName(name); !ok {
		for i := range 6 {
			at[fmt.Sprintf("%d/6", i)] = len(b) * i / 6
		}
		return at
	}
	end := len(b) - 32
	table := int(binary.BigEndian.Uint64(b[end:]))
	length := func(i int) int { return int(binary.BigEndian.Uint32(b[end+i:])) }
	wrapR := table + length(8)
	wrapM := wrapR + length(12)
	for what, i := range map[string]int{"magic": 5, "version": 12, "class": 13, "zero": 15,
		"first frame": 16, "frames": (16 + table) / 2, "last frame's tag": table - 1,
		"table": table, "table's middle": (table + wrapR) / 2, "table's tag": wrapR - 1,
		"recovery wrap": wrapR, "recovery wrap's middle": (wrapR + wrapM) / 2, "recovery wrap's end": wrapM - 1,
		"machine wrap": wrapM, "machine wrap's middle": (wrapM + end) / 2, "machine wrap's end": end - 1,
		"table offset": end + 7, "table length": end + 11, "recovery wrap's length": end + 15, "machine wrap's length": end + 19,
		"trailer's zeros": end + 21, "trailer's magic": end + 26} {
		at[what] = i
	}
	return at
}

// plainTree is a tree whose names need no escaping, with all that nodes and packs are made for.
func plainTree(t *testing.T) string {
	t.Helper()
	root := scratch(t)
	for i := range 80 {
		write(t, fmt.Sprintf("%s/wide/f%03d", root, i), noise(i%50, uint64(i)))
	}
	for i := range 12 {
		write(t, fmt.Sprintf("%s/d%d/e/f%02d", root, i%4, i), noise(3000*i, uint64(1000+i)))
	}
	write(t, root+"/large", noise(700<<10, 5000))
	write(t, root+"/text", bytes.Repeat([]byte("what compresses well\n"), 5000))
	write(t, root+"/empty", nil)
	for _, err := range []error{os.Mkdir(root+"/nothing", 0o700), os.Symlink("d1/e", root+"/link"), os.Link(root+"/large", root+"/d2/also-large")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// A spoiled tree is a vault, or the disks of a set, one file of which is damaged at a time.
type spoiled struct {
	*seeding
	dirs   []string // one of a vault, several of disks
	origin string   // the tree that the latest point has

	rolledBack bool // the latest point is gone without a trace
}

// Whatever is damaged in a vault, verify says so, and what is restored is right or said not to be.
func TestDamagedVault(t *testing.T) {
	t.Parallel()
	s := newSeeding(t, newIdentity(t), plainTree(t))
	dirs := []string{scratch(t), scratch(t)}
	if _, err := s.seed(s.own, oneCommit, dirs...); err != nil {
		t.Fatal(err)
	}
	s.arrived(dirs...)
	for i := range 2 {
		write(t, fmt.Sprintf("%s/new%d/file", s.root, i), noise(20<<10, uint64(7000+i)))
		write(t, s.root+"/large", noise(700<<10, uint64(5001+i)))
		s.backup(s.root)
	}
	last := fmt.Sprintf("%08d.json", s.commits())
	v := &spoiled{seeding: s, dirs: []string{s.vault.Path()}, origin: s.root}
	v.each(func(name string, good []byte, d damage) (may bool) {
		switch {
		case strings.HasPrefix(name, "keys/"): // what they say, nothing tells without the key; the one for receipts is needed for the next
			return d.content != nil || name == manifest.ReceiptKeyName
		case name == manifest.VaultName: // when the vault was made may be said to be another time: it is signed nowhere
			_, err := manifest.ParseVault(d.content)
			return d.content != nil && err == nil
		case strings.Contains(name, "/receipts/"): // one without the other looks like one that was interrupted
			return d.content == nil || sameText(good, d.content)
		case strings.HasSuffix(name, last) && d.content == nil: // the same, but then an older point is the latest
			v.rolledBack = true
			return true
		}
		return sameText(good, d.content)
	})
}

// sameText tells whether only the end of the last line is lost, which no signature needs.
func sameText(good, b []byte) bool { return b != nil && bytes.Equal(bytes.TrimSpace(good), b) }

// The same for the disks of a set, which carry a list of all their files.
func TestDamagedDisks(t *testing.T) {
	t.Parallel()
	s := newSeeding(t, newIdentity(t), plainTree(t))
	dirs := []string{scratch(t), scratch(t)}
	if _, err := s.seed(s.own, oneCommit, dirs...); err != nil {
		t.Fatal(err)
	}
	v := &spoiled{seeding: s, dirs: dirs, origin: s.root}
	v.each(func(name string, good []byte, d damage) (may bool) {
		if e, ok := manifest.ParseCustodyName(name); ok && d.content == nil { // the end of a log may be gone; the vault's receipts tell
			e.Number++
			return !slices.ContainsFunc(dirs, func(dir string) bool {
				_, err := os.Stat(filepath.Join(dir, manifest.CustodyName(e)))
				return err == nil
			})
		}
		if manifest.ParseDiskLabelName(name) {
			name = disk.LabelName
		}
		if strings.Contains(name, "/custody/") { // not in SHA256SUMS
			return sameText(good, d.content)
		}
		_, err := disk.ParseLabel(d.content)
		return name == disk.LabelName && err == nil // it is for people: their host's name may be written wrongly
	})
}

// each damages every file in every way. What verify need not detect, may says.
func (v *spoiled) each(may func(name string, good []byte, d damage) bool) {
	v.t.Helper()
	n, undetected := 0, 0
	for _, dir := range v.dirs {
		for _, name := range v.files(dir) {
			if strings.Contains(name, "/custody/") && !strings.Contains(name, "-0001/") {
				continue // the first disk's log is like the others'
			}
			path := filepath.Join(dir, name)
			good := must[[]byte](v.t)(os.ReadFile(path))
			for _, d := range v.damagesOf(dir, name, good) {
				v.set(path, d.content)
				n++
				v.rolledBack = false
				err := v.verify()
				if err == nil && !may(name, good, d) {
					v.t.Errorf("%s, %s: verify finds nothing", name, d.what)
				}
				if err == nil {
					undetected++
				}
				if !v.rolledBack && read(name) {
					for _, difference := range v.restore() {
						v.t.Errorf("%s, %s: %s", name, d.what, difference)
					}
				}
				v.set(path, good)
			}
		}
	}
	v.t.Logf("%d damages, of which %d need not be detected without keys", n, undetected)
	if err := v.verify(); err != nil {
		v.t.Errorf("after all was repaired: %v", err)
	}
}

// read tells whether a restore reads the file: it has no use for logs, receipts, and what is for people.
func read(name string) bool {
	return !strings.Contains(name, "/custody/") && !strings.Contains(name, "/receipts/") &&
		name != disk.LabelName && name != disk.SumsName && name != disk.ReadmeName
}

func (v *spoiled) files(dir string) (names []string) {
	v.t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path[len(dir)+1:])
		}
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return names
}

// damagesOf are damages, and the content of another file of the same kind.
func (v *spoiled) damagesOf(dir, name string, b []byte) []damage {
	v.t.Helper()
	all := damages(name, b)
	for _, other := range v.files(dir) {
		if filepath.Ext(other) == filepath.Ext(name) && filepath.Dir(filepath.Dir(other)) == filepath.Dir(filepath.Dir(name)) && other != name {
			all = append(all, damage{"that of " + other, must[[]byte](v.t)(os.ReadFile(filepath.Join(dir, other)))})
			break
		}
	}
	return all
}

func (v *spoiled) set(path string, content []byte) {
	v.t.Helper()
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && content != nil {
		err = os.WriteFile(path, content, 0o666)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// verify checks without keys.
func (v *spoiled) verify() error {
	v.t.Helper()
	var errs []error
	for _, dir := range v.dirs {
		d := must[*durable.Dir](v.t)(durable.Open(dir))
		defer d.Close()
		_, err := ingest.Verify(v.t.Context(), ingest.Source{Name: dir, Reader: d}, ingest.Options{})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// restore restores the latest point, as far as that can be found, and says what is wrong in what came back without being reported.
func (v *spoiled) restore() (wrong []string) {
	v.t.Helper()
	var stores []domain.Store
	for _, dir := range v.dirs {
		d := must[*durable.Dir](v.t)(durable.Open(dir))
		defer d.Close()
		stores = append(stores, d)
	}
	d, err := v.open(v.t.Context(), "", stores...)
	if err != nil {
		return nil // said
	}
	defer d.Close()
	p, err := d.Resolve(v.t.Context(), "latest")
	if err != nil || d.Flaw != nil {
		return nil
	}
	to := scratch(v.t)
	defer os.RemoveAll(to)
	report, err := restore.Run(v.t.Context(), d, p, restore.Options{To: to})
	if report == nil {
		return nil
	}
	for _, difference := range treetest.Compare(v.origin, filepath.Join(to, v.origin)) {
		if !v.reported(report, difference) || err == nil {
			wrong = append(wrong, difference)
		}
	}
	if len(wrong) > 3 {
		wrong = append(wrong[:3], fmt.Sprintf("and %d more; reported were %+v, %v", len(wrong)-3, report.Damaged[:min(3, len(report.Damaged))], err))
	}
	return wrong
}

// reported tells whether a difference is of an entry, or below one, that a restore reported.
func (v *spoiled) reported(r *restore.Report, difference string) bool {
	path := v.origin
	if quoted, err := strconv.QuotedPrefix(difference); err == nil { // else it is missing altogether
		rel, _ := strconv.Unquote(quoted)
		path = filepath.Join(v.origin, rel)
	}
	return slices.ContainsFunc(r.Damaged, func(p restore.Problem) bool {
		return path == p.Path || strings.HasPrefix(path, p.Path+"/") || p.Path == "/"
	})
}

// oneCommit is for a seed without checkpoints: so many damages are enough.
func oneCommit(o *seed.Options) { o.Save.CheckpointBytes = 0 }

// commits is how many there are in the vault.
func (s *seeding) commits() (n int) {
	s.t.Helper()
	s.points(func(*domain.Domain, domain.Point) { n++ })
	return n
}
