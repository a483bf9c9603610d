package source

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkScan lists and looks at everything below 200 directories of 1000 files, on all processors.
func BenchmarkScan(b *testing.B) {
	root := tree(b, 200, 1000)
	b.Run("list", func(b *testing.B) { scan(b, root, func(*Dir, *Listing, *Stat, int) error { return nil }) })
	b.Run("list+stat", func(b *testing.B) {
		scan(b, root, func(d *Dir, l *Listing, st *Stat, i int) error { return d.Stat(l, i, st) })
	})
	b.Run("list+open+xattrs+read+stat+close", func(b *testing.B) {
		var pool sync.Pool
		scan(b, root, func(d *Dir, l *Listing, _ *Stat, i int) error {
			r, _ := pool.Get().(*reader)
			if r == nil {
				r = &reader{buf: make([]byte, 64<<10)}
			}
			defer pool.Put(r)
			return r.read(d, l.Name(i))
		})
	})
}

// reader does for a small file what a first backup does.
type reader struct {
	f      File
	xattrs XattrBuffer
	buf    []byte
}

func (r *reader) read(d *Dir, name []byte) error {
	if err := d.OpenInto(name, &r.f); err != nil {
		return err
	}
	defer r.f.Close()
	if _, err := r.f.Xattrs(&r.xattrs); err != nil {
		return err
	}
	if _, err := r.f.ReadAt(r.buf[:r.f.Opened().Size], 0); err != nil {
		return err
	}
	var st Stat
	return r.f.Stat(&st)
}

func scan(b *testing.B, root string, each func(*Dir, *Listing, *Stat, int) error) {
	b.ReportAllocs()
	entries := 0
	before := processorTime(b)
	for b.Loop() {
		entries = walk(b, root, each)
	}
	b.ReportMetric(float64(b.N*entries)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N*entries), "cpu-ns/entry")
}

// processorTime tells more than the time that went by where others use the machine too.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// walk gives each processor every other directory.
func walk(b *testing.B, root string, each func(*Dir, *Listing, *Stat, int) error) (entries int) {
	top := open(b, root)
	defer top.Close()
	var l Listing
	if err := top.List(&l); err != nil {
		b.Fatal(err)
	}
	workers := runtime.GOMAXPROCS(0)
	done := make(chan int, workers)
	for w := range workers {
		go func() {
			n := 0
			defer func() { done <- n }()
			var inner Listing
			var st Stat
			for i := w; i < l.Len(); i += workers {
				d, err := top.OpenDir(l.Name(i))
				if err != nil {
					b.Error(err)
					return
				}
				if err := d.List(&inner); err != nil {
					b.Error(err)
				}
				for i := range inner.Len() {
					if err := each(d, &inner, &st, i); err != nil {
						b.Error(err)
					}
				}
				n += inner.Len()
				d.Close()
			}
		}()
	}
	for range workers {
		entries += <-done
	}
	return entries
}
