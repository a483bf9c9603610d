package restore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// A memory is a Source in memory: catalogues written by hand, whatever is in them. Each chunk is a frame.
type memory struct {
	hasher *pack.Hasher
	chunks map[pack.ID][]byte
	frames []pack.ID
	place  map[pack.ID]int
}

func newMemory() *memory {
	return &memory{hasher: pack.NewHasher([32]byte{}), chunks: map[pack.ID][]byte{}, place: map[pack.ID]int{}}
}

func (m *memory) put(b []byte) pack.ID {
	id := m.hasher.Sum(b)
	if m.chunks[id] == nil {
		m.chunks[id] = append([]byte(nil), b...)
		m.place[id] = len(m.frames)
		m.frames = append(m.frames, id)
	}
	return id
}

func (m *memory) Load(_ context.Context, id pack.ID) ([]byte, error) {
	if b := m.chunks[id]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("%w: no such node", pack.ErrDamaged)
}

func (m *memory) Far() bool                                   { return false }
func (m *memory) Gather(context.Context, *domain.Point) error { return nil }
func (m *memory) Fetch(context.Context, domain.Stretch) (*domain.Fetched, error) {
	return nil, errors.New("it is in memory")
}

func (m *memory) CoverData(context.Context) ([]manifest.Digest, error) { return nil, nil }
func (m *memory) Rebuild(context.Context) ([]manifest.Digest, error)   { return nil, nil }

func (m *memory) Locate(id pack.ID) (index.Loc, bool) {
	i, ok := m.place[id]
	return index.Loc{Frame: uint32(i), Length: uint32(len(m.chunks[id]))}, ok
}

func (m *memory) Frame(_ context.Context, loc index.Loc, dst []byte) ([]byte, error) {
	return append(dst[:0], m.chunks[m.frames[loc.Frame]]...), nil
}

func (m *memory) Chunk(id pack.ID, frame []byte, loc index.Loc) ([]byte, error) {
	if b := frame[loc.Start:]; len(b) == int(loc.Length) && pack.NewHasher([32]byte{}).Sum(b) == id {
		return b, nil
	}
	return nil, fmt.Errorf("%w: not its hash", pack.ErrDamaged)
}

// dir makes a directory node of entries as they are, in the order they are given.
func (m *memory) dir(entries ...catalog.Entry) pack.ID {
	b := []byte{'D'}
	for _, e := range entries {
		raw := e.Append(nil)
		b = append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
	}
	return m.put(b)
}

func (m *memory) file(name, content string) catalog.Entry {
	c := catalog.ContentBuilder{}
	e := catalog.Entry{Kind: catalog.File, Name: []byte(name), Mode: 0o644, Size: int64(len(content))}
	if content != "" {
		c.Add(catalog.Item{Length: int64(len(content)), ID: m.put([]byte(content))})
	}
	c.Finish(&e)
	return e
}

func folder(name string, node pack.ID) catalog.Entry {
	return catalog.Entry{Kind: catalog.Directory, Name: []byte(name), Mode: 0o755, Node: node}
}

func symlink(name, target string) catalog.Entry {
	return catalog.Entry{Kind: catalog.Symlink, Name: []byte(name), Target: []byte(target)}
}

func (m *memory) point(root pack.ID) *domain.Point {
	e := catalog.Entry{Kind: catalog.Directory, Mode: 0o755, Node: root}
	return &domain.Point{Link: manifest.Link{Digest: manifest.Digest{0xab, 0xcd}}, Point: &catalog.Point{State: catalog.Complete, Root: e.Append(nil)}}
}

func (m *memory) restore(t *testing.T, root pack.ID, opts Options) (*Report, error) {
	t.Helper()
	return Run(t.Context(), m, m.point(root), opts)
}

