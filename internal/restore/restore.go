// Package restore is the way back: it turns a recovery point, or a selection of it, into
// files again, and checks that all of them could be.
//
//	report, err := restore.Run(ctx, domain, point, restore.Options{To: "/srv/back"})
//
// restores below /srv/back with full paths from the point's root: /srv/back/usr/share/...
// [Check] opens everything without writing anything.
//
// # How
//
// A planner walks the catalogue, makes the directories, and collects entries into batches of
// bounded size, so that a restore of any size is never planned as a whole. A batch sorts the chunks its files need by
// pack and frame; workers read each frame once, verify every chunk by its hash, and write to
// wherever the batch wants it. Over a network, neighbouring frames are fetched together, and many such stretches at once, ahead of the workers. A file that lies in one frame is made in one go; a larger
// one is filled out of order and finished by whoever brings its last piece. Holes stay holes.
//
// # Never outside, never half
//
// A catalogue is read like a stranger's: every operation names one entry of a directory that
// is held open as an [os.Root], or as the descriptor under it, and follows no link. A name that
// could lead elsewhere is refused; so are names twice or out of order.
//
// Content is written to a temporary name (.waybill-, eight digits of the point, a number) beside its
// final one, and renamed when content and metadata are complete. Directories get their
// metadata last, from the bottom up, and can be entered by nobody else before that.
//
// # Going on
//
// While a restore is not complete, a small file .waybill-restore-... in the target names
// its point and when it began; see ledger. When the same point is restored into the same target
// again, what was born there since then, in the place of an entry and with its type, size and mtime, is that
// entry, and not fetched again. Leftovers with temporary names are removed.
// A file interrupted in the middle begins anew.
//
// # Differences between systems
//
// All of it works on Linux. What NTFS has of an entry (attributes system.ntfs_*) is set there where the target takes it, as ntfs-3g
// does; else the entry is counted as Report.Unkept.
//
// On Windows a drive, C:, becomes a directory C. Attributes, creation times, security descriptors, reparse points, EAs and streams
// are restored; owners are for whoever may restore (SeRestorePrivilege). Entries of other systems have their permissions as read-only or
// not, and no owners. Files encrypted by Windows come back in the clear.
//
// Elsewhere files, directories, symbolic and hard links, permissions and times are restored; owners, extended attributes,
// fifos, sockets and devices are not. On systems other than Linux an interrupted restore recognises what is complete by type, size and mtime alone.
//
// What the target itself (To) is like is never changed, whatever the point says of "/".
package restore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"waybill/internal/catalog"
	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/internal/pack/index"
	"waybill/manifest"
)

// A Source is what is restored from: the methods of [domain.Domain] that it takes.
type Source interface {
	catalog.Loader
	domain.Frames
	Far() bool // over a network: frames are to be fetched in stretches
	Gather(ctx context.Context, p *domain.Point) error
	Fetch(ctx context.Context, s domain.Stretch) (*domain.Fetched, error)
	CoverData(ctx context.Context) (missing []manifest.Digest, err error)
	Rebuild(ctx context.Context) (missing []manifest.Digest, err error)
	Locate(id pack.ID) (index.Loc, bool)
	Chunk(id pack.ID, frame []byte, loc index.Loc) ([]byte, error)
}

// Options say what to restore, and where to. Only To is needed.
type Options struct {
	To       string   // a directory, made if it isn't there
	Paths    [][]byte // absolute paths as the point has them; none for everything
	Conflict Conflict
	Owners   Owners
	Workers  int // default: one a processor
	Progress *Progress
}

// A Conflict mode decides about an entry whose name exists in the target. Directories are
// merged in all modes.
type Conflict uint8

// The modes.
const (
	Copy      Conflict = iota // keep both: the restored one is numbered, "name (restored 1).ext"
	Overwrite                 // replace it; also a directory's metadata. What holds a directory that isn't empty stays
	Skip                      // leave it
	Fail                      // ErrConflict, before anything is written if it can be seen by then
)

// Owners decides who owns what is restored.
type Owners uint8

// The ways to set owners.
const (
	OwnersAuto Owners = iota // by number for root, not at all for others
	OwnersByNumber
	OwnersByName // who has the name the point tells; by number if nobody has
	OwnersNone
)

