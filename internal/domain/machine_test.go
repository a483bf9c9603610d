package domain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/manifest"
)

var errBoom = errors.New("boom")

// objects is a store in memory. It counts what is read and fails where it is told to.
type objects struct {
	mu    sync.Mutex
	m     map[string][]byte
	reads int
	fails func(name string) error // of ReadAt; nil: never
}

func newObjects() *objects { return &objects{m: map[string][]byte{}} }

func (o *objects) get(name string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, ok := o.m[name]
	if !ok {
		return nil, notExist(name)
	}
	return b, nil
}

func (o *objects) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	b, err := o.get(name)
	if err != nil {
		return 0, err
	}
	o.mu.Lock()
	o.reads++
	fails := o.fails
	o.mu.Unlock()
	if fails != nil {
		if err := fails(name); err != nil {
			return 0, err
		}
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (o *objects) Size(_ context.Context, name string) (int64, error) {
	b, err := o.get(name)
	return int64(len(b)), err
}

func (o *objects) Put(context.Context, string, io.ReadSeeker) error { return fs.ErrPermission }
func (o *objects) Remove(context.Context, string) error             { return fs.ErrPermission }

func (o *objects) List(_ context.Context, prefix string, each func(string, int64) error) error {
	o.mu.Lock()
	m := maps.Clone(o.m)
	o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(name, prefix) {
			if err := each(name, int64(len(m[name]))); err != nil {
				return err
			}
		}
	}
	return nil
}

// A target collects one pack for an objects.
type target struct {
	bytes.Buffer
	put func(p manifest.Pack, b []byte)
}

func (t *target) Commit(p manifest.Pack) error {
	t.put(p, t.Bytes())
	return nil
}

func (t *target) Abort() {}

// A machine commits points of one directory each to stores.
type machine struct {
	t        *testing.T
	signer   *manifest.Signer
	doc      *manifest.Machine
	recovery *age.X25519Identity
	cata     *age.X25519Identity
	dedupe   [32]byte
	seq      int
	head     manifest.Digest
	now      time.Time
	lost     []manifest.Digest                       // that the next commit settles
	more     func(put func([]byte) (pack.ID, error)) // adds nodes to the next commit
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, dedupe: [32]byte([]byte("a dedupe key for tests, 32 bytes")), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	if m.signer, err = manifest.NewSigner(); err != nil {
		t.Fatal(err)
	}
	m.recovery, _ = age.GenerateX25519Identity()
	m.cata, _ = age.GenerateX25519Identity()
	m.doc = &manifest.Machine{Vault: "6f1a2b3c-0000-4000-8000-000000000001", Machine: "6f1a2b3c-0000-4000-8000-000000000002", Name: "m",
		SigningKey: m.signer.Public()}
	return m
}

// A commit is what a machine put somewhere.
type commit struct {
	id    manifest.Digest
	files map[string][]byte // content by name
	packs map[manifest.Class][]string
	root  pack.ID
}

// commit adds a point, of files with that content, to a store. A day passes.
func (m *machine) commit(to *objects, state string, files map[string][]byte) commit {
	m.t.Helper()
	c := commit{files: files, packs: map[manifest.Class][]string{}}
	w := pack.NewWriter(m.t.Context(), pack.Config{Dedupe: m.dedupe, Recovery: m.recovery.Recipient(), Machine: m.cata.Recipient(),
		Create: func(class manifest.Class) (pack.Target, error) {
			return &target{put: func(p manifest.Pack, b []byte) {
				name := manifest.PackName(m.doc.Machine, p.Name)
				to.m[name] = b
				c.packs[class] = append(c.packs[class], name)
			}}, nil
		}})
	data, cata := w.Stream(manifest.Data), w.Stream(manifest.Catalogue)
	put := func(b []byte) (pack.ID, error) { id, _, err := cata.Add(b); return id, err }
	if m.more != nil {
		m.more(put)
	}
	dir := catalog.NewDirBuilder(put)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		e := catalog.Entry{Kind: catalog.File, Name: []byte(name), Size: int64(len(files[name]))}
		content := catalog.ContentBuilder{Put: put}
		id, _, err := data.Add(files[name])
		m.check(err)
		m.check(content.Add(catalog.Item{Length: e.Size, ID: id}))
		m.check(content.Finish(&e))
		m.check(dir.Add(e.Name, e.Append(nil)))
	}
	root := catalog.Entry{Kind: catalog.Directory}
	var err error
	root.Node, err = dir.Finish()
	m.check(err)
	c.root = root.Node
	m.now = m.now.AddDate(0, 0, 1)
	point := &catalog.Point{State: state, Host: "h", Started: m.now, Ended: m.now, Settled: m.now, Root: root.Append(nil), Mode: "first"}
	body, err := point.Encode()
	m.check(err)
	record, err := put(body)
	m.check(err)
	m.check(data.Flush())
	m.check(cata.Flush())
	done, err := w.Flush()
	m.check(err)
	m.check(w.Close())
	c.id = m.publish(to, done, record)
	return c
}

