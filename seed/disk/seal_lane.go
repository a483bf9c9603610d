package disk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"waybill/manifest"
	"waybill/seed/disk/parity"
)

// A lane is a disk while some of its files are read together, window by window: those of one of its groups, or those that are in the same rows.
type lane struct {
	*sealing
	files []*reading // by row; nil where the row has none of this disk
	group *encoding  // nil when none is made
	queue chan []byte
	dead  bool // nothing more is read
}

// A reading is a file being read.
type reading struct {
	name   string
	size   int64
	member int // its place in the group
	f      *os.File
	hash   hash.Hash
}

func newReading(m parity.Member) *reading {
	return &reading{name: m.Name, size: m.Size, hash: sha256.New()}
}

// begin begins the group of the lane's files.
func (l *lane) begin(members []parity.Member) (err error) {
	h := parity.Head{Machine: l.label.Machine, Set: l.label.Set, Members: members}
	var on []*sealing
	for j := range l.o.Scheme.Shards {
		h.Shards, on = append(h.Shards, parity.Shard{Index: j, Disk: l.label.Disk}), append(on, l.sealing)
	}
	for _, r := range l.files {
		if r != nil {
			r.member = slices.IndexFunc(members, func(m parity.Member) bool { return m.Name == r.name })
		}
	}
	l.group, err = encode(h, on, nil, l.memory)
	return err
}

// end compares what was read with the files' names, and publishes the group if all is well.
func (l *lane) end(ctx context.Context) {
	for _, r := range l.files {
		if r == nil {
			continue
		}
		if r.f != nil {
			r.f.Close() // only read from
		}
		if l.failed() {
			continue
		}
		sum := manifest.Digest(r.hash.Sum(nil))
		if err := proves(r.name, sum); err != nil {
			l.fail(err)
			continue
		}
		if written, ok := l.written[r.name]; ok && written != sum {
			l.fail(fmt.Errorf("%w: %s has the SHA-256 %s, %s was written", ErrMedium, r.name, sum, written))
			continue
		}
		l.note(r.name, sum)
	}
	switch {
	case l.group == nil:
	case l.failed():
		l.group.abort()
	default:
		l.group.commit(ctx)
	}
}

// run reads the files of all lanes, and encodes them into the lanes' groups and into rows, of which row k is made of the kth files. One goroutine reads
// each disk; others hash and encode. A lane that fails is dead, and so are the rows that it has part in.
func run(ctx context.Context, lanes []*lane, rows []*row) {
	steps, length := 0, int64(0)
	for _, l := range lanes {
		steps = max(steps, len(l.files))
		for _, r := range l.files {
			if r != nil {
				length = max(length, r.size)
			}
		}
	}
	for _, r := range rows {
		length = max(length, r.enc.Length()) // it may have longer files of disks that are elsewhere
	}
	var readers errgroup.Group
	for _, l := range lanes {
		l.queue = make(chan []byte, 2)
		l.dead = l.failed()
		if !l.dead {
			readers.Go(func() error { l.read(ctx, length); return nil })
		}
	}
	for off := int64(0); off < length; off += parity.Window {
		runWindow(lanes, rows, steps, off)
	}
	readers.Wait()
}

// read sends the windows of the lane's files, in the order in which they are wanted. When it fails, it closes the queue early.
func (l *lane) read(ctx context.Context, length int64) {
	defer close(l.queue)
	for off := int64(0); off < length; off += parity.Window {
		for _, r := range l.files {
			if r == nil || off >= r.size {
				continue
			}
			buf := l.memory.Get()[:min(parity.Window, r.size-off)]
			if err := l.readWindow(ctx, r, buf); err != nil {
				l.memory.Put(buf)
				l.fail(err)
				return
			}
			l.queue <- buf
		}
	}
}

func (l *lane) readWindow(ctx context.Context, r *reading, buf []byte) (err error) {
	if l.failed() {
		return errors.New("given up")
	}
	if r.f == nil {
		if r.f, err = l.OpenUncached(r.name); err != nil {
			return err
		}
	}
	n, err := l.window(ctx, r.f, buf)
	if err == nil && n < len(buf) {
		err = fmt.Errorf("%w: %s has become shorter", ErrMedium, r.name)
	}
	return err
}

// runWindow takes one window of every file, and waits until it is done with: the groups' shards take part in all of them.
func runWindow(lanes []*lane, rows []*row, steps int, off int64) {
	for _, l := range lanes {
		if l.group != nil && off < l.group.Length() {
			l.group.Begin(off, parity.Window) // can't fail without a base
		}
	}
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for k := range steps {
		windows := make([][]byte, len(lanes))
		for i, l := range lanes {
			if k < len(l.files) && l.files[k] != nil && off < l.files[k].size {
				if !l.dead {
					windows[i] = <-l.queue
				}
				if windows[i] == nil {
					l.dead = true
					if k < len(rows) {
						rows[k].dead = true
					}
				}
			}
		}
		work.Go(func() error {
			step(lanes, rows, windows, k, off)
			return nil
		})
	}
	work.Wait()
	for _, l := range lanes {
		switch {
		case l.group == nil || off >= l.group.Length():
		case l.dead:
			l.group.Drop()
		default:
			l.group.End()
		}
	}
}

// step hashes and encodes the kth files' windows.
func step(lanes []*lane, rows []*row, windows [][]byte, k int, off int64) {
	var across *row
	if k < len(rows) && rows[k].begin(off) {
		across = rows[k]
	}
	for i, w := range windows {
		if w == nil {
			continue
		}
		l := lanes[i]
		r := l.files[k]
		r.hash.Write(w)
		if l.group != nil {
			l.group.Add(r.member, w)
		}
		if across != nil {
			across.enc.Add(across.place(r.name), w)
		}
		l.memory.Put(w)
	}
	if across != nil {
		across.enc.End()
	}
}
