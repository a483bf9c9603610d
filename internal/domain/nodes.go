package domain

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// ErrAbsent says that a pack of the catalogue is in none of the stores: it is on a disk that has not
// arrived, or lost. It is not fs.ErrNotExist, which for a catalogue means a name that was not saved.
var ErrAbsent = errors.New("a pack of the catalogue is not at hand")

// Lost tells whether an error of Load says that the node is damaged or gone, and not just out of reach.
func Lost(err error) bool { return errors.Is(err, pack.ErrDamaged) || errors.Is(err, ErrAbsent) }

// Load finds, opens and checks a catalogue node. It is catalog.Loader.
func (d *Domain) Load(ctx context.Context, id pack.ID) ([]byte, error) {
	return d.load(ctx, id, roundTrip)
}

// load is Load for someone to whom the wait for a request is worth so many bytes.
func (d *Domain) load(ctx context.Context, id pack.ID, wait int64) ([]byte, error) {
	b, err := d.node(ctx, id, wait)
	if !Lost(err) {
		return b, err
	}
	// The index is a hint: before the pack is blamed, it is made anew.
	var rerr error
	d.rebuild.Do(func() { _, rerr = d.remake(ctx, manifest.Catalogue) })
	if rerr != nil {
		return nil, rerr
	}
	if b, err = d.node(ctx, id, wait); Lost(err) {
		d.flawed.Store(true)
	}
	return b, err
}

func (d *Domain) node(ctx context.Context, id pack.ID, wait int64) ([]byte, error) {
	err := fmt.Errorf("%w: catalogue node %.12s is in no pack at hand", pack.ErrDamaged, id)
	var tried map[manifest.Digest]bool
	for {
		loc, ok := d.best(d.cata, id.Prefix(), tried)
		if !ok {
			return nil, err
		}
		frame, ferr := d.cached(ctx, loc, wait)
		if ferr == nil {
			var b []byte
			if b, ferr = d.Chunk(id, frame, loc); ferr == nil {
				return b, nil
			}
		}
		if err = ferr; !Lost(err) {
			return nil, err
		}
		if tried == nil {
			tried = map[manifest.Digest]bool{}
		}
		tried[loc.Pack] = true // the node may have been stored again since
	}
}

// cached is Frame for the catalogue, by way of the cache.
func (d *Domain) cached(ctx context.Context, loc index.Loc, wait int64) ([]byte, error) {
	key := frameKey{loc.Pack, loc.Frame}
	if frame, ok := d.nodes.get(key); ok {
		return frame, nil
	}
	if err := d.need(ctx, loc.Pack, int64(loc.Sealed)+wait); err != nil {
		return nil, err
	}
	frame, err := d.Frame(ctx, loc, make([]byte, 0, min(loc.Plain, pack.MaxCatalogueChunk))) // its own size: it will be kept
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %v", ErrAbsent, err)
	}
	if err != nil {
		return nil, err
	}
	d.nodes.put(key, frame)
	return frame, nil
}

// Frame reads and opens the frame a location lies in, into dst if that has room.
func (d *Domain) Frame(ctx context.Context, loc index.Loc, dst []byte) ([]byte, error) {
	dec := d.decoders.Get().(*pack.Decoder)
	defer d.decoders.Put(dec)
	var b []byte
	err := d.read(ctx, loc.Pack, func(r *pack.Reader) (err error) {
		b, err = r.Frame(dec, FrameOf(loc), dst)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err // it names the pack
	}
	if err != nil {
		return nil, fmt.Errorf("pack %.12s: %w", manifest.Digest(loc.Pack), err)
	}
	return b, nil
}

// FrameOf is the location's frame as a table has it.
func FrameOf(loc index.Loc) pack.Frame {
	return pack.Frame{Number: loc.Frame, Offset: loc.Offset, Sealed: loc.Sealed, Plain: loc.Plain, Method: loc.Method}
}

// Chunk takes a chunk out of its opened frame and checks it against its id.
func (d *Domain) Chunk(id pack.ID, frame []byte, loc index.Loc) ([]byte, error) {
	end := uint64(loc.Start) + uint64(loc.Length)
	if end > uint64(len(frame)) {
		return nil, fmt.Errorf("%w: chunk %.12s lies beyond its frame", pack.ErrDamaged, id)
	}
	b := frame[loc.Start:end:end]
	h := d.hashers.Get().(*pack.Hasher)
	defer d.hashers.Put(h)
	if h.Sum(b) != id {
		return nil, fmt.Errorf("%w: chunk %.12s does not have its hash", pack.ErrDamaged, id)
	}
	return b, nil
}

// Locate tells where a data chunk lies, as far as the packs at hand have it. One in a lost pack is only told
// when there is no other.
func (d *Domain) Locate(id pack.ID) (index.Loc, bool) { return d.best(d.data, id.Prefix(), nil) }

type frameKey struct {
	pack  [32]byte
	frame uint32
}

// A frameCache keeps the catalogue frames used last: neighbours in the tree are neighbours in a frame.
type frameCache struct {
	mu    sync.Mutex
	bytes int
	m     map[frameKey]*list.Element
	order list.List // of cached, the one used last in front
}

type cached struct {
	key   frameKey
	frame []byte
}

const maxCached = 24 << 20

func newFrameCache() *frameCache { return &frameCache{m: map[frameKey]*list.Element{}} }

func (c *frameCache) get(k frameKey) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[k]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cached).frame, true
}

func (c *frameCache) put(k frameKey, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.m[k]; ok {
		return
	}
	c.m[k] = c.order.PushFront(cached{k, frame})
	c.bytes += len(frame)
	for c.bytes > maxCached && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(cached)
		delete(c.m, last.key)
		c.bytes -= len(last.frame)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
