// Package azure keeps a vault in a container of Azure Blob Storage. It is the only package that imports
// that service's SDK.
//
// [Open] opens the store that an [Address] names with a [Credential]. Objects are block blobs under the names of the vault, below the
// address' prefix, and each is created once: every write carries If-None-Match: *. Nothing is ever renamed or overwritten, so immutable
// containers will do, versions and soft delete too, and credentials that may only create.
//
// Errors are told apart in one place, errors.go: answers from failures, and failures that pass from those that stay. Those that pass are tried
// again in one place, retry.go, until [Options].Patience is at an end; then, and only then, a call fails with [ErrOutOfReach].
// No error holds a secret.
//
// What the tests can't try, since Azurite hasn't got it - immutable blobs, soft delete, archived blobs that take hours - they try on a transport
// that answers as the documentation says.
package azure

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"waybill/ingest/vault"
	"waybill/internal/durable"
)

// Options say how a store works. The zero value will do.
type Options struct {
	// Patience is how long a request goes on against a line or a service that fails, before it is given up; 0 for DefaultPatience, less for not at all.
	Patience time.Duration
	// Waiting, if set, is told when a request has failed and will be tried again: since when requests have failed, and why this one did; and
	// once one succeeds, with the zero time and nil. It must not block, and is called by many at once.
	Waiting func(since time.Time, err error)
	// Count, if set, is told of every request, by what it is for: put, block, blocks, commit, read, size, list, remove, tier, make, lease.
	Count func(op string)
	// Tier is where new data packs are kept; none is the account's default, which all other objects have: what is read every day must stay quick to read.
	Tier Tier
	// BlockSize and Parallel say how large objects are sent, see blocks.go: 0 for 8 MiB, and 8 blocks at once for the whole store.
	BlockSize, Parallel int
	// Up and Down, if set, limit what is sent and received, of all requests together.
	Up, Down vault.Limiter
	// Transport, if set, is how requests travel; for tests.
	Transport Transport
}

// DefaultPatience is that of Options without one.
const DefaultPatience = 5 * time.Minute

// A Store is a vault.Store in a container. It is safe for concurrent use.
type Store struct {
	address    Address
	credential Credential
	container  *container.Client
	opts       Options
	line       line
	blocks     *blockPool                             // nil when the credential can only create: then every object is one request
	first      time.Duration                          // to wait before the second try
	single     int64                                  // singleSize
	denied     func(now time.Time) string             // why the credential may be refused
	login      func() (azcore.TokenCredential, error) // for the services that read from here; always the same
	idle       func()                                 // closes connections
}

// Open returns the store at an address. It asks nothing of the service: whether there is such a container, the first call tells.
func Open(a Address, c Credential, o Options) (*Store, error) {
	s := &Store{address: a, credential: c, opts: o, first: firstWait, single: singleSize, denied: c.why, idle: func() {}, login: sync.OnceValues(newLogin)}
	if s.opts.Patience == 0 {
		s.opts.Patience = DefaultPatience
	}
	if s.opts.Transport == nil {
		client := newClient()
		s.opts.Transport, s.idle = client, client.CloseIdleConnections
	}
	if o.Up != nil || o.Down != nil {
		s.opts.Transport = limited{s.opts.Transport, o.Up, o.Down}
	}
	if c.canWrite() {
		s.blocks = newBlockPool(o.BlockSize, o.Parallel)
	}
	client, err := c.client(a, clientOptions(a, s.opts.Transport))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", a, err)
	}
	s.container = client
	return s, nil
}

// Create makes an address' container; one that is there already will do.
func Create(ctx context.Context, a Address, c Credential, o Options) error {
	s, err := Open(a, c, o)
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.try(ctx, "make", func(ctx context.Context) error {
		_, err := s.container.Create(ctx, nil)
		return err
	})
	if err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return fmt.Errorf("making the container of %s: %w", a, s.explain(err))
	}
	return nil
}

// clientOptions are those of every client: the SDK tries nothing again by itself.
func clientOptions(a Address, t policy.Transporter) *container.ClientOptions {
	o := &container.ClientOptions{ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}, Transport: t}}
	if a.dataBox() {
		o.PerCallPolicies = append(o.PerCallPolicies, speaks(dataBoxVersion))
	}
	return o
}

// Path is the address, for people.
func (s *Store) Path() string { return s.address.String() }

// Close closes connections that are not in use.
func (s *Store) Close() error {
	s.idle()
	return nil
}

func (s *Store) blob(name string) (*blockblob.Client, error) {
	if err := durable.CheckName(name); err != nil {
		return nil, err
	}
	return s.container.NewBlockBlobClient(s.address.Prefix + name), nil
}