func TestHostileCatalogues(t *testing.T) {
	m := newMemory()
	evil := m.dir(m.file("planted", "evil"))
	for name, build := range map[string]func(outside string) pack.ID{
		"dot dot":             func(string) pack.ID { return m.dir(folder("..", evil)) },
		"dot":                 func(string) pack.ID { return m.dir(folder(".", evil)) },
		"no name":             func(string) pack.ID { return m.dir(folder("", evil)) },
		"slash":               func(out string) pack.ID { return m.dir(m.file("../planted", "evil")) },
		"absolute":            func(out string) pack.ID { return m.dir(m.file(out+"/planted", "evil")) },
		"nul":                 func(string) pack.ID { return m.dir(m.file("planted\x00", "evil")) },
		"link, then below it": func(out string) pack.ID { return m.dir(symlink("a", out), folder("a", evil)) },
		"link, then file":     func(out string) pack.ID { return m.dir(symlink("a", out+"/planted"), m.file("a", "evil")) },
		"out of order":        func(out string) pack.ID { return m.dir(symlink("b", out), m.file("a", ""), folder("b", evil)) },
		"numbered link":       func(out string) pack.ID { return m.dir(symlink("a (restored 1)", out), folder("a (restored 1)", evil)) },
		"relative link":       func(out string) pack.ID { return m.dir(symlink("a", "../"+filepath.Base(out)), folder("a", evil)) },
		"link in another's name": func(out string) pack.ID {
			return m.dir(symlink(".waybill-abcd0000-1", out+"/planted"), m.file("x", "evil"))
		},
	} {
		for _, mode := range []Conflict{Copy, Overwrite, Skip, Fail} {
			t.Run(fmt.Sprint(name, mode), func(t *testing.T) {
				base := t.TempDir()
				outside := filepath.Join(base, "outside")
				os.Mkdir(outside, 0o777)
				to := filepath.Join(base, "to")
				m.restore(t, build(outside), Options{To: to, Conflict: mode})
				// A second time over what the first left.
				m.restore(t, build(outside), Options{To: to, Conflict: mode})
				for _, dir := range []string{base, outside} {
					if _, err := os.Lstat(filepath.Join(dir, "planted")); err == nil {
						t.Errorf("written outside the target: %s", dir)
					}
				}
			})
		}
	}
}

func TestRefusedNamesAreReported(t *testing.T) {
	m, to := newMemory(), t.TempDir()
	r, err := m.restore(t, m.dir(folder("..", pack.ID{}), m.file("good", "1"), m.file("good", "2"), m.file("zz", "3")), Options{To: to})
	if !errors.Is(err, ErrDamagedParts) || r.DamagedCount != 2 || r.Files != 2 {
		t.Errorf("%v %+v", err, r)
	}
}

func TestLostNodesCostOnlyWhatIsBelow(t *testing.T) {
	m, to := newMemory(), t.TempDir()
	first, last := m.dir(m.file("a", "1"), m.file("b", "2")), m.dir(m.file("y", "3"), m.file("z", "4"))
	index := []byte{'d'}
	for _, child := range []struct {
		last string
		id   pack.ID
	}{{"b", first}, {"m", pack.ID{1}}, {"z", last}} {
		index = append(binary.AppendUvarint(index, 1), child.last...)
		index = append(append(index, child.id[:]...), 2)
	}
	r, err := m.restore(t, m.dir(folder("d", m.put(index)), folder("gone", pack.ID{2}), m.file("other", "5")), Options{To: to})
	if !errors.Is(err, ErrDamagedParts) || r.Files != 5 || r.DamagedCount != 2 {
		t.Errorf("%v %+v", err, r)
	}
	if p := r.Damaged[0]; p.Path != "/d" || !strings.Contains(p.Problem, `after "b"`) {
		t.Errorf("%+v", p)
	}
}

