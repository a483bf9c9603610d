package main

import (
	"context"
	"sync"
	"sync/atomic"

	"waybill/internal/cli"
	"waybill/internal/save"
	"waybill/seed/plan"
)

// A counting counts a source beside the run that saves it, so that there is a time to wait for. It costs a walk, so it is made only when
// somebody sees it.
type counting struct {
	files, bytes atomic.Int64 // 0 until all is counted
	cancel       context.CancelFunc
	done         sync.WaitGroup
}

// count begins to count what cfg selects. The caller stops it.
func (a *app) count(ctx context.Context, cfg save.Config) *counting {
	c := &counting{cancel: func() {}}
	if a.out.Quiet || len(cfg.Roots) == 0 {
		return c
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.done.Go(func() {
		o := &plan.Options{Roots: cfg.Roots, Excludes: cfg.Excludes, Skip: cfg.Skip, OneFileSystem: cfg.OneFileSystem}
		if plan.Count(ctx, o) == nil {
			c.files.Store(o.Files.Load())
			c.bytes.Store(o.Bytes.Load())
		}
	})
	return c
}

func (c *counting) stop() {
	c.cancel()
	c.done.Wait()
}

// total adds the totals to a sample. Files change while they are counted and saved, so it is never behind.
func (c *counting) total(s cli.Sample) cli.Sample {
	if n := c.bytes.Load(); n > 0 {
		s.TotalBytes, s.TotalFiles = max(n, s.Bytes), max(c.files.Load(), s.Files)
	}
	return s
}
