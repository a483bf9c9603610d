package pack

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"filippo.io/age"

	"waybill/internal/pack/index"
	"waybill/manifest"
)

// A Target is where one pack goes. Its methods are called by one goroutine at a time.
type Target interface {
	// Write takes the pack's bytes in order and keeps none of the slice.
	Write(p []byte) (int, error)
	// Commit makes the pack durable and visible under its name, or fails and leaves nothing.
	Commit(p manifest.Pack) error
	// Abort drops what was written.
	Abort()
}

// A Carrier is a Target on a numbered disk; the manifest then says which.
type Carrier interface{ Disk() int }

// Known answers whether a chunk is stored already, in a pack that is durable.
type Known interface {
	Has(prefix index.Key) bool
}

// A Finished pack is durable in its target.
type Finished struct {
	manifest.Pack
	Table *Table
}

// Config says how a Writer packs. Dedupe, Recovery, Machine and Create are needed,
// the rest have defaults.
type Config struct {
	Dedupe    [32]byte      // the domain's key for chunk ids
	Recovery  age.Recipient // opens everything
	Machine   age.Recipient // opens the catalogue and the tables
	Data      Known         // chunks of data that need not be stored again; nil: none
	Catalogue Known         // the same for catalogue nodes
	Level     Level         // of compression
	Workers   int           // compressing goroutines; default GOMAXPROCS
	Producers int           // the most streams of a class in use at once; default Workers
	Lanes     int           // data packs written at once, each by a goroutine of its own: one a disk; default one for four workers
	Commits   int           // data packs that each lane commits at once, beside the one it fills; default 1
	DataPack  int64         // bytes at which a data pack is closed; default 64 MiB
	CataPack  int64         // the same for catalogue packs; default 16 MiB

	// Adopted are durable packs of a run that failed before it could commit them. The next Flush returns them with
	// its own, and what is in them is not stored again.
	Adopted []Finished

	// Create opens the destination of the next pack. It is called whenever a pack is begun, by several goroutines at once.
	Create func(manifest.Class) (Target, error)
}

func (c *Config) defaults() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Workers, runtime.GOMAXPROCS(0))
	def(&c.Producers, c.Workers)
	def(&c.Lanes, max(1, c.Workers/4))
	def(&c.Commits, 1)
	if c.DataPack <= 0 {
		c.DataPack = 64 << 20
	}
	if c.CataPack <= 0 {
		c.CataPack = 16 << 20
	}
	// Room for what follows the frames.
	c.DataPack, c.CataPack = min(c.DataPack, MaxPack-maxTable), min(c.CataPack, MaxPack-maxTable)
}

// A Writer packs the chunks of many streams. Memory is bounded: producers wait
// for a free frame when the workers or the lanes are behind.
type Writer struct {
	cfg     Config
	ctx     context.Context
	cancel  context.CancelCauseFunc
	workers sync.WaitGroup // compress what is in queue
	writers sync.WaitGroup // the lanes: write what is in their class's ready
	queue   chan *frame
	waiting sync.WaitGroup // frames handed over and not yet in a pack
	classes map[manifest.Class]*class
	tuner   *tuner

	mu       sync.Mutex
	finished []Finished // guarded by mu
}

// A class is one kind of pack: its frames, its known chunks, its open packs.
type class struct {
	name    manifest.Class
	free    chan *frame // frames not in use; nil stands for one not yet made
	ready   chan *frame // compressed ones: a lane takes the next when it has written its last, so a fast disk gets more than a slow one
	target  int         // plain bytes at which a frame is full
	largest int         // chunk in bytes
	known   Known
	pending *index.Pending
	lanes   []*lane
}

// Frames of data are as large as serves compression; the catalogue's are smaller
// because a reader often wants one node of them.
const (
	dataFrame = 2 << 20
	cataFrame = 32 << 10
	// slack is what a file read straight into a frame may add beyond its target.
	slack = 128 << 10
)

// InFlight is at most how many bytes of data still go to the packs of a Writer with so many lanes after its producers were stopped, when
// it has as many workers and producers as is the default: what is in frames, what a producer had begun to read, and by how much
// the packs at hand are larger than they should be, because a frame is.
func InFlight(lanes int) int64 {
	return int64(4*runtime.GOMAXPROCS(0)+3*lanes) * (dataFrame + slack)
}

