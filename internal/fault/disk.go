package fault

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Faults are what is wrong with a [Disk]. The zero value is a disk in order. They may be combined, except that
// what a counterfeit disk holds can't be lost by a power cut.
type Faults struct {
	FailReads, FailWrites, FailSyncs Where // these fail with EIO; nil for none. A sync is of a whole file: offset and size are 0
	Lie                              Where // of each block of 4096 bytes there, one bit is read wrong

	ReadRate, WriteRate int64 // bytes a second, which all files share, as one arm would serve them; 0 for as fast as it goes

	Lose     Loss  // what PowerCut takes away
	Size     int64 // the disk says that it is so large, and is full then; 0 for what lies below
	RealSize int64 // counterfeit: it takes more, but new data then lie where old ones did. Held in memory; 0 for honest
	WrapAt   int64 // counterfeit, for an image of a device: what lies there in a file, or behind, lands this many bytes before; 0 for honest
	Gone     bool  // pulled out: everything fails with EIO
}

// Where tells whether a fault is there: for a file, by its path on the disk, and a range of its bytes.
type Where func(name string, offset, size int64) bool

// Everywhere is all of a disk.
func Everywhere(string, int64, int64) bool { return true }

// Part is the bytes from one offset up to, not including, another, of all files that have name in their path. A
// file that durable writes has another name until it is committed.
func Part(name string, from, to int64) Where {
	return func(path string, offset, size int64) bool {
		return strings.Contains(path, name) && offset < to && offset+size > from
	}
}

func (w Where) is(name string, offset, size int64) bool { return w != nil && w(name, offset, size) }

// Loss says which bytes a power cut takes. Names and sizes of files that were made since stay, but their bytes don't:
// the usual end of files that were not synced.
type Loss int

// The losses.
const (
	Nothing  Loss = iota
	Unsynced      // what was not synced since: an honest disk
	Synced        // that, and what was: a disk that says yes and keeps it in a volatile cache
)

// control is what a Disk has beside its file system.
type control struct {
	faults atomic.Pointer[Faults]

	clock sync.Mutex
	busy  time.Time // guarded by clock; when the disk is done with all it was asked for
}

// Set puts other faults in the place of those there are. It is safe at any time; what is being done may still meet the old ones.
func (c *control) Set(f Faults) { c.faults.Store(&f) }

// Faults are those there are.
func (c *control) Faults() Faults { return *c.faults.Load() }

// slack is how long a disk may have been idle and still catch up, or each sleep that is too long would make it slower.
const slack = 20 * time.Millisecond

// pace waits until the disk has moved n bytes.
func (c *control) pace(n int, rate int64) {
	if rate <= 0 {
		return
	}
	c.clock.Lock()
	now := time.Now()
	if since := now.Add(-slack); c.busy.Before(since) {
		c.busy = since
	}
	c.busy = c.busy.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	wait := c.busy.Sub(now)
	c.clock.Unlock()
	time.Sleep(wait)
}

// tester is what MountTest needs of a *testing.T.
type tester interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// MountTest mounts a disk for a test, which is skipped where there is no FUSE, and unmounts it after the test.
func MountTest(t tester, f Faults) *Disk {
	t.Helper()
	if !Available() {
		t.Skipf("no FUSE here")
	}
	d, err := Mount(t.TempDir(), t.TempDir(), f)
	if err != nil {
		t.Fatalf("mounting a disk with faults: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return d
}
