// Package azure keeps a vault in a container of Azure Blob Storage. It is the only package that imports
// that service's SDK.
//
// [Open] opens the store that an [Address] names with a [Credential]. Objects are block blobs under the names of the vault, below the
// address' prefix, and each is created once: every write carries If-None-Match: *. Nothing is ever renamed or overwritten, so immutable
// containers will do, and credentials that may only create.
//
// Errors are told apart in one place, answers from failures, and failures that pass from those that stay; the former are tried again
// in one place, too. See [Options].
package azure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"waybill/internal/durable"
)

// Options say how a store works. The zero value will do.
type Options struct{}

// A Store is a vault.Store in a container. It is safe for concurrent use.
type Store struct {
	address   Address
	container *container.Client
}

// Open returns the store at an address. It asks nothing of the service: whether there is such a container, the first call tells.
func Open(a Address, c Credential, _ Options) (*Store, error) {
	client, err := c.client(a)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", a, err)
	}
	return &Store{a, client}, nil
}

// Create makes an address' container; one that is there already will do.
func Create(ctx context.Context, a Address, c Credential) error {
	client, err := c.client(a)
	if err == nil {
		_, err = client.Create(ctx, nil)
	}
	if err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return fmt.Errorf("making the container of %s: %w", a, err)
	}
	return nil
}

// clientOptions are those of every client: the SDK tries nothing again by itself.
func clientOptions() *container.ClientOptions {
	return &container.ClientOptions{ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}}
}

// Path is the address, for people.
func (s *Store) Path() string { return s.address.String() }

// Close releases nothing: connections are the process's.
func (s *Store) Close() error { return nil }

func (s *Store) blob(name string) (*blockblob.Client, error) {
	if err := durable.CheckName(name); err != nil {
		return nil, err
	}
	return s.container.NewBlockBlobClient(s.address.Prefix + name), nil
}

// Put implements vault.Store.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	b, err := s.blob(name)
	if err != nil {
		return err
	}
	content, err := whole(body)
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	_, err = b.Upload(ctx, streaming.NopCloser(bytes.NewReader(content)), &blockblob.UploadOptions{
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}})
	return known("create", name, err)
}

// whole reads what is left of a body, to its very end: one that finds at its end that it is damaged must not be stored.
func whole(body io.ReadSeeker) ([]byte, error) {
	at, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	end, err := body.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = body.Seek(at, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	b := make([]byte, end-at)
	if _, err := io.ReadFull(body, b); err != nil && err != io.EOF {
		return nil, err
	}
	if _, err := body.Read(make([]byte, 1)); err != io.EOF {
		return nil, errors.Join(err, errors.New("it is not as long as it says"))
	}
	return b, nil
}

// ReadAt implements vault.Store.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	b, err := s.blob(name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	if len(p) == 0 {
		return 0, nil
	}
	r, err := b.DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: off, Count: int64(len(p))}})
	if isPastEnd(err) {
		return 0, io.EOF
	}
	if err != nil {
		return 0, known("read", name, err)
	}
	defer r.Body.Close()
	n, err := io.ReadFull(r.Body, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// Size implements vault.Store.
func (s *Store) Size(ctx context.Context, name string) (int64, error) {
	b, err := s.blob(name)
	if err != nil {
		return 0, err
	}
	r, err := b.GetProperties(ctx, nil)
	if err != nil {
		return 0, known("stat", name, err)
	}
	return *r.ContentLength, nil
}

// List implements vault.Store. What has no name of a vault's is passed over.
func (s *Store) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return s.list(ctx, prefix, func(name string, item *container.BlobItem) error { return each(name, *item.Properties.ContentLength) })
}

func (s *Store) list(ctx context.Context, prefix string, each func(name string, item *container.BlobItem) error) error {
	if durable.CheckName(prefix+"x") != nil {
		return ctx.Err() // no name begins so
	}
	pager := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: to.Ptr(s.address.Prefix + prefix)})
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return known("list", prefix, err)
		}
		for _, item := range page.Segment.BlobItems {
			name := strings.TrimPrefix(*item.Name, s.address.Prefix)
			if durable.CheckName(name) != nil {
				continue
			}
			if err := each(name, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove implements vault.Store.
func (s *Store) Remove(ctx context.Context, name string) error {
	b, err := s.blob(name)
	if err != nil {
		return err
	}
	_, err = b.Delete(ctx, nil)
	return known("remove", name, err)
}
