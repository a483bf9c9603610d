package disk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
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
	dead  bool // nothing more comes
}

// window is how much is taken of each file in turn.
func (l *lane) window() int64 { return int64(l.windows.Size()) }

// A reading is a file being read.
type reading struct {
	name   string
	size   int64
	member int // its place in the group
	f      Uncached
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
	l.group, err = encode(h, on, nil, l.windows)
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

// run reads the files of all lanes, and encodes them into the lanes' groups and into rows, of which row k is made of the kth files. For each disk one goroutine
// reads, and another hashes and encodes. A lane that fails is dead, and so are the rows that it has part in.
func run(ctx context.Context, lanes []*lane, rows []*row) {
	steps, length := len(rows), int64(0)
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
		l.queue = make(chan []byte, 8)
		if l.dead = l.failed(); !l.dead {
			readers.Go(func() error { l.read(ctx, length); return nil })
		}
	}
	for off := int64(0); off < length; off += lanes[0].window() {
		runWindow(lanes, rows, steps, off)
	}
	readers.Wait()
}

// read sends the pieces of the lane's files, in the order in which they are wanted. When it fails, it closes the queue early.
func (l *lane) read(ctx context.Context, length int64) {
	defer close(l.queue)
	for off := int64(0); off < length; off += l.window() {
		for _, r := range l.files {
			if r == nil {
				continue
			}
			for at, end := off, min(off+l.window(), r.size); at < end; at += pieceSize {
				buf := l.pieces.Get()[:min(pieceSize, end-at)]
				if err := l.readPiece(ctx, r, buf); err != nil {
					l.fail(err)
					return
				}
				l.queue <- buf
			}
		}
	}
}

func (l *lane) readPiece(ctx context.Context, r *reading, buf []byte) (err error) {
	if l.failed() {
		return errors.New("given up")
	}
	if r.f == nil {
		if r.f, err = l.OpenUncached(r.name); err != nil {
			return err
		}
	}
	n, err := l.fill(ctx, r.f, buf)
	if err == nil && n < len(buf) {
		err = fmt.Errorf("%w: %s has become shorter", ErrMedium, r.name)
	}
	return err
}

// runWindow takes one window of every file, row by row. The groups' shards take part in all of them.
func runWindow(lanes []*lane, rows []*row, steps int, off int64) {
	for _, l := range lanes {
		if l.group != nil && off < l.group.Length() {
			l.group.Begin(off) // can't fail without a base
		}
	}
	var ends errgroup.Group
	ends.SetLimit(1)
	for k := range steps {
		var across *row
		if k < len(rows) && rows[k].begin(off) {
			across = rows[k]
		}
		if !step(lanes, across, k, off) && k < len(rows) {
			rows[k].dead = true
		}
		switch {
		case across == nil:
		case across.dead:
			across.enc.Drop()
		default:
			ends.Go(func() error { across.enc.End(); return nil }) // while the next row is read
		}
	}
	for _, l := range lanes {
		switch {
		case l.group == nil || off >= l.group.Length():
		case l.dead:
			l.group.Drop()
		default:
			l.group.End()
		}
	}
	ends.Wait()
}

// step takes the kth files of all lanes, and tells whether it got all.
func step(lanes []*lane, across *row, k int, off int64) bool {
	var work errgroup.Group
	for _, l := range lanes {
		if k < len(l.files) && l.files[k] != nil && off < l.files[k].size {
			work.Go(func() error { return l.take(l.files[k], across, off) })
		}
	}
	return work.Wait() == nil
}

// take hashes a window of a file and adds it to the group and the row that are made of it.
func (l *lane) take(r *reading, across *row, off int64) error {
	place := 0
	if across != nil {
		place = across.place(r.name)
	}
	for at, n := 0, int(min(l.window(), r.size-off)); at < n; at += pieceSize {
		var p []byte
		if !l.dead {
			p = <-l.queue
		}
		if p == nil {
			l.dead = true
			return errors.New("given up")
		}
		r.hash.Write(p)
		if l.group != nil {
			l.group.Add(r.member, at, p)
		}
		if across != nil {
			across.enc.Add(place, at, p)
		}
		l.pieces.Put(p)
	}
	return nil
}
