package azure

import (
	"context"
	"io/fs"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"
)

// Acquire leases an object for so long, 15 to 60 seconds, under an id that the caller made up, a UUID. Whose turn it is, and when a lease
// has run out, the service's clock alone decides. It fails with fs.ErrExist while another has the lease, with fs.ErrNotExist when there is no such object. Who
// has the lease may acquire it again.
func (s *Store) Acquire(ctx context.Context, name, id string, d time.Duration) error {
	return s.leasing(ctx, "lease", name, id, func(ctx context.Context, l *lease.BlobClient) error {
		_, err := l.AcquireLease(ctx, int32(d/time.Second), nil)
		return err
	})
}

// Renew has a lease begin anew. It fails with fs.ErrNotExist when it is lost: it ran out and another has it, or the object is gone.
func (s *Store) Renew(ctx context.Context, name, id string) error {
	return s.leasing(ctx, "renew the lease of", name, id, func(ctx context.Context, l *lease.BlobClient) error {
		_, err := l.RenewLease(ctx, nil)
		return err
	})
}

// Release ends a lease. It fails with fs.ErrNotExist when it was lost.
func (s *Store) Release(ctx context.Context, name, id string) error {
	return s.leasing(ctx, "release", name, id, func(ctx context.Context, l *lease.BlobClient) error {
		_, err := l.ReleaseLease(ctx, nil)
		return err
	})
}

// Leases is List, and tells of each object whether somebody has it leased now.
func (s *Store) Leases(ctx context.Context, prefix string, each func(name string, leased bool) error) error {
	return s.list(ctx, prefix, func(name string, item *container.BlobItem) error {
		state := item.Properties.LeaseState
		return each(name, state != nil && (*state == lease.StateTypeLeased || *state == lease.StateTypeBreaking))
	})
}

// leasing makes a request about a lease.
func (s *Store) leasing(ctx context.Context, op, name, id string, ask func(context.Context, *lease.BlobClient) error) error {
	b, err := s.blob(name)
	if err != nil {
		return err
	}
	l, err := lease.NewBlobClient(b, &lease.BlobClientOptions{LeaseID: to.Ptr(id)})
	if err != nil {
		return err
	}
	return s.leased(op, name, s.try(ctx, "lease", func(ctx context.Context) error { return ask(ctx, l) }))
}

// leased turns what the service answered about a lease into the errors that are promised.
func (s *Store) leased(op, name string, err error) error {
	switch {
	case bloberror.HasCode(err, bloberror.LeaseAlreadyPresent):
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	case bloberror.HasCode(err, bloberror.LeaseIDMismatchWithLeaseOperation, bloberror.LeaseNotPresentWithLeaseOperation,
		bloberror.LeaseLost, bloberror.LeaseIsBrokenAndCannotBeRenewed):
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return s.known(op, name, err)
}
