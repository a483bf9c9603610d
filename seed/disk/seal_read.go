package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// sums is the digest of every file but those that change later: as was read already, or read now.
func (s *sealing) sums(ctx context.Context) ([]Sum, error) {
	var sums []Sum
	log := manifest.CustodiesPrefix(s.label.Machine) // goes on after the sealing
	err := s.List(ctx, "", func(name string, size int64) error {
		if name != LabelName && name != SumsName && !strings.HasPrefix(name, log) {
			sums = append(sums, Sum{Name: name, size: size})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.readers())
	for i := range sums {
		g.Go(func() (err error) {
			sum := &sums[i]
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if known, ok := s.digest(sum.Name); ok {
				sum.Digest = known
				return nil
			}
			sum.Digest, err = s.hash(ctx, sum.Name, nil)
			return err
		})
	}
	return sums, g.Wait()
}

// digest is what was read of a file.
func (s *sealing) digest(name string) (d manifest.Digest, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok = s.digests[name]
	return d, ok
}

func (s *sealing) note(name string, d manifest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[name] = d
}

// readers is how many files are best read at once.
func (d *Disk) readers() int {
	if d.Rotating() {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// hash reads a whole file as it is on the medium, as far as the system lets its cache be passed by. It shows each piece to look, when there is one.
func (s *sealing) hash(ctx context.Context, name string, look func(p []byte, off int64) error) (sum manifest.Digest, err error) {
	f, err := s.OpenUncached(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	buf := s.pieces.Get()
	defer s.pieces.Put(buf)
	for off := int64(0); ; {
		n, err := s.fill(ctx, f, buf)
		h.Write(buf[:n])
		if err == nil && look != nil {
			err = look(buf[:n], off)
		}
		if err != nil {
			return sum, err
		}
		if off += int64(n); n < len(buf) {
			return manifest.Digest(h.Sum(nil)), nil
		}
	}
}

// fill fills p from the medium, but for a file's end. It fails with ErrMedium.
func (s *sealing) fill(ctx context.Context, f Uncached, p []byte) (n int, err error) {
	n, err = io.ReadFull(f, p)
	if s.o.Read != nil {
		s.o.Read.Add(int64(n))
	}
	switch {
	case ctx.Err() != nil:
		return n, ctx.Err()
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("%w: %w", ErrMedium, err)
	}
	return n, nil
}

// verify reads a group's table and those of its shards that are on this disk back, and fails if one is not right. What they are is noted.
func (s *sealing) verify(ctx context.Context, g *parity.Group) (*parity.Table, error) {
	t, err := g.ReadTable(ctx)
	if err != nil {
		return nil, err
	}
	own := manifest.ParityTableName(s.label.Machine, g.Name)
	digest, err := s.hash(ctx, own, nil)
	if err == nil && digest != manifest.Sum(t.Bytes()) {
		err = fmt.Errorf("%w: %s is damaged", ErrMedium, own)
	}
	if err != nil {
		return nil, err
	}
	s.note(own, digest)
	for j, shard := range g.Shards {
		if shard.Disk != s.label.Disk {
			continue
		}
		name := manifest.ParityShardName(s.label.Machine, g.Name, shard.Index)
		if size, err := s.Size(ctx, name); err != nil || size != t.FileSize() {
			return nil, fmt.Errorf("%w: %s has %d bytes, not %d", ErrMedium, name, size, t.FileSize())
		}
		end := t.Trailer()
		digest, err := s.hash(ctx, name, func(p []byte, off int64) error {
			n := max(min(int64(len(p)), t.Length()-off), 0)
			if !t.CheckShard(j, off, p[:n]) || !bytes.HasPrefix(end, p[n:]) {
				return fmt.Errorf("%w: %s is not what its table says", ErrMedium, name)
			}
			end = end[len(p[n:]):]
			return nil
		})
		if err != nil {
			return nil, err
		}
		s.note(name, digest)
	}
	return t, nil
}
