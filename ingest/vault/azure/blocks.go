package azure

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"io"
	"io/fs"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/minio/crc64nvme"
	"golang.org/x/sync/errgroup"
)

// Large objects, when the credential may write, are sent in blocks, many at once, that one last request makes an object of. Blocks that an
// interrupted Put has left, the next one of the same content takes: a block's id is its place, its size and its checksum, so that it can't be
// another's. The service keeps blocks that nobody made an object of for a week.

// The sizes that Options leave open.
const (
	defaultBlock    = 8 << 20
	defaultParallel = 8
)

// A blockPool is the memory for blocks of a store: all Puts share it, and so never hold more.
type blockPool struct {
	size int
	free chan []byte // as many as there may be; nil for one that has no memory yet
}

func newBlockPool(size, parallel int) *blockPool {
	if size == 0 {
		size = defaultBlock
	}
	if parallel == 0 {
		parallel = defaultParallel
	}
	p := &blockPool{size, make(chan []byte, parallel)}
	for range parallel {
		p.free <- nil
	}
	return p
}

func (p *blockPool) take(ctx context.Context) ([]byte, error) {
	select {
	case b := <-p.free:
		if b == nil {
			b = make([]byte, p.size)
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// blockID is a block's id; all have the same length, as they must.
func blockID(place int, size int, crc uint64) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(place))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, crc))
}

// refusesBlocks tells that a Put must be one request after all: the credential may not write, or somebody left blocks there with ids of another
// length, which can't be mixed with ours, or ours are gone, since somebody else made an object of them or instead of them.
func refusesBlocks(err error) bool {
	return forbidden(err) || bloberror.HasCode(err, bloberror.InvalidBlobOrBlock, bloberror.InvalidBlockList)
}

// inBlocks sends the object in blocks.
func (p *put) inBlocks(ctx context.Context, c *content) error {
	staged, err := p.staged(ctx)
	if err != nil {
		return err
	}
	ids, err := p.stage(ctx, c, staged)
	if err != nil {
		return err
	}
	return p.create(ctx, "commit", func(ctx context.Context) error {
		_, err := p.blob.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{AccessConditions: p.once, Metadata: p.metadata(), Tier: p.tier(),
			HTTPHeaders: &blob.HTTPHeaders{BlobContentMD5: p.about.MD5}})
		return err
	})
}

// staged returns the ids of the blocks that are there. If there is an object it fails with fs.ErrExist.
func (p *put) staged(ctx context.Context) (map[string]bool, error) {
	var r blockblob.GetBlockListResponse
	err := p.try(ctx, "blocks", func(ctx context.Context) (err error) {
		r, err = p.blob.GetBlockList(ctx, blockblob.BlockListTypeUncommitted, nil)
		return err
	})
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if there, _, err := p.look(ctx); err != nil {
		return nil, err
	} else if there {
		return nil, fs.ErrExist
	}
	ids := map[string]bool{}
	for _, b := range r.UncommittedBlocks {
		ids[*b.Name] = true
	}
	return ids, nil
}

// stage sends the blocks that aren't there, and returns the ids of all. It has read the body to its end, and knows its MD5.
func (p *put) stage(ctx context.Context, c *content, staged map[string]bool) (ids []string, err error) {
	var sum hash.Hash
	if p.about.MD5 == nil {
		sum = md5.New()
	}
	g, gctx := errgroup.WithContext(ctx)
	for sent := int64(0); sent < c.size && err == nil; {
		var id string
		var block []byte
		if block, err = p.cut(gctx, c, sum); err != nil {
			break
		}
		sent += int64(len(block))
		crc := crc64nvme.Checksum(block)
		id = blockID(len(ids), len(block), crc)
		if ids = append(ids, id); staged[id] {
			p.blocks.free <- block[:p.blocks.size]
			continue
		}
		g.Go(func() error {
			defer func() { p.blocks.free <- block[:p.blocks.size] }()
			return p.send(gctx, id, block, crc)
		})
	}
	if serr := g.Wait(); c.failure() == nil && serr != nil {
		return nil, serr
	}
	if err == nil && sum != nil {
		p.about.MD5 = sum.Sum(nil)
	}
	return ids, err
}

// cut reads the next block.
func (p *put) cut(ctx context.Context, c *content, sum hash.Hash) ([]byte, error) {
	block, err := p.blocks.take(ctx)
	if err != nil {
		return nil, err
	}
	n, err := io.ReadFull(c, block)
	if err != nil && err != io.ErrUnexpectedEOF {
		p.blocks.free <- block
		return nil, bodyError{err}
	}
	if sum != nil {
		sum.Write(block[:n])
	}
	return block[:n], nil
}

// send sends one block.
func (p *put) send(ctx context.Context, id string, block []byte, crc uint64) error {
	return p.try(ctx, "block", func(ctx context.Context) error {
		c := newBlock(ctx, block)
		_, err := p.blob.StageBlock(ctx, id, c, &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeCRC64(crc)})
		c.Close() // before its memory is another's
		return err
	})
}
