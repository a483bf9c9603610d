// Package save is the engine's way forward: it turns a selection of the file
// system into packs, a catalogue, and signed commits.
//
// [Run] walks the roots in parallel, compares every entry with the base point's,
// opens only what differs, and commits a recovery point. A long run commits partial
// points on its way (checkpoints), and so does an interrupted one: the next run takes
// such a point as its base and reads nothing again that is durable. Seeding and
// incrementals are the same engine with different destinations.
//
// It does not decide where packs go (see [Destination]) nor which chunks are known (see [Known]), and
// never removes anything.
package save

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/pack/cut"
	"waybill/internal/source"
	"waybill/manifest"
)

// A Destination receives packs and the commits that list them.
type Destination interface {
	// Create opens the place for the next pack.
	Create(class manifest.Class) (pack.Target, error)
	// Publish makes the commit visible: first the signature, then the manifest, created
	// only if that sequence number is not taken. All packs it lists are durable before.
	Publish(ctx context.Context, c Commit) error
}

// Known is the local memory of stored chunks. Committed adds a commit's packs to it.
type Known interface {
	Of(class manifest.Class) pack.Known
	Committed(id manifest.Digest, packs []pack.Finished) error
}

// A Commit is a signed manifest and its exact bytes.
type Commit struct {
	Manifest  *manifest.Manifest
	ID        manifest.Digest // of Bytes: the recovery point's id
	Bytes     []byte
	Signature []byte
}

// A Writer is the machine that commits: its keys and its place in its chain.
type Writer struct {
	Vault, Machine manifest.ID
	Signer         *manifest.Signer
	Recovery       age.Recipient
	Catalogue      age.Recipient
	Dedupe         [32]byte
	Cutter         *cut.Cutter
	Sequence       int             // of the last commit, 0 before the first
	Head           manifest.Digest // the last commit's id
}

// A Base is the point to compare with.
type Base struct {
	ID     manifest.Digest
	Point  *catalog.Point
	Loader catalog.Loader // of its catalogue; safe for concurrent use
	// Lost tells the errors of Loader that say that a node is damaged or gone. What it held is then read again,
	// and the point's reason says so; other errors end the run. Nil: all do.
	Lost func(error) bool
}

// Config says what to save, as whom, and where to. Roots, Writer, Destination, Known and Tool are needed.
type Config struct {
	Roots         []string // absolute; symbolic links in them are followed
	Excludes      []string // patterns of what is left out, see source.Excludes
	Skip          []string // directories never to be entered: state, vault, disks
	OneFileSystem bool
	Writer        Writer
	Root          func() (*source.Dir, error) // opens "/", for trees that are not this system's; nil for its own
	Volumes       []Volume                    // what is known of file systems below the roots; others are scanned
	Mounts        []string                    // where else something is mounted, be it a file or left out: no journal tells of that
	Selection     manifest.Digest             // of all that says what is saved, for the point; see catalog.Point
	Base          *Base                       // nil for a first backup
	Wary          bool                        // take an entry of the base for unchanged only if all that it refers to is stored; see Heal
	Reason        string
	Destination   Destination
	Known         Known
	Tool          string // program and version
	Host          string
	Set           manifest.ID // of the disk set, for a seed
	Disks         func() int  // how many disks the set has by now; nil for a vault

	Level              pack.Level
	DataPack, CataPack int64           // bytes; 0 for the defaults
	Workers            int             // that compress; default one a processor
	Readers            int             // default: as many as Workers; 1 for rotational media
	Lanes, Commits     int             // data packs written at once, and of each lane committed; see pack.Config, as for Adopted
	Adopted            []pack.Finished // durable packs of a run that failed before it could commit them

	// A checkpoint is due after this much new data, time, or number of new chunks,
	// whichever is first; 0 for the defaults of 16 GiB, 10 minutes and 1 million.
	CheckpointBytes  int64
	CheckpointEvery  time.Duration
	CheckpointChunks int

	Progress *Progress
	Now      func() time.Time // the clock; nil for time.Now
}

// Progress counts what a running backup has done; read it at any time.
type Progress struct {
	Files, Bytes       atomic.Int64 // seen, changed or not
	ReadBytes          atomic.Int64
	NewBytes, Problems atomic.Int64
	Checkpoints        atomic.Int64
}

// A Result is the commit that Run ended with.
type Result struct {
	Commit
	Point *catalog.Point
	Packs []manifest.Pack // of all commits of this run
}

// StoredBytes is the size of all packs of the run.
func (r *Result) StoredBytes() (n int64) {
	for _, p := range r.Packs {
		n += p.Size
	}
	return n
}

// Run saves the selection and commits a complete point. When ctx is cancelled it commits
// a partial one of what is done, and returns it with the cause. The result is
// nil when nothing was committed.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	s, err := newSession(ctx, cfg)
	if err != nil {
		return nil, err
	}
	root, err := s.walk(ctx)
	if err == nil {
		err = s.flushAll()
	}
	if err == nil {
		err = s.commit(catalog.Complete, root)
	} else if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) && s.worthKeeping() {
		if cerr := s.checkpoint(); cerr != nil {
			err = fmt.Errorf("%w; and no checkpoint could be made: %w", err, cerr)
		}
	}
	if cerr := s.packs.Close(); err == nil {
		err = cerr
	}
	return s.result, err
}