// Progress counts what a run has done; read it at any time.
type Progress struct {
	Entries, Bytes atomic.Int64 // done, whatever became of them
}

// Errors of Run and Check. Those that end a restore halfway leave it to be gone on with.
var (
	// ErrConflict says that something is in the way, in mode Fail.
	ErrConflict = errors.New("something is in the way")
	// ErrFull says that the target's file system is full.
	ErrFull = errors.New("no space left in the target")
	// ErrBusy says that another restore of the same point into the same target is running.
	ErrBusy = errors.New("the same restore is running already")
	// ErrDamagedParts says that parts of the vault are damaged or missing; the report lists what they were needed for.
	ErrDamagedParts = errors.New("parts of the backup are damaged or missing")
	// ErrNotAll says that some entries could not be made in the target; the report lists them.
	ErrNotAll = errors.New("some entries could not be restored")
)

// Run restores. Whatever can be restored is, also when parts are damaged; then the error is
// ErrDamagedParts. The report is nil only when nothing was begun. When ctx is cancelled or the target is full, Run
// stops; called again, it goes on.
func Run(ctx context.Context, src Source, point *domain.Point, opts Options) (*Report, error) {
	r, err := begin(ctx, src, point, opts)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.ledger.forget(r.target))
	}
	err = r.all(ctx)
	r.report.Unkept = r.manner.unkept.Load()
	if err != nil {
		r.abandon()
		return &r.report.Report, err
	}
	return &r.report.Report, r.finish()
}

// prepare does what comes before anything is written.
func (r *run) prepare(ctx context.Context) (err error) {
	if r.report.Missing, err = r.src.CoverData(ctx); err != nil {
		return err
	}
	if r.selected.all() {
		if err := r.src.Gather(ctx, r.point); err != nil {
			return err
		}
	}
	if r.opts.Conflict == Fail {
		return r.lookAhead(ctx)
	}
	return nil
}

// all plans and works until everything is done.
func (r *run) all(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	q := &queue{batches: make(chan *batch)}
	next := q.next
	if r.src.Far() {
		next = r.ahead(ctx, g, q)
	}
	g.Go(func() error {
		defer close(q.batches)
		return newPlanner(r, q).plan(ctx)
	})
	for range r.opts.Workers {
		w := &worker{run: r, ctx: ctx, checked: map[uint32]bool{}}
		g.Go(func() error { return w.work(next) })
	}
	return g.Wait()
}

// A run is one restore. What it holds is safe for concurrent use.
type run struct {
	src      Source
	opts     Options
	point    *domain.Point
	selected *selection
	manner   *manner
	report   reporter
	locator  locator
	target   *handle
	top      *dir
	ledger   *ledger
	dirs     openSet[*handle]
	files    openSet[output]
	filling  registry
	links    links
	prefix   string       // of temporary names
	temps    atomic.Int64 // the number of the last
}

// begin checks what is asked for, and opens the target.
func begin(ctx context.Context, src Source, point *domain.Point, opts Options) (*run, error) {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.Progress == nil {
		opts.Progress = new(Progress)
	}
	r := &run{src: src, opts: opts, point: point, locator: locator{src: src}, prefix: fmt.Sprintf(".waybill-%.8s-", point.Digest)}
	r.dirs.limit, r.files.limit = 192, 64
	var err error
	if r.selected, err = selectPaths(ctx, src, point, opts.Paths); err != nil {
		return nil, err
	}
	r.manner = newManner(opts.Owners, point.Users, point.Groups)
	if r.target, err = openTarget(opts.To); err != nil {
		return nil, fmt.Errorf("opening the target: %w", err)
	}
	if r.ledger, err = openLedger(r.target, point.Digest); err != nil {
		r.target.Close()
		return nil, err
	}
	r.top = &dir{}
	return r, nil
}

// finish ends a run that came to its end.
func (r *run) finish() error {
	if err := r.report.outcome(); err != nil {
		return err // the ledger stays: once the missing parts are there, the rest can be had
	}
	return r.ledger.done(r.target)
}

// abandon removes what the run leaves half made; the next run would.
func (r *run) abandon() {
	for _, f := range r.filling.all() {
		r.drop(f)
	}
	r.report.settle()
}

func (r *run) close() {
	r.files.close()
	r.dirs.close()
	r.ledger.close()
	r.target.Close()
}
