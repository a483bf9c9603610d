package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"waybill/manifest"
)

// A copier is a vault that takes objects from another store of its kind without their coming by here. What comes has the size and the MD5, or
// it does not come into being, and isn't the same; errors.ErrUnsupported says that it can't be done that way.
type copier interface {
	PutFrom(ctx context.Context, name string, from any, fromName string, size int64, md5 []byte) (same bool, err error)
}

// copyAcross has the vault fetch a pack by itself, after it was found good where it is. It is not done when that can't be.
func (j *job) copyAcross(ctx context.Context, w *want, t *tree) (done bool, bad, err error) {
	c, ok := j.vault.(copier)
	if !ok || !t.remote() || j.byHost.Load() {
		return false, nil, nil
	}
	if j.opts.Read == Full || j.judge(w, t) != sound {
		if bad := j.check(ctx, w, t); bad != nil {
			return true, bad, ctx.Err()
		}
	} else {
		defer j.opts.Progress.Bytes.Add(w.Size)
	}
	name := manifest.PackName(j.machine.Machine, w.Name)
	switch same, err := c.PutFrom(ctx, name, t.Reader, name, w.Size, w.MD5[:]); {
	case err == nil && !same:
		return true, fmt.Errorf("%w: the service found another MD5 than the manifest's", manifest.ErrFormat), nil
	case err == nil:
		w.state = imported
		return true, nil, nil
	case errors.Is(err, fs.ErrExist):
		w.state = present // another import was faster
		return true, nil, nil
	case errors.Is(err, errors.ErrUnsupported):
		j.byHost.Store(true)
		return false, nil, nil
	default:
		return true, nil, fmt.Errorf("copying %s into the vault: %w", name, err)
	}
}

// piece is how much of a pack is read at once.
func (t *tree) piece() int {
	if t.remote() {
		return 4 << 20 // each is a request
	}
	return 1 << 20
}

// A summed store knows of its objects the MD5 that they were stored with; none where there was none.
type summed interface {
	Checksums(ctx context.Context, prefix string, each func(name string, size int64, md5 []byte) error) error
	Checksum(ctx context.Context, name string) (size int64, md5 []byte, err error)
}

// A lookout is a reader that keeps, for whoever is told of an object, what its store knows of it. It asks no more often than without.
type lookout struct {
	manifest.Reader
	summed
	mu   sync.Mutex
	sums map[string][]byte // guarded by mu
}

// watch returns r as it is when it has no checksums.
func watch(r manifest.Reader) (manifest.Reader, func(name string) []byte) {
	s, ok := r.(summed)
	if !ok {
		return r, func(string) []byte { return nil }
	}
	l := &lookout{Reader: r, summed: s, sums: map[string][]byte{}}
	return l, l.sum
}

func (l *lookout) sum(name string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sums[name]
}

// List implements manifest.Reader.
func (l *lookout) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	return l.Checksums(ctx, prefix, func(name string, size int64, md5 []byte) error {
		l.note(name, md5)
		defer l.note(name, nil)
		return each(name, size)
	})
}

// Size implements manifest.Reader.
func (l *lookout) Size(ctx context.Context, name string) (int64, error) {
	size, md5, err := l.Checksum(ctx, name)
	l.note(name, md5)
	return size, err
}

func (l *lookout) note(name string, md5 []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sums[name] = md5; md5 == nil {
		delete(l.sums, name)
	}
}
