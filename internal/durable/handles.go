package durable

import (
	"container/list"
	"os"
	"strings"
	"sync"
)

// handles keeps the files read last open, for readers that take many ranges of one. Only files in
// directories are kept: those at the root may be replaced.
type handles struct {
	mu    sync.Mutex
	m     map[string]*list.Element // guarded by mu, as is order
	order list.List                // of *handle, the one used last in front
}

type handle struct {
	name string
	f    *os.File
	uses int  // readers at work; guarded by handles.mu, as is gone
	gone bool // no longer kept: the last reader closes it
}

const maxHandles = 64

// get opens a file, or finds it open. The caller gives it back with put.
func (h *handles) get(root *os.Root, name string) (*handle, error) {
	if v := h.find(name); v != nil {
		return v, nil
	}
	f, err := openFile(root, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &handle{name: name, f: f, uses: 1}
	if h.m[name] != nil || !strings.Contains(name, "/") {
		v.gone = true // for one use
		return v, nil
	}
	if h.m == nil {
		h.m = map[string]*list.Element{}
	}
	h.m[name] = h.order.PushFront(v)
	if h.order.Len() > maxHandles {
		h.forget(h.order.Back())
	}
	return v, nil
}

func (h *handles) find(name string) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.m[name]
	if !ok {
		return nil
	}
	h.order.MoveToFront(e)
	v := e.Value.(*handle)
	v.uses++
	return v
}

func (h *handles) put(v *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.uses--; v.uses == 0 && v.gone {
		v.f.Close() // only read from
	}
}

// forget stops keeping a handle. The caller holds mu.
func (h *handles) forget(e *list.Element) {
	v := h.order.Remove(e).(*handle)
	delete(h.m, v.name)
	v.gone = true
	if v.uses == 0 {
		v.f.Close()
	}
}

func (h *handles) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.m[name]; ok {
		h.forget(e)
	}
}

func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.order.Len() > 0 {
		h.forget(h.order.Back())
	}
}
