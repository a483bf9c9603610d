package save

import (
	"sync"
	"sync/atomic"
)

// A taskStack hands out the newest task first, so that the walk goes deep and few directories are live.
type taskStack struct {
	mu     sync.Mutex
	more   sync.Cond
	list   []task // guarded by mu, as are closed and err
	closed bool
	err    error
	failed atomic.Bool // err is set

	workers, idle int    // how many there are, and how many wait; idle is guarded by mu
	release       func() // called when all wait: it may push what was put off
}

func (t *taskStack) init(workers int, release func()) {
	t.more.L = &t.mu
	t.workers, t.release = workers, release
}

func (t *taskStack) push(k task) {
	t.mu.Lock()
	t.list = append(t.list, k)
	t.mu.Unlock()
	t.more.Signal()
}

// pop waits for a task. It returns false when the tree is done or the walk has failed.
func (t *taskStack) pop() (task, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.list) == 0 && !t.closed && t.err == nil {
		if t.idle++; t.idle == t.workers {
			t.mu.Unlock()
			t.release()
			t.mu.Lock()
		} else {
			t.more.Wait()
		}
		t.idle--
	}
	if t.err != nil || len(t.list) == 0 {
		return task{}, false
	}
	k := t.list[len(t.list)-1]
	t.list = t.list[:len(t.list)-1]
	return k, true
}

// close says that the tree is done.
func (t *taskStack) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.more.Broadcast()
}

// fail ends the walk; the first error stays.
func (t *taskStack) fail(err error) {
	t.mu.Lock()
	if t.err == nil {
		t.err = err
		t.failed.Store(true)
	}
	t.mu.Unlock()
	t.more.Broadcast()
}

func (t *taskStack) cause() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
