package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	"waybill/manifest"
)

// A body is a pack being read once, from front to back, hashed on its way. The last bytes are handed out
// only after the whole was found to be what its name says, so nobody can copy a damaged pack to the end.
type body struct {
	ctx    context.Context
	source Source
	name   string
	pack   manifest.Pack
	count  *atomic.Int64 // of bytes read
	hash   hash.Hash
	hashed int64 // bytes in hash
	at     int64
	err    error // what was wrong with the source; nil for an error of whoever reads
}

func newBody(ctx context.Context, s Source, m manifest.ID, p manifest.Pack, count *atomic.Int64) *body {
	return newFile(ctx, s, manifest.PackName(m, p.Name), p, count)
}

// newFile is newBody for a file that is named otherwise: size and digest are p's.
func newFile(ctx context.Context, s Source, name string, p manifest.Pack, count *atomic.Int64) *body {
	return &body{ctx: ctx, source: s, name: name, pack: p, count: count, hash: sha256.New()}
}

// drain reads it to the end; nil when it is what it should be.
func (b *body) drain(buf []byte) (err error) {
	for err == nil {
		_, err = b.Read(buf)
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	left := b.pack.Size - b.at
	if left == 0 {
		return 0, io.EOF
	}
	if b.hashed != b.at {
		return 0, fmt.Errorf("reading %s from byte %d: it can only be read from its beginning", b.name, b.at)
	}
	p = p[:min(int64(len(p)), left)]
	n, err := b.source.ReadAt(b.ctx, b.name, p, b.at)
	b.count.Add(int64(n))
	if n < len(p) {
		if b.ctx.Err() != nil {
			return 0, b.ctx.Err()
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends at byte %d of %d", manifest.ErrFormat, b.at+int64(n), b.pack.Size)
		}
		b.err = err
		return 0, err
	}
	b.hash.Write(p)
	b.at += int64(n)
	b.hashed = b.at
	if b.at == b.pack.Size {
		if sum := manifest.Digest(b.hash.Sum(nil)); sum != b.pack.Name {
			b.err = fmt.Errorf("%w: its SHA-256 is %s", manifest.ErrFormat, sum)
			return 0, b.err
		}
	}
	return n, nil
}

// DescribeObject tells a store what it gets.
func (b *body) DescribeObject() (md5 [16]byte, data bool) { return b.pack.DescribeObject() }

// Seek implements io.Seeker, for stores that want to know the size or try again.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.pack.Size
	}
	if offset < 0 || offset > b.pack.Size {
		return b.at, fmt.Errorf("seeking %s to byte %d of %d", b.name, offset, b.pack.Size)
	}
	if b.at = offset; offset == 0 {
		b.hash.Reset()
		b.hashed = 0
	}
	return b.at, nil
}
