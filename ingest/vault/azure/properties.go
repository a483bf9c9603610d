package azure

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"waybill/internal/durable"
)

// Checksums is List with each object's Content-MD5, nil where there is none. Whoever uploaded the object said so: the service has compared it with the content only where that
// came in one request.
func (s *Store) Checksums(ctx context.Context, prefix string, each func(name string, size int64, md5 []byte) error) error {
	return s.list(ctx, prefix, func(name string, item *container.BlobItem) error { return each(name, sizeOf(item), sumOf(item)) })
}

func sumOf(item *container.BlobItem) []byte {
	if item.Properties == nil {
		return nil
	}
	return item.Properties.ContentMD5
}

// Checksum is Size with the object's Content-MD5.
func (s *Store) Checksum(ctx context.Context, name string) (size int64, md5 []byte, err error) {
	b, err := s.blob(name)
	if err != nil {
		return 0, nil, err
	}
	r, err := s.properties(ctx, b)
	if err == nil && r.ContentLength == nil {
		err = errNoLength
	}
	if err != nil {
		return 0, nil, s.known("stat", name, err)
	}
	return *r.ContentLength, r.ContentMD5, nil
}

// Strays calls each with all blobs whose names begin with prefix, below the address' prefix, and are none that a vault's object may have: carriers
// rename what they don't like.
func (s *Store) Strays(ctx context.Context, prefix string, each func(name string, size int64, md5 []byte) error) error {
	return s.flat(ctx, prefix, func(name string, item *container.BlobItem) error {
		if durable.CheckName(name) == nil {
			return nil
		}
		return each(name, sizeOf(item), sumOf(item))
	})
}

// ReadStray is ReadAt on what Strays found.
func (s *Store) ReadStray(ctx context.Context, name string, p []byte, off int64) (int, error) {
	return s.readAt(ctx, s.container.NewBlockBlobClient(s.address.Prefix+name), name, p, off)
}
