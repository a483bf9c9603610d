// Package domain reads one machine's namespace from a vault, from disks, or from
// several of them together: its chain of commits is checked, its recovery points are
// found and resolved, and chunks are located, opened and verified.
//
// [Open] takes the stores in the order they should be asked: local copies first. What one
// of them lacks, another may have, so a seed whose disks are partly imported reads as a whole. The local
// index is a hint that Open brings in line with the chain; when it turns out to be wrong it is
// rebuilt from the packs.
//
// A store that says it is remote (see [Remote]) is read with few requests and many at once: what is read of the catalogue is kept on a
// shelf, a local directory, pack by pack once a pack turns out to be needed; contents are read by [Domain.Fetch] in stretches of many frames.
//
// The package writes nothing but that index and that shelf.
package domain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// A Store is what the domain is read from.
type Store interface {
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Size(ctx context.Context, name string) (int64, error)
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
}

// Remote tells whether a store says of itself, by a method Remote, that each of its requests takes a round trip over a network.
func Remote(s Store) bool {
	r, ok := s.(interface{ Remote() bool })
	return ok && r.Remote()
}

// Options say how a domain is opened.
type Options struct {
	Keys     pack.Keys // what is not opened by them fails with pack.ErrKey when it is read
	Dedupe   [32]byte  // the domain's key for chunk ids
	IndexDir string    // of the local index, and of the manifests that were verified before; empty for a temporary one
	ShelfDir string    // keeps catalogue packs that came from a remote store; empty for a temporary one. One domain at a time uses it
	Shelf    int64     // bytes that are kept there at most; default 2 GiB
}

// A Domain is safe for concurrent use.
type Domain struct {
	Machine *manifest.Machine
	Chain   manifest.Chain

	// Flaw says what of the chain is damaged, nil when nothing is. What the sound part holds can
	// still be read; nobody should commit to such a chain.
	Flaw error

	lost      map[manifest.Digest]bool // by the chain; see Chain.Lost
	shunned   map[manifest.Digest]bool // lost ones, and those that Shun named
	store     union
	opts      Options
	temp      string // of what is temporary, to be removed
	shelf     *shelf // nil when no store is remote
	gathering *gathering
	data      *index.Index
	cata      *index.Index
	nodes     *frameCache
	rebuild   sync.Once
	proof     sync.Once // guards the making of proven
	proven    bool      // the recovery key at hand is this vault's
	hashers   sync.Pool
	decoders  sync.Pool

	flawed atomic.Bool // part of the catalogue is damaged or gone

	mu     sync.Mutex
	listed map[manifest.Digest]manifest.Pack // guarded by mu: the chain's packs, and those of commits that were made since
	opened map[manifest.Digest]*copyOf       // guarded by mu; one pack's key is 32 bytes, its tail is not kept
	tables map[manifest.Class]*[2]int64      // guarded by mu: bytes of tables read, and of their packs
	ahead  map[manifest.Digest]*pack.Table   // guarded by mu: tables of small commits, read before they are asked for
}

