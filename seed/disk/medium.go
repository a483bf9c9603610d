package disk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"

	"waybill/internal/durable"
	"waybill/manifest"
)

// A Medium is what a disk's tree is on: a directory, or a container of blobs. It is safe for concurrent use.
type Medium interface {
	manifest.Reader
	Put(ctx context.Context, name string, body io.ReadSeeker) error // creates once, or fails with fs.ErrExist
	Remove(ctx context.Context, name string) error
	Replace(name string, b []byte) error        // in place of whatever has the name
	CreateSized(size int64) (File, error)       // of at most size bytes; Free counts it as used until it is done
	OpenUncached(name string) (Uncached, error) // for reading what is really there
	Sweep() error                               // away with what writers left that are dead
	Free() (int64, error)                       // bytes; Boundless where nobody knows
	Usable() error                              // ErrForeign when it holds anything, but what file systems put there
	Rotating() bool                             // best read by one
	Path() string                               // for people
	Close() error
}

// Boundless is how much room there is where nobody can ask.
const Boundless = math.MaxInt64 / 4

// A File is being written, and not visible before it is committed.
type File interface {
	io.Writer
	Commit(name string) error
	Abort()
}

// Uncached is a file being read from the medium.
type Uncached interface {
	io.ReadCloser
	io.ReaderAt
}

// Directory is the medium in a directory, which must exist.
func Directory(path string) (Medium, error) {
	d, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a disk: %w", err)
	}
	return &directory{d}, nil
}

type directory struct{ *durable.Dir }

func (d *directory) CreateSized(size int64) (File, error) {
	f, err := d.Dir.CreateSized(size)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *directory) OpenUncached(name string) (Uncached, error) {
	f, err := d.Dir.OpenUncached(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *directory) Usable() error { return Usable(d.Path()) }

// Blobs is a store in which a name may be written anew.
type Blobs interface {
	manifest.Store
	Remove(ctx context.Context, name string) error
	PutOver(ctx context.Context, name string, body io.ReadSeeker) error // in place of whatever has the name, at one blow
	Path() string
	Close() error
}

// MaxBlobPack is how large packs may be in a container: each is held in memory until it has its name.
const MaxBlobPack = 64 << 20

// Container is the medium in a container, such as a Data Box has behind its blob endpoint. Its limits: nobody can ask it for its room, so it is full when it says so; files are
// held in memory until they are whole; and what is read back is what the service gives.
func Container(s Blobs) Medium { return &blobs{s} }

type blobs struct{ Blobs }

func (b *blobs) Replace(name string, p []byte) error {
	return b.PutOver(context.Background(), name, bytes.NewReader(p))
}

func (b *blobs) CreateSized(size int64) (File, error) {
	return &blobFile{to: b, content: make([]byte, 0, min(size, MaxBlobPack))}, nil
}

func (b *blobs) OpenUncached(name string) (Uncached, error) {
	size, err := b.Size(context.Background(), name)
	if err != nil {
		return nil, err
	}
	return blobReader{io.NewSectionReader(blobAt{b, name}, 0, size)}, nil
}

func (b *blobs) Sweep() error         { return nil }
func (b *blobs) Free() (int64, error) { return Boundless, nil }
func (b *blobs) Rotating() bool       { return false }

// Remote tells that each request takes a round trip.
func (b *blobs) Remote() bool { return true }

func (b *blobs) Usable() error {
	return b.List(context.Background(), "", func(name string, _ int64) error {
		return fmt.Errorf("beginning a disk in %s: %w: it holds %q and perhaps more; use an empty container or prefix", b.Path(), ErrForeign, name)
	})
}

// A blobFile gathers a file.
type blobFile struct {
	to      *blobs
	content []byte
	pack    *manifest.Pack // that it is; nil for another file
}

// CommitPack commits a file that is a pack. A medium that makes something of that is told.
func CommitPack(f File, name string, p manifest.Pack) error {
	if b, ok := f.(*blobFile); ok {
		b.pack = &p
	}
	return f.Commit(name)
}

func (f *blobFile) Write(p []byte) (int, error) {
	f.content = append(f.content, p...)
	return len(p), nil
}

func (f *blobFile) Commit(name string) error {
	defer f.Abort()
	var body io.ReadSeeker = bytes.NewReader(f.content)
	if f.pack != nil {
		body = f.pack.Body(body)
	}
	return f.to.Put(context.Background(), name, body)
}

func (f *blobFile) Abort() { f.content = nil }

// A blobAt reads a blob.
type blobAt struct {
	from *blobs
	name string
}

func (b blobAt) ReadAt(p []byte, off int64) (int, error) {
	return b.from.Blobs.ReadAt(context.Background(), b.name, p, off)
}

type blobReader struct{ *io.SectionReader }

// Close implements io.Closer.
func (blobReader) Close() error { return nil }
