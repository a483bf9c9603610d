package save

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/manifest"
)

// Losses say what is to be healed.
type Losses struct {
	Packs []manifest.Pack // the packs that can't be had, which the commit settles
	// Gone tells whether a chunk of data was in one of them, and is in no other pack.
	Gone func(pack.ID) bool
	// Points are all points of the chain but the base, newest first, as far as their records can be read.
	Points []Base
}

// Heal stores again what lost packs held, as far as the files still have it, and makes one commit that settles them:
// a point like cfg.Base, with its tree and state. It walks the trees of all points, each part that they share once, and
// reads of the source only the stretches that were in those packs; each is stored when it has its hash. Of
// cfg it takes all but the selection. Base is needed, and Known must not know what is only in the lost packs.
//
// What can't be had again is in the point's Damage. A scan with this point as base reads the files it concerns anew, when
// it is told to be Wary. Nodes of the catalogue are not made again here: the next scan does. When ctx is cancelled
// nothing is committed. The commit's memory is some 100 bytes for each chunk that is stored; who has very
// many packs to heal does so in several commits.
func Heal(ctx context.Context, cfg Config, l Losses) (*Result, error) {
	cfg.Roots, cfg.Readers = nil, 1
	cfg.defaults()
	h := &healer{session: &session{cfg: cfg, started: cfg.Now()}, ctx: ctx, losses: l, hasher: pack.NewHasher(cfg.Writer.Dedupe),
		had: map[[16]byte]struct{}{}, whole: map[[16]byte]struct{}{}}
	for _, p := range l.Packs {
		h.settles = append(h.settles, p.Name)
	}
	slices.SortFunc(h.settles, func(a, b manifest.Digest) int { return bytes.Compare(a[:], b[:]) })
	h.settles = slices.Compact(h.settles)
	h.startPacking(ctx)
	err := h.run()
	h.closeFile()
	h.closeDir()
	if cerr := h.packs.Close(); err == nil {
		err = cerr
	}
	return h.result, err
}

// A healer is a session that looks for chunks instead of changes.
type healer struct {
	*session
	ctx    context.Context
	losses Losses
	hasher *pack.Hasher
	buf    []byte
	had    map[[16]byte]struct{} // chunks stored again
	whole  map[[16]byte]struct{} // nodes of which everything is there, by now
	point  Base                  // whose tree is walked
	live   live
	tell   func(path []byte, lacks int64) // in the second walk: of an entry that can't be restored
}

// maxWhole bounds the memory of a walk; beyond, shared parts are walked again.
const maxWhole = 1 << 20

func (h *healer) run() error {
	points := append([]Base{*h.cfg.Base}, h.losses.Points...)
	all := true
	for _, p := range points {
		ok, err := h.tree(p)
		if err != nil {
			return err
		}
		all = all && ok
	}
	record := h.record()
	if !all {
		slices.Reverse(points)
		if err := h.assess(points, record); err != nil {
			return err
		}
	}
	if err := h.flushAll(); err != nil {
		return err
	}
	return h.publish(record)
}

// record begins the new point as its base.
func (h *healer) record() *catalog.Point {
	p, count := *h.cfg.Base.Point, &h.workers[0].count
	p.Base, p.Mode, p.Reason = &h.cfg.Base.ID, catalog.Healed, h.reason()
	p.Host, p.Started, p.Ended = h.cfg.Host, h.started.UTC(), h.cfg.Now().UTC()
	p.Stats.ReadBytes, p.Stats.NewBytes, p.Stats.NewChunks = count.ReadBytes, count.NewBytes, count.NewChunks
	p.Damaged, p.Damage = nil, nil
	return &p
}

func (h *healer) reason() string {
	size := int64(0)
	for _, p := range h.losses.Packs {
		size += p.Size
	}
	what := "packs"
	if len(h.settles) == 1 {
		what = "pack"
	}
	return fmt.Sprintf("healed: %d %s of %.3f MB had been lost", len(h.settles), what, float64(size)/1e6)
}

// assess walks the trees again, when something could not be had, and notes what each point lacks.
func (h *healer) assess(points []Base, record *catalog.Point) error {
	for _, p := range points {
		lacks := catalog.DamagedPoint{Point: p.ID}
		h.tell = func(path []byte, n int64) {
			lacks.Files++
			lacks.Bytes += n
			if len(record.Damage) < catalog.MaxProblems {
				record.Damage = append(record.Damage, catalog.Damage{Point: p.ID, Path: manifest.EscapePath(path), Bytes: n})
			}
		}
		if _, err := h.tree(p); err != nil {
			return err
		}
		if lacks.Files > 0 {
			record.Damaged = append(record.Damaged, lacks)
		}
	}
	return nil
}

