package azure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"waybill/internal/durable"
)

// Checksums is List with each object's Content-MD5, nil where there is none. Whoever uploaded the object said so: the service has compared it with the content only where that
// came in one request.
func (s *Store) Checksums(ctx context.Context, prefix string, each func(name string, size int64, md5 []byte) error) error {
	if durable.CheckName(prefix+"x") != nil {
		return ctx.Err() // no name begins so
	}
	return s.eachBlob(ctx, prefix, func(name string, size int64, md5 []byte) error {
		if durable.CheckName(name) != nil {
			return nil
		}
		return each(name, size, md5)
	})
}

// Checksum is Size with the object's Content-MD5.
func (s *Store) Checksum(ctx context.Context, name string) (size int64, md5 []byte, err error) {
	b, err := s.blob(name)
	if err != nil {
		return 0, nil, err
	}
	r, err := s.properties(ctx, b)
	if err == nil && r.ContentLength == nil {
		err = errors.New("the answer doesn't say how long it is")
	}
	if err != nil {
		return 0, nil, s.known("stat", name, err)
	}
	return *r.ContentLength, r.ContentMD5, nil
}

// Strays calls each with all blobs whose names begin with prefix, below the address' prefix, and are none that a vault's object may have: carriers
// rename what they don't like.
func (s *Store) Strays(ctx context.Context, prefix string, each func(name string, size int64, md5 []byte) error) error {
	return s.eachBlob(ctx, prefix, func(name string, size int64, md5 []byte) error {
		if durable.CheckName(name) == nil {
			return nil
		}
		return each(name, size, md5)
	})
}

// ReadStray is ReadAt on what Strays found.
func (s *Store) ReadStray(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n := 0
	err := s.try(ctx, "read", func(ctx context.Context) error {
		r, err := s.container.NewBlobClient(s.address.Prefix+name).DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: off, Count: int64(len(p))}})
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.ContentLength == nil {
			return errors.New("the answer doesn't say how long it is")
		}
		n, err = io.ReadFull(r.Body, p[:min(int64(len(p)), *r.ContentLength)])
		if errors.Is(err, io.EOF) {
			err = errShort
		}
		return err
	})
	switch {
	case isPastEnd(err):
		return 0, io.EOF
	case err != nil:
		return 0, s.known("read", name, err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// Overwrite puts b in the place of whatever has the name: for the few files of a disk that change. It is no method of a vault's store, and takes a credential that may write.
func (s *Store) Overwrite(ctx context.Context, name string, content []byte) error {
	b, err := s.blob(name)
	if err != nil {
		return err
	}
	err = s.try(ctx, "put", func(ctx context.Context) error {
		_, err := b.Upload(ctx, streaming.NopCloser(bytes.NewReader(content)), nil)
		return err
	})
	return s.known("overwrite", name, err)
}

// eachBlob lists whatever there is.
func (s *Store) eachBlob(ctx context.Context, prefix string, each func(name string, size int64, md5 []byte) error) error {
	pager := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: to.Ptr(s.address.Prefix + prefix)})
	for pager.More() {
		var page container.ListBlobsFlatResponse
		err := s.try(ctx, "list", func(ctx context.Context) (err error) {
			page, err = pager.NextPage(ctx)
			return err
		})
		if err != nil {
			return s.known("list", s.whole(prefix), err)
		}
		for _, item := range page.Segment.BlobItems {
			if err := each(strings.TrimPrefix(*item.Name, s.address.Prefix), *item.Properties.ContentLength, item.Properties.ContentMD5); err != nil {
				return err
			}
		}
	}
	return nil
}
