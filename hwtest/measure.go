package hwtest

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

const (
	chunk    = 1 << 20     // of sequential requests
	spot     = 64 << 10    // of requests here and there
	fileSize = 1 << 30     // of the files that fill a disk: any file system takes them
	quickRun = 64 << 20    // bytes of the quick form's sequential run, at most
	patience = time.Second // for each phase of the quick form
	tooMany  = 256         // read errors, after which a disk needn't be read to its end
)

// A test writes and reads an area.
type test struct {
	r    *Report
	area *area
	key  uint64
	p    *Progress
	buf  []byte
}

func newTest(r *Report, o Options, a *area) *test {
	t := &test{r: r, area: a, key: newKey(), p: o.Progress, buf: aligned(chunk)}
	if t.p == nil {
		t.p = &Progress{}
	}
	a.each = cmp.Or(a.each, fileSize)
	return t
}

// files tests a file system.
func (t *test) files(ctx context.Context, quick bool) error {
	defer t.area.close() // what was written is durable already
	if !t.syncs() {
		return nil
	}
	free := t.r.FileSystem.Free
	if quick {
		return t.quickFile(ctx, free)
	}
	return t.whole(ctx, (free-free/500-4*chunk)/chunk*chunk, false) // the file system needs some, too
}

// quickFile tests a file that has all the free space, without writing it.
func (t *test) quickFile(ctx context.Context, free int64) error {
	run := int64(quickRun)
	switch {
	case t.r.FileSystem.Memory:
		run = 8 << 20
	case t.r.FileSystem.System:
		run = 24 << 20
	}
	run = min(run, free/4) / chunk * chunk
	size := run
	name := t.area.name(0)
	if covered, err := reserve(name, free-free/20, t.r.FileSystem); err == nil && covered > run {
		size = covered / chunk * chunk
	} else {
		t.r.remark("this file system can't set room aside, so that only a short run was tested: the full form tests all of it")
		os.Remove(name) // or it is written over
	}
	t.area.each = 1 << 62
	return t.quick(ctx, run, size)
}

// whole tests all positions up to size, in either form.
func (t *test) whole(ctx context.Context, size int64, quick bool) error {
	if quick {
		return t.quick(ctx, min(quickRun, size/4)/chunk*chunk, size)
	}
	if size < chunk {
		t.r.remark("there is no room to test")
		return nil
	}
	t.p.Total.Store(2 * size)
	written, err := t.writeRun(ctx, size, 0)
	if err != nil {
		return err
	}
	t.p.Total.Store(2 * written)
	t.p.Reading.Store(true)
	t.r.Capacity.Covered, t.r.Capacity.Tested = written, written
	return t.readRun(ctx, written)
}

// quick tests a run at the start, and spots over the whole size. The run is read last: spots that a counterfeit medium puts in its
// place are found there, too.
func (t *test) quick(ctx context.Context, run, size int64) error {
	if run < chunk {
		t.r.remark("there is no room to test")
		return nil
	}
	places := spots(run, size)
	t.p.Total.Store(2 * (run + int64(len(places))*spot))
	known := len(t.r.Reasons)
	written, err := t.writeRun(ctx, run, patience)
	if err != nil || len(t.r.Reasons) > known { // it failed
		return err
	}
	places, err = t.writeSpots(ctx, places)
	if err != nil {
		return err
	}
	t.p.Reading.Store(true)
	t.r.Capacity.Covered, t.r.Capacity.Tested = size, written+int64(len(places))*spot
	if err := t.readSpots(ctx, places); err != nil {
		return err
	}
	return t.readRun(ctx, written)
}

// writeRun writes from position 0 to size, or for as long as there is patience, and returns how far it came. A medium
// that fails is a reason.
func (t *test) writeRun(ctx context.Context, size int64, patience time.Duration) (int64, error) {
	m := &meter{total: size}
	began := time.Now()
	pos := int64(0)
	for ; pos < size; pos += chunk {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if patience > 0 && time.Since(began) > patience && pos >= 4*chunk {
			break
		}
		fill(t.buf, t.key, pos)
		start := time.Now()
		if err := t.area.write(t.buf, pos); err != nil {
			t.writeFailed(err, pos, size)
			break
		}
		m.add(pos, chunk, time.Since(start))
		t.p.Bytes.Add(chunk)
	}
	start := time.Now()
	if err := t.area.close(); err != nil {
		t.r.unfit("what was written can't be made durable: %v", err)
	}
	m.late(max(pos-chunk, 0), time.Since(start))
	t.r.Write = m.speed()
	return pos, nil
}

// writeFailed tells why a medium is not fit. One that is full a bit earlier than it said is.
func (t *test) writeFailed(err error, pos, wanted int64) {
	switch {
	case !isFull(err):
		t.r.unfit("it can't be written at %s: %v", size(pos), err)
	case pos < wanted/10*9:
		t.r.unfit("it is full after %s, though it said that %s are free", size(pos), size(t.r.FileSystem.Free))
	}
}

// readRun reads back and compares what writeRun wrote.
func (t *test) readRun(ctx context.Context, size int64) error {
	if size == 0 {
		return nil
	}
	m := &meter{total: size}
	scratch := make([]byte, blockSize)
	failed := 0
	for pos := int64(0); pos < size && failed < tooMany; pos += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		err := t.area.read(t.buf, pos)
		m.add(pos, chunk, time.Since(start))
		t.p.Bytes.Add(chunk)
		if err != nil {
			t.r.Capacity.unreadable(pos, chunk)
			failed++
			continue
		}
		t.r.Capacity.check(t.buf, t.key, pos, scratch)
	}
	t.r.Read = m.speed()
	return nil
}

// syncs measures fsync. It is false if the medium failed.
func (t *test) syncs() bool {
	var took times
	f, err := os.OpenFile(filepath.Join(t.area.dir, "sync"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		began := time.Now()
		for i := int64(0); err == nil && i < 16 && time.Since(began) < patience/4; i++ {
			fill(t.buf[:blockSize], t.key, i*blockSize)
			if _, err = f.WriteAt(t.buf[:blockSize], i*blockSize); err == nil {
				start := time.Now()
				err = f.Sync()
				took.add(time.Since(start))
			}
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.r.unfit("what was written can't be made durable: %v", err)
		return false
	}
	l := took.latency()
	t.r.Sync = &l
	return true
}