// tree walks a point's tree, and tells whether all of it is there.
func (h *healer) tree(p Base) (bool, error) {
	root, err := p.Point.RootEntry()
	if err != nil {
		return false, err
	}
	h.point = p
	return h.directory(root.Node, nil, 0)
}

// directory walks a directory's node.
func (h *healer) directory(id pack.ID, path []byte, depth int) (whole bool, err error) {
	if id.IsZero() || h.isWhole(id) {
		return true, nil
	}
	if h.ctx.Err() != nil {
		return false, context.Cause(h.ctx)
	}
	b, err := h.point.Loader.Load(h.ctx, id)
	var children []pack.ID
	var entries []catalog.Entry
	if err == nil {
		children, entries, err = catalog.Node(b)
	}
	if h.unreadable(err) || depth > maxDepth {
		h.lacking(path, 0)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	whole = true
	for _, child := range children {
		ok, err := h.directory(child, path, depth+1)
		if err != nil {
			return false, err
		}
		whole = whole && ok
	}
	for _, e := range entries {
		ok, err := h.entry(append(append(path[:len(path):len(path)], '/'), e.Name...), e)
		if err != nil {
			return false, err
		}
		whole = whole && ok
	}
	if whole {
		h.setWhole(id)
	}
	return whole, nil
}

// maxDepth bounds the index nodes over a list; each halves the nodes at least.
const maxDepth = 64

func (h *healer) entry(path []byte, e catalog.Entry) (whole bool, err error) {
	switch e.Kind {
	case catalog.Directory:
		return h.directory(e.Node, path, 0)
	case catalog.File:
		return h.file(path, e)
	}
	return true, nil
}

// file heals a file, and tells whether all of it is there.
func (h *healer) file(path []byte, e catalog.Entry) (whole bool, err error) {
	h.cfg.Progress.Files.Add(1)
	h.live = live{path: path, dir: h.live.dir, dirPath: h.live.dirPath}
	defer h.closeFile()
	lacks := int64(0)
	if !e.Node.IsZero() {
		lacks, err = h.content(e.Node, 0, e.Size, 0)
	} else {
		off := int64(0)
		for it, ierr := range catalog.Content(h.ctx, h.point.Loader, e) {
			if ierr != nil {
				return false, ierr
			}
			if lacks += it.Length; h.item(it, off) {
				lacks -= it.Length
			}
			off += it.Length
		}
	}
	if err == nil && lacks > 0 {
		h.lacking(path, lacks)
	}
	return err == nil && lacks == 0, err
}

// content heals what a node of a file's content refers to, and returns how many bytes it lacks.
func (h *healer) content(id pack.ID, off, length int64, depth int) (lacks int64, err error) {
	if h.isWhole(id) {
		return 0, nil
	}
	b, err := h.point.Loader.Load(h.ctx, id)
	var children []catalog.Part
	var items []catalog.Item
	if err == nil {
		children, items, err = catalog.ContentNode(b)
	}
	if h.unreadable(err) || depth > maxDepth {
		return length, nil
	}
	if err != nil {
		return 0, err
	}
	for _, c := range children {
		n, err := h.content(c.ID, off, c.Length, depth+1)
		if err != nil {
			return 0, err
		}
		lacks += n
		off += c.Length
	}
	for _, it := range items {
		if !h.item(it, off) {
			lacks += it.Length
		}
		off += it.Length
	}
	if lacks == 0 {
		h.setWhole(id)
	}
	return lacks, nil
}

// unreadable tells whether an error says that a node is damaged or gone.
func (h *healer) unreadable(err error) bool {
	return err != nil && (errors.Is(err, pack.ErrDamaged) || h.point.Lost != nil && h.point.Lost(err))
}

func (h *healer) lacking(path []byte, n int64) {
	if h.tell != nil {
		h.tell(path, n)
	}
}

func (h *healer) isWhole(id pack.ID) bool {
	_, ok := h.whole[id.Prefix()]
	return ok
}

func (h *healer) setWhole(id pack.ID) {
	if len(h.whole) < maxWhole {
		h.whole[id.Prefix()] = struct{}{}
	}
}