func (m *machine) publish(to *objects, done []pack.Finished, record pack.ID) manifest.Digest {
	m.seq++
	man := &manifest.Manifest{Vault: m.doc.Vault, Machine: m.doc.Machine, Sequence: m.seq, Previous: m.head, Lost: m.lost, Time: m.now, Tool: "test"}
	m.lost = nil
	ref := struct {
		Pack  manifest.Digest `json:"pack"`
		Chunk string          `json:"chunk"`
	}{Chunk: record.String()}
	for _, p := range done {
		man.Packs = append(man.Packs, p.Pack)
		if p.Class == manifest.Catalogue && p.Table.Has(record.Prefix()) {
			ref.Pack = p.Name
		}
	}
	plain, err := json.Marshal(ref)
	m.check(err)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, m.recovery.Recipient(), m.cata.Recipient())
	m.check(err)
	_, err = w.Write(plain)
	m.check(err)
	m.check(w.Close())
	man.Record = sealed.Bytes()
	b, err := man.Encode()
	m.check(err)
	sig, err := m.signer.Sign(b)
	m.check(err)
	m.head = manifest.Sum(b)
	to.m[manifest.SignatureName(m.doc.Machine, m.seq, m.head)] = sig
	to.m[manifest.ManifestName(m.doc.Machine, m.seq)] = b
	return m.head
}

func (m *machine) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// days makes n commits to a store, of a few files each, one of them the same in all.
func (m *machine) days(to *objects, n int) (all []commit) {
	for i := range n {
		all = append(all, m.commit(to, catalog.Complete, map[string][]byte{"always": []byte("the same"), fmt.Sprint("day ", m.seq+i): bytes.Repeat([]byte{byte(m.seq)}, 70_000)}))
	}
	return all
}

func (m *machine) open(index string, stores ...Store) *Domain {
	m.t.Helper()
	d, err := Open(m.t.Context(), stores, m.doc, Options{Keys: pack.Keys{Recovery: m.recovery, Machine: m.cata}, Dedupe: m.dedupe, IndexDir: index})
	m.check(err)
	m.t.Cleanup(func() { d.Close() })
	return d
}

// read compares all of a point's files with what was committed.
func (c commit) read(ctx context.Context, d *Domain) error {
	if _, err := d.CoverData(ctx); err != nil {
		return err
	}
	p, err := d.Resolve(ctx, c.id.String())
	if err != nil {
		return err
	}
	root, err := p.RootEntry()
	if err != nil {
		return err
	}
	n := 0
	for e, err := range catalog.Entries(ctx, d, root.Node) {
		if err != nil {
			return err
		}
		for it, err := range catalog.Content(ctx, d, e) {
			if err != nil {
				return err
			}
			loc, ok := d.Locate(it.ID)
			if !ok {
				return fmt.Errorf("%w: chunk %.12s is nowhere", pack.ErrDamaged, it.ID)
			}
			frame, err := d.Frame(ctx, loc, nil)
			if err != nil {
				return err
			}
			b, err := d.Chunk(it.ID, frame, loc)
			if err != nil {
				return err
			}
			if !bytes.Equal(b, c.files[string(e.Name)]) {
				return fmt.Errorf("%q came back as something else", e.Name)
			}
		}
		n++
	}
	if n != len(c.files) {
		return fmt.Errorf("%d files of %d", n, len(c.files))
	}
	return nil
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
