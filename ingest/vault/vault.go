// Package vault is where backups live: stores in which objects are created once.
//
// [Dir] is a vault in a local directory. [Limit] keeps the traffic with any store below a rate. Every store
// has the methods of [Store]; whoever uses one declares the few it needs as an interface
// of its own, so that the interface it asks for is the permission it has. Package vaulttest has the test that all
// stores pass.
//
// The package gives no meaning to names beyond their form, and none to content.
package vault

import (
	"context"
	"fmt"
	"io"
	"os"

	"waybill/internal/durable"
)

// A Store holds objects under names of the form of manifest/FORMAT.md section 1; any other fails with fs.ErrInvalid.
// It is safe for concurrent use, by several processes too.
type Store interface {
	// Put creates an object of what body holds from where it is to its end. It is atomic, and durable on return. When the name
	// exists it fails with fs.ErrExist and nothing has changed. After any other error the object is there as a whole, or not at all.
	Put(ctx context.Context, name string, body io.ReadSeeker) error
	// ReadAt is io.ReaderAt's on the object; fs.ErrNotExist when there is none.
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	// Size is the object's size in bytes; fs.ErrNotExist when there is none.
	Size(ctx context.Context, name string) (int64, error)
	// List calls each with all objects whose names begin with prefix, in ascending order. None is no error. It stops at each's first error, and returns it.
	List(ctx context.Context, prefix string, each func(name string, size int64) error) error
	// Remove removes an object for good; fs.ErrNotExist when there is none.
	Remove(ctx context.Context, name string) error
}

// A Hierarchy is a store that can list a tree level by level, so that somebody who looks for machines need not be told of all
// their packs. Every Store should be one; it is an interface of its own so that a wrapper or a fake may do without, at the price of listing everything.
type Hierarchy interface {
	// Level calls each with what is directly below prefix, which is empty or ends with a slash, in ascending order: objects, by
	// their whole name and with their size; and all objects that are deeper once for each next part of their names, by the name up to
	// the slash behind that part, inclusive, with the size -1. None is no error; a store that has directories may name one that holds
	// no object. It stops at each's first error, and returns it. A far store takes one request for some thousand of them, however many objects are below: a
	// listing by delimiter.
	Level(ctx context.Context, prefix string, each func(name string, size int64) error) error
}

// About is what a body tells of the object it will be, for stores that can use it: see Describe.
type About struct {
	MD5  []byte // of the whole body; nil when nobody has computed it
	Data bool   // it is a data pack, which nobody reads but to restore: it may be kept where keeping costs less and reading more
}

// Describe asks a body of Put what it will be. It answers by a method DescribeObject, which manifest.Pack.Body gives it, with an MD5 of zero when it
// doesn't know it. Most bodies have none.
func Describe(body io.ReadSeeker) About {
	b, ok := body.(interface {
		DescribeObject() (md5 [16]byte, data bool)
	})
	if !ok {
		return About{}
	}
	sum, data := b.DescribeObject()
	if sum == [16]byte{} {
		return About{Data: data}
	}
	return About{sum[:], data}
}

// A Dir is a vault in a local directory.
type Dir struct{ *durable.Dir }

// Open opens a vault's directory, which must exist.
func Open(path string) (*Dir, error) {
	d, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	return &Dir{d}, nil
}

// Create makes the directory of a new vault, for its owner's eyes only; one that exists must be empty.
func Create(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("creating the vault: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("creating the vault: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("creating the vault: %s is not empty", path)
	}
	return Open(path)
}
