package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// ReadAt implements vault.Store: one request, and when it breaks off, others for the rest.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	b, err := s.blob(name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	return s.readAt(ctx, b, name, p, off)
}

func (s *Store) readAt(ctx context.Context, b *blockblob.Client, name string, p []byte, off int64) (int, error) {
	got, size := 0, int64(-1)
	for got < len(p) && (size < 0 || off+int64(got) < size) {
		var n int
		err := s.try(ctx, "read", func(ctx context.Context) (err error) {
			n, size, err = readRange(ctx, b, p[got:], off+int64(got))
			return err
		})
		if isPastEnd(err) {
			break
		}
		if err != nil {
			return got, s.known("read", name, err)
		}
		got += n
	}
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

// readRange makes one request, and returns how much of p it has filled, and how long the whole object is. Less than there is to be had
// is an error only when it is nothing.
func readRange(ctx context.Context, b *blockblob.Client, p []byte, off int64) (n int, size int64, err error) {
	r, err := b.DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: off, Count: int64(len(p))}})
	if err != nil {
		return 0, -1, err
	}
	defer r.Body.Close()
	if size, err = wholeSize(r.ContentRange, off); err != nil {
		return 0, -1, err
	}
	n, err = io.ReadFull(r.Body, p[:min(int64(len(p)), size-off)])
	if n > 0 || err == nil {
		return n, size, nil // if it broke off, the next request finds out what is wrong with the line
	}
	if errors.Is(err, io.EOF) {
		err = errShort
	}
	return 0, -1, err
}

// wholeSize takes the size of the object from the description of a part: bytes 0-9/200.
func wholeSize(contentRange *string, off int64) (int64, error) {
	if contentRange == nil {
		return 0, errors.New("the answer doesn't say which part it is")
	}
	part, whole, _ := strings.Cut(*contentRange, "/")
	size, err := strconv.ParseInt(whole, 10, 64)
	if !strings.HasPrefix(part, fmt.Sprintf("bytes %d-", off)) || err != nil || size < off {
		return 0, fmt.Errorf("the answer is of another part: %q", *contentRange)
	}
	return size, nil
}

var errNoLength = errors.New("the answer doesn't say how long it is")

// Size implements vault.Store.
func (s *Store) Size(ctx context.Context, name string) (int64, error) {
	b, err := s.blob(name)
	if err != nil {
		return 0, err
	}
	r, err := s.properties(ctx, b)
	if err == nil && r.ContentLength == nil {
		err = errNoLength
	}
	if err != nil {
		return 0, s.known("stat", name, err)
	}
	return *r.ContentLength, nil
}

func (s *Store) properties(ctx context.Context, b *blockblob.Client) (r blob.GetPropertiesResponse, err error) {
	err = s.try(ctx, "size", func(ctx context.Context) error {
		r, err = b.GetProperties(ctx, nil)
		return err
	})
	return r, err
}

// Remove implements vault.Store. When an answer was lost and then there is no such object, it has been removed, or never was there. Where the container keeps what is deleted, for some days or as a version, so it is.
func (s *Store) Remove(ctx context.Context, name string) error {
	b, err := s.blob(name)
	if err != nil {
		return err
	}
	maybe := false // done in an attempt whose answer was lost
	err = s.try(ctx, "remove", func(ctx context.Context) error {
		_, err := b.Delete(ctx, nil)
		if maybe && missing(err) {
			return nil
		}
		maybe = maybe || passes(err)
		return err
	})
	return s.known("remove", name, err)
}