func TestFileLargerThanABatch(t *testing.T) {
	m, to := newMemory(), t.TempDir()
	c := catalog.ContentBuilder{Put: func(node []byte) (pack.ID, error) { return m.put(node), nil }}
	e := catalog.Entry{Kind: catalog.File, Name: []byte("large"), Mode: 0o600}
	var want bytes.Buffer
	for i := range 2*maxRefs + 1000 {
		b := fmt.Sprintf("%03d", i*i%701)
		want.WriteString(b)
		c.Add(catalog.Item{Length: 3, ID: m.put([]byte(b))})
		if i%50_000 == 0 {
			c.Add(catalog.Item{Length: 100_000})
			want.Write(make([]byte, 100_000))
		}
	}
	e.Size = c.Length()
	c.Finish(&e)
	root := m.dir(m.file("before", "1"), e, m.file("the next", "2"))
	if r, err := m.restore(t, root, Options{To: to}); err != nil || r.Files != 3 {
		t.Fatalf("%v %+v", err, r)
	}
	if got, err := os.ReadFile(to + "/large"); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, want.Len())
	}
	delete(m.chunks, m.frames[5]) // a chunk at many places
	r, err := m.restore(t, root, Options{To: t.TempDir()})
	if !errors.Is(err, ErrDamagedParts) || r.DamagedCount != 1 || r.Files != 2 || !strings.Contains(r.Damaged[0].Problem, "ranges") {
		t.Errorf("%v %+v", err, r)
	}
}

func TestBusy(t *testing.T) {
	m, to := newMemory(), t.TempDir()
	root := m.dir(m.file("a", "1"))
	r, err := begin(t.Context(), m, m.point(root), Options{To: to})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.restore(t, root, Options{To: to}); runtime.GOOS == "linux" && !errors.Is(err, ErrBusy) {
		t.Errorf("error is %v", err)
	}
	r.close()
	if _, err := m.restore(t, root, Options{To: to}); err != nil {
		t.Error(err)
	}
}

// After a power loss, what looks complete may not be: it is replaced, not kept beside.
func TestAfterPowerLoss(t *testing.T) {
	m, to := newMemory(), t.TempDir()
	root := m.dir(m.file("a", "good"), m.file("b", "good"))
	r, err := begin(t.Context(), m, m.point(root), Options{To: to})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(to, r.ledger.name)
	r.close()
	if err := os.WriteFile(to+"/b", []byte("lost"), 0); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(to+"/b", time.Unix(0, 0), time.Unix(0, 0)) // the entry's
	b, _ := os.ReadFile(name)
	os.WriteFile(name, bytes.Replace(b, []byte("boot "), []byte("boot another"), 1), 0)
	report, err := m.restore(t, root, Options{To: to})
	if err != nil || report.Kept != 0 || report.Files != 2 {
		t.Errorf("%v %+v", err, report)
	}
	if got, _ := os.ReadFile(to + "/b"); string(got) != "good" {
		t.Errorf("it is %q still", got)
	}
	if list, _ := os.ReadDir(to); len(list) != 2 {
		t.Errorf("there are %v", list)
	}
}

func TestOwnersByName(t *testing.T) {
	users := map[string]string{"501": "anna", "502": "nobody here", "x": "anna"}
	ids := byName(users, func(name string) (string, error) {
		if name == "anna" {
			return "1001", nil
		}
		return "", errors.New("unknown")
	})
	m := &manner{own: true, uids: ids}
	for there, here := range map[uint32]uint32{501: 1001, 502: 502, 7: 7} {
		if uid, _ := m.owner(&catalog.Entry{UID: there}, 0, 0); uid != here {
			t.Errorf("%d becomes %d", there, uid)
		}
	}
}

func TestNumbered(t *testing.T) {
	for name, want := range map[string]string{
		"report.txt":             "report (restored 7).txt",
		"archive.tar.gz":         "archive.tar (restored 7).gz",
		".profile":               ".profile (restored 7)",
		"none":                   "none (restored 7)",
		strings.Repeat("x", 255): strings.Repeat("x", 242) + " (restored 7)",
	} {
		if got := numbered(name, 7); got != want {
			t.Errorf("%q becomes %q", name, got)
		}
	}
}