// Open reads and checks the machine's chain from the stores. Manifests that are damaged or not signed by the
// machine are left out, and Flaw says so.
func Open(ctx context.Context, stores []Store, machine *manifest.Machine, opts Options) (*Domain, error) {
	d := &Domain{Machine: machine, store: union(stores), opts: opts, nodes: newFrameCache(), gathering: newGathering(), listed: map[manifest.Digest]manifest.Pack{},
		opened: map[manifest.Digest]*copyOf{}, ahead: map[manifest.Digest]*pack.Table{}, tables: map[manifest.Class]*[2]int64{manifest.Data: {}, manifest.Catalogue: {}}}
	d.hashers.New = func() any { return pack.NewHasher(opts.Dedupe) }
	d.decoders.New = func() any { return pack.NewDecoder() }
	var err error
	d.Chain, err = readChain(ctx, d.store, machine, opts.IndexDir)
	if errors.Is(err, manifest.ErrFormat) || errors.Is(err, manifest.ErrSignature) || errors.Is(err, manifest.ErrChain) {
		d.Flaw = err
	} else if err != nil {
		return nil, err
	}
	d.lost = d.Chain.Lost()
	d.shunned = d.lost
	for _, l := range d.Chain.Links {
		d.list(l.Manifest.Packs...)
	}
	if err = d.openShelf(); err == nil {
		err = d.openIndex(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Domain) openIndex(ctx context.Context) error {
	dir, err := d.dir(d.opts.IndexDir, "index")
	if err != nil {
		return err
	}
	if d.cata, err = index.Open(filepath.Join(dir, "catalogue")); err != nil {
		return fmt.Errorf("opening the index: %w", err)
	}
	if d.data, err = index.Open(filepath.Join(dir, "data")); err != nil {
		return fmt.Errorf("opening the index: %w", err)
	}
	inChain := map[string]bool{}
	for _, l := range d.Chain.Links {
		inChain[l.Digest.String()] = true
	}
	for _, x := range []*index.Index{d.cata, d.data} {
		if err := x.Retain(func(tag string) bool { return inChain[tag] || tag == lostTag }); err != nil {
			return err
		}
	}
	_, err = d.cover(ctx, manifest.Catalogue)
	return err
}

// list takes note of packs that can be read.
func (d *Domain) list(packs ...manifest.Pack) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range packs {
		d.listed[p.Name] = p
	}
}

// dir is a directory that the options name, or else a temporary one.
func (d *Domain) dir(named, name string) (string, error) {
	if named != "" {
		return named, nil
	}
	if d.temp == "" {
		var err error
		if d.temp, err = os.MkdirTemp("", "waybill-index-"); err != nil {
			return "", err
		}
	}
	return filepath.Join(d.temp, name), nil
}

// Close releases the index.
func (d *Domain) Close() error {
	var err error
	for _, x := range []*index.Index{d.cata, d.data} {
		if x != nil { // Open may have got that far only
			err = errors.Join(err, x.Close())
		}
	}
	if d.shelf != nil {
		d.shelf.close()
	}
	if d.temp != "" {
		err = errors.Join(err, os.RemoveAll(d.temp))
	}
	return err
}

func (d *Domain) index(class manifest.Class) *index.Index {
	if class == manifest.Data {
		return d.data
	}
	return d.cata
}

// Of is the index of one class of chunks. What is in lost packs only doesn't count as known, see Shun. From when some of the
// catalogue has been found to be damaged, nodes of it only count as known if they can be read: the others are stored again.
func (d *Domain) Of(class manifest.Class) pack.Known {
	if class == manifest.Catalogue {
		return readable{d}
	}
	return trusted{d}
}

type readable struct{ *Domain }

func (r readable) Has(p index.Key) bool {
	if len(r.shunned) == 0 && !r.cata.Has(p) {
		return false
	}
	if len(r.shunned) == 0 && !r.flawed.Load() {
		return true
	}
	loc, ok := r.trustworthy(r.cata, p)
	if ok && r.flawed.Load() {
		_, err := r.cached(context.Background(), loc, roundTrip)
		ok = err == nil
	}
	return ok
}

// Committed adds the packs of a commit that was just made to the index.
func (d *Domain) Committed(id manifest.Digest, packs []pack.Finished) error {
	for _, p := range packs {
		d.list(p.Pack)
	}
	for _, class := range []manifest.Class{manifest.Data, manifest.Catalogue} {
		err := d.index(class).Add(id.String(), func(put func(index.Key, index.Loc) error) error {
			for _, p := range packs {
				if p.Class != class {
					continue
				}
				if err := addTable(p.Name, p.Table, put); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func addTable(name manifest.Digest, t *pack.Table, put func(index.Key, index.Loc) error) error {
	for f, chunks := range t.All() {
		loc := index.Loc{Pack: name, Frame: f.Number, Offset: f.Offset, Sealed: f.Sealed, Plain: f.Plain, Method: f.Method}
		for _, c := range chunks {
			loc.Start, loc.Length = c.Start, c.Length
			if err := put(index.Key(c.Prefix), loc); err != nil {
				return err
			}
		}
	}
	return nil
}

// CoverData brings the data index in line with the chain, reading the tables of the packs
// it does not have yet. It returns the packs that no store has, but for lost ones.
func (d *Domain) CoverData(ctx context.Context) (missing []manifest.Digest, err error) {
	return d.cover(ctx, manifest.Data)
}

// Rebuild makes the whole index anew from the packs. Lost ones that are there all the same come first, so that what was
// stored again is found where it was stored last. Those that are not there are not missing.
func (d *Domain) Rebuild(ctx context.Context) (missing []manifest.Digest, err error) {
	for _, class := range []manifest.Class{manifest.Catalogue, manifest.Data} {
		lost, err := d.remake(ctx, class)
		if err != nil {
			return nil, err
		}
		missing = append(missing, lost...)
	}
	return missing, nil
}

func (d *Domain) remake(ctx context.Context, class manifest.Class) (missing []manifest.Digest, err error) {
	if err := d.index(class).Retain(func(string) bool { return false }); err != nil {
		return nil, err
	}
	if len(d.lost) > 0 {
		if err := d.addLost(ctx, class); err != nil {
			return nil, fmt.Errorf("building the index: %w", err)
		}
	}
	return d.cover(ctx, class)
}

// cover adds the commits that the index lacks.
func (d *Domain) cover(ctx context.Context, class manifest.Class) (missing []manifest.Digest, err error) {
	x := d.index(class)
	var links []manifest.Link
	for _, link := range d.Chain.Links {
		if !x.Covers(link.Digest.String()) {
			links = append(links, link)
		}
	}
	read := 0 // of the links, ahead
	for i, link := range links {
		if d.Far() && i == read {
			if read, err = d.readAhead(ctx, links, i, class); err != nil {
				return nil, fmt.Errorf("building the index: %w", err)
			}
		}
		tag := link.Digest.String()
		lost, err := d.add(ctx, tag, link.Manifest, class, false)
		if errors.Is(err, errGaps) {
			tag += " incomplete" // no commit's name: gone when the index is opened next
			lost, err = d.add(ctx, tag, link.Manifest, class, true)
		}
		if err != nil {
			return nil, fmt.Errorf("building the index: %w", err)
		}
		missing = append(missing, lost...)
	}
	return missing, nil
}

// errGaps stops the indexing of a commit, some of whose packs can't be read.
var errGaps = errors.New("packs are missing")

// add indexes a commit's packs of one class. Those that can't be read are returned, or, unless gaps are
// allowed, end it with errGaps.
func (d *Domain) add(ctx context.Context, tag string, m *manifest.Manifest, class manifest.Class, gaps bool) (missing []manifest.Digest, err error) {
	err = d.index(class).Add(tag, func(put func(index.Key, index.Loc) error) error {
		var packs []manifest.Pack
		for _, p := range m.Packs {
			if !d.lost[p.Name] {
				packs = append(packs, p)
			}
		}
		missing, err = d.eachTable(ctx, packs, class, func(name manifest.Digest, t *pack.Table) error { return addTable(name, t, put) })
		if err == nil && len(missing) > 0 && !gaps {
			return errGaps
		}
		return err
	})
	return missing, err
}
