package save

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"waybill/internal/catalog"
	"waybill/internal/pack"
	"waybill/internal/source"
	"waybill/manifest"
)

// A session is one run's state.
type session struct {
	cfg     Config
	packs   *pack.Writer
	workers []*worker
	only    *selection
	exclude *source.Excludes
	started time.Time
	settled catalog.Time // base entries changed at or after it are read again
	result  *Result
	settles []manifest.Digest // packs that the next commit settles
	tree    *dir              // the root directory, live during the walk

	// gate is held shared by a worker while it changes the tree, and whole for a checkpoint.
	gate    sync.RWMutex
	pausing atomic.Bool
	lastCP  time.Time    // guarded by gate
	newAtCP int64        // NewBytes at the last checkpoint, guarded by gate
	live    int64        // directories below the root that were not done at the last checkpoint, guarded by gate
	broken  error        // what a commit failed with, guarded by gate
	asked   atomic.Int64 // how often due was

	places    *place // of the volumes
	carries   bool   // some volumes are carried: counts begin with the base's
	remounted bool   // other places are volumes than in the base
	moves     moves
	swept     swept

	tasks    taskStack
	links    linkTable
	problems problems
	flaw     atomic.Pointer[error] // the first of the base's that Lost told
	owners   owners
}

// identity tells file system objects apart while the run lasts.
type identity struct{ dev, inode uint64 }

func newSession(ctx context.Context, cfg Config) (*session, error) {
	cfg.defaults()
	s := &session{cfg: cfg, started: cfg.Now(), newAtCP: cfg.Progress.NewBytes.Load(), moves: newMoves()}
	s.lastCP = s.started
	var err error
	if s.only, err = cfg.selectRoots(); err != nil {
		return nil, err
	}
	if s.exclude, err = source.NewExcludes(cfg.Excludes, cfg.Skip...); err != nil {
		return nil, err
	}
	if cfg.Base != nil {
		s.settled = timeOf(cfg.Base.Point.Settled)
		s.owners.inherit(cfg.Base.Point)
	}
	if err := s.arrangeVolumes(ctx); err != nil {
		return nil, err
	}
	s.startPacking(ctx)
	return s, nil
}

// startPacking makes the writer and the workers.
func (s *session) startPacking(ctx context.Context) {
	cfg := &s.cfg
	// Packing outlives a cancelled walk: what is done is still committed.
	s.packs = pack.NewWriter(context.WithoutCancel(ctx), pack.Config{
		Dedupe: cfg.Writer.Dedupe, Recovery: cfg.Writer.Recovery, Machine: cfg.Writer.Catalogue,
		Data: cfg.Known.Of(manifest.Data), Catalogue: cfg.Known.Of(manifest.Catalogue),
		Level: cfg.Level, Workers: cfg.Workers, Producers: cfg.Readers, DataPack: cfg.DataPack, CataPack: cfg.CataPack,
		Lanes: cfg.Lanes, Commits: cfg.Commits, Adopted: cfg.Adopted, Create: cfg.Destination.Create,
	})
	for range cfg.Readers {
		s.workers = append(s.workers, newWorker(s))
	}
}

func (c *Config) defaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Progress == nil {
		c.Progress = &Progress{}
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Readers == 0 {
		c.Readers = c.Workers
		for _, r := range c.Roots {
			if source.Rotational(r) {
				c.Readers = 1 // a second reader would only make the heads travel
			}
		}
	}
	if c.CheckpointBytes == 0 {
		c.CheckpointBytes = 16 << 30
	}
	if c.CheckpointEvery == 0 {
		c.CheckpointEvery = 10 * time.Minute
	}
	if c.CheckpointChunks == 0 {
		c.CheckpointChunks = 1 << 20
	}
}

// lost tells whether the base can't tell what it was asked for, so that the run goes on as if it had nothing there.
func (s *session) lost(err error) bool {
	b := s.cfg.Base
	if err == nil || b == nil || b.Lost == nil || !b.Lost(err) {
		return false
	}
	s.flaw.CompareAndSwap(nil, &err)
	return true
}

// timeOf converts a clock's time to the file system's form.
func timeOf(t time.Time) catalog.Time {
	return catalog.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// problems collects what could not be saved as it should.
type problems struct {
	mu    sync.Mutex
	list  []catalog.Problem // at most catalog.MaxProblems
	count int
}

func (s *session) problem(path []byte, format string, args ...any) {
	s.cfg.Progress.Problems.Add(1)
	p := &s.problems
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	if len(p.list) < catalog.MaxProblems {
		p.list = append(p.list, catalog.Problem{Path: manifest.EscapePath(path), Problem: fmt.Sprintf(format, args...)})
	}
}

// A linkTable remembers the content of files with several names, so that it is read once.
// It is a hint of bounded size: what it forgot is read again and found known.
type linkTable struct {
	mu sync.Mutex
	m  map[identity]catalog.Entry
}

const maxLinks = 100_000

func (t *linkTable) find(id identity) (catalog.Entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.m[id]
	return e, ok
}

func (t *linkTable) add(id identity, e catalog.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil || len(t.m) >= maxLinks {
		t.m = map[identity]catalog.Entry{}
	}
	t.m[id] = e
}

// owners collects the ids that were seen, to name them in the record.
type owners struct {
	mu     sync.Mutex
	users  map[uint32]string
	groups map[uint32]string
	names  source.Names
}

func (o *owners) add(users, groups map[uint32]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.users == nil {
		o.users, o.groups = map[uint32]string{}, map[uint32]string{}
	}
	for id := range users {
		if name := o.names.User(id); name != "" {
			o.users[id] = name
		}
	}
	for id := range groups {
		if name := o.names.Group(id); name != "" {
			o.groups[id] = name
		}
	}
}
