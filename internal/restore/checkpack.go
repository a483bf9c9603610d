package restore

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// A frameJob is a frame to be opened, and what its pack's table says is in it.
type frameJob struct {
	loc    index.Loc
	chunks []pack.Chunk
}

// frameJobs are those of neighbouring frames that are read together: one, or over a network as many as fit a stretch.
type frameJobs struct {
	jobs    []frameJob
	stretch domain.Stretch // empty when each frame is read by itself
}

// packs reads pack after pack in order of their place, several frames at once. Over a network several packs are opened at once, too, and
// stretches of them fetched.
func (c *check) packs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	feeders, readers := 1, c.opts.Workers
	if c.d.Far() {
		feeders, readers = 8, max(readers, fetchers)
	}
	jobs := make(chan frameJobs, 2*c.opts.Workers)
	g.Go(func() error {
		defer close(jobs)
		feed, within := errgroup.WithContext(ctx)
		feed.SetLimit(feeders)
		for _, p := range c.chosen() {
			feed.Go(func() error { return c.feed(within, p, jobs) })
		}
		return feed.Wait()
	})
	for range readers {
		g.Go(func() error {
			hasher := pack.NewHasher(c.opts.Dedupe)
			var buf []byte
			for j := range jobs {
				var err error
				if buf, err = c.frames(ctx, hasher, j, buf); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// chosen are the packs to be read, each once.
func (c *check) chosen() []manifest.Pack {
	var all []manifest.Pack
	seen := map[manifest.Digest]bool{}
	for _, link := range c.d.Chain.Links {
		for _, p := range link.Manifest.Packs {
			if seen[p.Name] || c.opts.Reachable && c.needed[p.Name] == nil {
				continue
			}
			seen[p.Name] = true
			all = append(all, p)
			c.opts.Progress.TotalBytes.Add(p.Size)
		}
	}
	return all
}

// feed opens a pack and makes jobs of its frames.
func (c *check) feed(ctx context.Context, p manifest.Pack, jobs chan<- frameJobs) error {
	defer c.opts.Progress.Bytes.Add(p.Size)
	t, readable, err := c.d.Table(ctx, p.Name)
	if err == nil {
		err = c.d.CheckHeader(ctx, p.Name)
	}
	switch {
	case isMissing(err):
		return nil // Rebuild has listed it
	case isDamage(err):
		c.damaged(p.Name, func(b *badPack) { b.all = true }, err)
		return nil
	case err != nil:
		return err
	case !readable:
		return fmt.Errorf("pack %.12s: %w", p.Name, pack.ErrKey)
	}
	c.mu.Lock()
	c.report.Packs++
	c.mu.Unlock()
	var next frameJobs
	send := func() error {
		if len(next.jobs) == 0 {
			return nil
		}
		select {
		case jobs <- next:
			next = frameJobs{}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for f, chunks := range t.All() {
		if c.opts.Reachable && !c.needed[p.Name].has(f.Number) {
			continue
		}
		loc := index.Loc{Pack: p.Name, Frame: f.Number, Offset: f.Offset, Sealed: f.Sealed, Plain: f.Plain, Method: f.Method}
		if !c.d.Far() || !next.stretch.Extend(loc) {
			if err := send(); err != nil {
				return err
			}
			if c.d.Far() {
				next.stretch.Extend(loc)
			}
		}
		next.jobs = append(next.jobs, frameJob{loc, slices.Clone(chunks)})
	}
	return send()
}

// frames opens frames that are read together. It returns its buffer.
func (c *check) frames(ctx context.Context, hasher *pack.Hasher, js frameJobs, buf []byte) ([]byte, error) {
	from := domain.Frames(c.d)
	if !js.stretch.IsEmpty() {
		fetched, err := c.d.Fetch(ctx, js.stretch)
		if err != nil {
			return buf, err
		}
		defer fetched.Release()
		from = fetched
	}
	for _, j := range js.jobs {
		var err error
		if buf, err = c.frame(ctx, from, hasher, j, buf); err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// frame opens a frame and hashes its chunks. It returns its buffer.
func (c *check) frame(ctx context.Context, from domain.Frames, hasher *pack.Hasher, j frameJob, buf []byte) ([]byte, error) {
	plain, err := from.Frame(ctx, j.loc, buf)
	if isDamage(err) {
		c.damaged(j.loc.Pack, func(b *badPack) { b.frames[j.loc.Frame] = true }, err)
		return buf, nil
	}
	if err != nil {
		return buf, err
	}
	for _, k := range j.chunks {
		if id := hasher.Sum(plain[k.Start : k.Start+k.Length]); id.Prefix() != index.Key(k.Prefix) {
			err := fmt.Errorf("%w: frame %d: a chunk does not have its hash", pack.ErrDamaged, j.loc.Frame)
			c.damaged(j.loc.Pack, func(b *badPack) { b.chunks[k.Prefix] = true }, err)
		}
	}
	c.opts.Progress.Frames.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Frames++
	c.report.Chunks += int64(len(j.chunks))
	c.report.PlainBytes += int64(len(plain))
	return plain, nil
}

func (c *check) damaged(name manifest.Digest, note func(*badPack), why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bad[name]
	if b == nil {
		b = &badPack{frames: map[uint32]bool{}, chunks: map[[16]byte]bool{}, first: why.Error()}
		c.bad[name] = b
	}
	note(b)
}

// summarise lists the damaged packs. Those whose table can't be read are not missing.
func (c *check) summarise() {
	c.report.Missing = slices.DeleteFunc(c.report.Missing, func(name manifest.Digest) bool { return c.bad[name] != nil })
	names := slices.SortedFunc(maps.Keys(c.bad), func(a, b manifest.Digest) int { return bytes.Compare(a[:], b[:]) })
	for _, name := range names {
		b := c.bad[name]
		c.report.Damaged = append(c.report.Damaged, PackProblem{name, len(b.frames), b.first})
	}
}