// NewWriter starts a writer's workers. They run until Close, or until ctx or one of
// them fails; every method then returns that error.
func NewWriter(ctx context.Context, cfg Config) *Writer {
	cfg.defaults()
	w := &Writer{cfg: cfg, queue: make(chan *frame, cfg.Workers), tuner: newTuner(cfg.Level)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.classes = map[manifest.Class]*class{
		manifest.Data:      w.newClass(manifest.Data, dataFrame, cfg.Data, cfg.Lanes, cfg.Commits),
		manifest.Catalogue: w.newClass(manifest.Catalogue, cataFrame, cfg.Catalogue, 1, 1),
	}
	w.adopt()
	for range cfg.Workers {
		w.workers.Go(w.work)
	}
	return w
}

func (w *Writer) newClass(name manifest.Class, target int, known Known, lanes, commits int) *class {
	frames := w.cfg.Producers + 2*w.cfg.Workers + lanes
	c := &class{name: name, target: target, largest: MaxDataChunk, known: known, pending: new(index.Pending),
		free: make(chan *frame, frames), ready: make(chan *frame, lanes)}
	if name == manifest.Catalogue {
		c.largest = MaxCatalogueChunk
	}
	for range frames {
		c.free <- nil
	}
	for range lanes {
		l := &lane{w: w, class: c, commits: make(chan struct{}, commits)}
		c.lanes = append(c.lanes, l)
		w.writers.Go(l.run)
	}
	return c
}

// adopt takes over the packs of a failed run.
func (w *Writer) adopt() {
	w.finished = append(w.finished, w.cfg.Adopted...)
	for _, p := range w.cfg.Adopted {
		for _, chunks := range p.Table.All() {
			for _, c := range chunks {
				w.classes[p.Class].pending.Insert(index.Key(c.Prefix))
			}
		}
	}
}

// Stream returns a new stream of the class for one producer.
func (w *Writer) Stream(name manifest.Class) *Stream {
	return &Stream{w: w, class: w.classes[name], hasher: NewHasher(w.cfg.Dedupe)}
}

// NewChunks is how many chunks were new since the last Forget, over all classes.
func (w *Writer) NewChunks() int {
	n := 0
	for _, c := range w.classes {
		n += c.pending.Len()
	}
	return n
}

// Flush closes the open packs and returns those finished since the last Flush, in order
// of their names, all durable. Every stream must have been flushed and none be used
// meanwhile. It commits nothing once the writer has failed.
func (w *Writer) Flush() ([]Finished, error) {
	w.waiting.Wait()
	for _, c := range w.classes {
		for _, l := range c.lanes {
			if w.err() == nil {
				if err := l.close(); err != nil {
					w.cancel(err)
				}
			}
		}
	}
	if err := w.err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	done := w.finished
	w.finished = nil
	slices.SortFunc(done, func(a, b Finished) int { return slices.Compare(a.Name[:], b.Name[:]) })
	return done, nil
}

// Forget drops the memory of the chunks seen so far, once Config's Data and Catalogue know them.
func (w *Writer) Forget() {
	for _, c := range w.classes {
		c.pending.Reset()
	}
}

// Close ends the workers and drops packs that no Flush has closed. It returns the first error there
// was. No stream may be used from then on.
func (w *Writer) Close() error {
	close(w.queue)
	w.workers.Wait()
	for _, c := range w.classes {
		close(c.ready)
	}
	w.writers.Wait()
	for _, c := range w.classes {
		for _, l := range c.lanes {
			l.abort()
		}
	}
	defer w.cancel(nil)
	return w.err()
}

// work compresses frames and hands them to the lanes of their class until the queue is closed. After an
// error it goes on taking frames, so that no producer waits for ever.
func (w *Writer) work() {
	codec := newCodec()
	for f := range w.queue {
		if w.ctx.Err() == nil {
			if err := codec.compress(f, w.tuner.level()); err != nil {
				w.cancel(err)
			}
		}
		w.classes[f.class].ready <- f
	}
}

// release makes a frame's place free again. One that grew for a huge chunk is not kept.
func (c *class) release(f *frame) {
	f.reset()
	if cap(f.plain) > c.target+slack {
		f = nil
	}
	c.free <- f
}

func (w *Writer) submit(f *frame) error {
	w.waiting.Add(1)
	w.queue <- f
	return w.err()
}

// err is the error the writer failed with, nil while it works.
func (w *Writer) err() error {
	if w.ctx.Err() != nil {
		return fmt.Errorf("packing: %w", context.Cause(w.ctx))
	}
	return nil
}

func (w *Writer) finish(f Finished) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finished = append(w.finished, f)
}
