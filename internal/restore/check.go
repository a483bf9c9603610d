package restore

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"waybill/internal/domain"
	"waybill/internal/pack"
	"waybill/manifest"
)

// CheckOptions say how thorough a check is. Dedupe is needed.
type CheckOptions struct {
	Dedupe    [32]byte // the domain's key for chunk ids
	Reachable bool     // only the frames that the given points need, instead of every pack of the chain
	Workers   int      // default: one a processor
	Progress  *CheckProgress
}

// CheckProgress counts what a check has done; read it at any time.
type CheckProgress struct {
	Bytes, TotalBytes atomic.Int64 // of packs; the total is known once it begins to read them
	Frames            atomic.Int64
}

// A CheckReport is what a check saw. Of affected entries it lists MaxProblems at most, and counts all.
type CheckReport struct {
	Packs, Frames, Chunks int64
	PlainBytes            int64 // of the frames
	Entries               int64 // looked at; what points share counts once, if memory allows

	Damaged       []PackProblem
	Missing       []manifest.Digest // packs that no store has
	Affected      []Affected
	AffectedCount int64
}

// A PackProblem is what is wrong with a pack.
type PackProblem struct {
	Pack    manifest.Digest `json:"pack"`
	Frames  int             `json:"frames"` // damaged ones, 0 when it can't be opened at all
	Problem string          `json:"problem"`
}

// Affected is an entry that can't be restored as it was.
type Affected struct {
	Point manifest.Digest `json:"point"`
	Problem
}

// Check opens, decrypts, decompresses and hashes every frame of every pack of the chain, and looks up every chunk that the
// points refer to, without writing anything but the index: that is made anew from the packs first, so
// that nothing is taken on trust. It goes on after damage; then the error is ErrDamagedParts.
func Check(ctx context.Context, d *domain.Domain, points []domain.Point, opts CheckOptions) (*CheckReport, error) {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.Progress == nil {
		opts.Progress = new(CheckProgress)
	}
	c := &check{d: d, points: points, opts: opts, bad: map[manifest.Digest]*badPack{}}
	var err error
	if c.report.Missing, err = d.Rebuild(ctx); err != nil {
		return nil, err
	}
	if len(points) > 0 {
		newest := slices.MaxFunc(points, func(a, b domain.Point) int { return a.Manifest.Sequence - b.Manifest.Sequence })
		if err := d.Gather(ctx, &newest); err != nil {
			return nil, err
		}
	}
	if err := c.run(ctx); err != nil {
		return &c.report, err
	}
	if n := len(c.report.Damaged) + len(c.report.Missing); n > 0 || c.report.AffectedCount > 0 {
		return &c.report, fmt.Errorf("%w: %d packs and %d entries of recovery points are affected", ErrDamagedParts, n, c.report.AffectedCount)
	}
	return &c.report, nil
}

type check struct {
	d      *domain.Domain
	points []domain.Point
	opts   CheckOptions
	needed map[manifest.Digest]bitmap // frames, while only reachable ones are looked for

	settled bool       // bad is complete
	mu      sync.Mutex // guards bad, and of the report what is said of packs, while workers run
	report  CheckReport
	bad     map[manifest.Digest]*badPack
}

// A badPack knows what of a pack can't be used.
type badPack struct {
	all    bool
	frames map[uint32]bool
	chunks map[[16]byte]bool
	first  string
}

// run reads packs and catalogues, at once when neither needs the other. When packs turn out to
// be damaged, the catalogues are walked again for what that affects.
func (c *check) run(ctx context.Context) error {
	g, within := errgroup.WithContext(ctx)
	if c.opts.Reachable {
		c.needed = map[manifest.Digest]bitmap{}
		if err := c.trace(ctx); err != nil {
			return err
		}
	} else {
		g.Go(func() error { return c.trace(within) })
	}
	g.Go(func() error { return c.packs(within) })
	if err := g.Wait(); err != nil {
		return err
	}
	c.needed, c.settled = nil, true
	c.summarise()
	if len(c.bad) == 0 {
		return nil
	}
	c.report.Affected, c.report.AffectedCount, c.report.Entries = nil, 0, 0
	return c.trace(ctx)
}

// A bitmap is a set of small numbers.
type bitmap []uint64

func (b bitmap) has(i uint32) bool { return int(i/64) < len(b) && b[i/64]>>(i%64)&1 == 1 }

func (b bitmap) with(i uint32) bitmap {
	for int(i/64) >= len(b) {
		b = append(b, 0)
	}
	b[i/64] |= 1 << (i % 64)
	return b
}

// isBad tells whether a chunk lies where something is damaged. It is asked once all packs have been read.
func (c *check) isBad(id pack.ID, name manifest.Digest, frame uint32) bool {
	p := c.bad[name]
	return p != nil && (p.all || p.frames[frame] || p.chunks[[16]byte(id[:16])])
}
