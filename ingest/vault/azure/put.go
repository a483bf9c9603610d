package azure

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"waybill/ingest/vault"
)

// marker is the name of a blob's metadata that says which Put made it: a text drawn by lot.
const marker = "waybillput"

// singleSize is up to which size an object is always sent as one request. Up to most it can be.
const (
	singleSize = 100 << 20
	most       = 5000 << 20
)

// A put is an object on its way.
type put struct {
	*Store
	name   string
	blob   *blockblob.Client
	about  vault.About
	marker string
	once   *blob.AccessConditions // nil for one that replaces
	// maybe is set once a request that creates the object has failed without an answer: perhaps it was done. When
	// the object then exists, its marker tells whose it is.
	maybe bool
}

// Put implements vault.Store. An object that is created by this Put in an attempt whose answer was lost is this Put's: it succeeds. An object
// that another has created meanwhile, of whatever content, or that was there before, is fs.ErrExist.
//
// What the service gets it compares with a checksum of what was sent. Where the body says its MD5, see vault.Describe, nothing has to be read
// twice.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	p, end, err := s.newPut(ctx, name, body)
	if err != nil {
		return err
	}
	defer end()
	p.once = ifNew
	c, err := newContent(ctx, body)
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	defer c.Close()
	if c.size > p.single && s.blocks != nil {
		err = p.inBlocks(ctx, c)
		if !refusesBlocks(err) {
			return p.verdict(ctx, err)
		}
		if c, err = c.again(); err != nil {
			return fmt.Errorf("creating %s: %w", name, err)
		}
		defer c.Close()
	}
	if c.size > most {
		return fmt.Errorf("creating %s: %d bytes need a credential that may write, since one that can only create sends at most %d", name, c.size, int64(most))
	}
	return p.verdict(ctx, p.whole(ctx, c))
}

// PutOver is Put in the place of whatever has the name. Until the whole content is there, and when body fails, that stays. It is no method of a vault's store, and takes a
// credential that may write; where that is refused, or a policy or the archive keeps what is there, it fails with fs.ErrPermission.
func (s *Store) PutOver(ctx context.Context, name string, body io.ReadSeeker) error {
	p, end, err := s.newPut(ctx, name, body)
	if err != nil {
		return err
	}
	defer end()
	c, err := newContent(ctx, body)
	if err != nil {
		return fmt.Errorf("replacing %s: %w", name, err)
	}
	defer c.Close()
	if c.size > most {
		return fmt.Errorf("replacing %s: %d bytes are more than the %d of one request", name, c.size, int64(most))
	}
	err = p.whole(ctx, c)
	if known := s.known("replace", name, err); exists(err) && !errors.Is(known, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", fs.ErrPermission, known)
	} else {
		return known
	}
}

// newPut begins to send an object. The caller calls end when it was sent.
func (s *Store) newPut(ctx context.Context, name string, body io.ReadSeeker) (p *put, end func(), err error) {
	b, err := s.blob(name)
	if err != nil {
		return nil, nil, err
	}
	if end, err = s.begin(ctx); err != nil {
		return nil, nil, fmt.Errorf("sending %s: %w", name, err)
	}
	return &put{Store: s, name: name, blob: b, about: vault.Describe(body), marker: rand.Text()}, end, nil
}

// whole sends the object as one request.
func (p *put) whole(ctx context.Context, c *content) error {
	if p.about.MD5 == nil || c.size == 0 { // nobody would read what is behind nothing
		hash := md5.New()
		if _, err := io.Copy(hash, c); err != nil {
			return bodyError{err}
		}
		p.about.MD5 = hash.Sum(nil)
	}
	defer func() { c.Close() }()
	return p.create(ctx, "put", func(ctx context.Context) (err error) {
		if c, err = c.again(); err != nil {
			return bodyError{err}
		}
		_, err = p.blob.Upload(ctx, c, &blockblob.UploadOptions{AccessConditions: p.once, Metadata: p.metadata(), Tier: p.tier(),
			HTTPHeaders: &blob.HTTPHeaders{BlobContentMD5: p.about.MD5}})
		c.Close()
		if failure := c.failure(); failure != nil {
			return failure
		}
		return err
	})
}

// create makes a request that creates the object, and keeps in mind when it may have been done without an answer.
func (p *put) create(ctx context.Context, op string, attempt func(context.Context) error) error {
	return p.try(ctx, op, func(ctx context.Context) error {
		err := attempt(ctx)
		p.maybe = p.maybe || passes(err) && !isSpoilt(err)
		return err
	})
}

// verdict is what Put returns. Before it says that the object is there it has seen it: a credential that may only create is told of an object
// that is there what it is told of all that it may not do, and some servers take blocks that nobody made an object of for one.
func (p *put) verdict(ctx context.Context, err error) error {
	there := &fs.PathError{Op: "create", Path: p.name, Err: fs.ErrExist}
	switch {
	case errors.Is(err, fs.ErrExist):
		return there
	case !exists(err) && !forbidden(err):
		return p.known("create", p.name, err)
	}
	seen, own, serr := p.look(ctx)
	switch {
	case serr != nil:
		return p.known("create", p.name, serr)
	case own:
		return nil
	case seen:
		return there
	case exists(err):
		return fmt.Errorf("creating %s: it isn't there, but the service doesn't take it: parts of one may be that somebody has begun to send; they go by themselves within a week", p.name)
	}
	return p.known("create", p.name, err)
}

// look finds out whether the object is there, and whether this Put has made it.
func (p *put) look(ctx context.Context) (there, own bool, err error) {
	r, err := p.properties(ctx, p.blob)
	if missing(err) {
		return false, false, nil
	}
	for name, value := range r.Metadata { // servers differ in how they write names
		own = own || strings.EqualFold(name, marker) && value != nil && *value == p.marker
	}
	return err == nil, own && p.maybe, err
}

func (p *put) metadata() map[string]*string { return map[string]*string{marker: to.Ptr(p.marker)} }

// tier is where the object is kept.
func (p *put) tier() *blob.AccessTier {
	if !p.about.Data {
		return nil
	}
	return p.opts.Tier.access()
}

// ifNew lets a request create, and never replace.
var ifNew = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
