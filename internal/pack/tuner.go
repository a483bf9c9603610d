package pack

import (
	"sync"
	"sync/atomic"
	"time"
)

// A tuner chooses the level of compression. With Auto it looks at the whole machine once a
// second: processors that idle say that the disk or the line is the bottleneck, so a higher
// level costs no time and saves bytes; busy ones say the opposite.
type tuner struct {
	current atomic.Int32
	auto    bool

	mu   sync.Mutex // guards all below
	next time.Time
	idle time.Duration // processor time the machine had idled at the last look
	busy time.Duration // and had been busy
}

const (
	tunePeriod = time.Second
	raiseAbove = 0.45 // part of the processors' time that is idle
	lowerBelow = 0.10
)

func newTuner(l Level) *tuner {
	t := &tuner{auto: l == Auto}
	if t.auto {
		l = Fastest
		t.idle, t.busy = processorTimes()
		t.next = time.Now().Add(tunePeriod)
	}
	t.current.Store(int32(l))
	return t
}

// level is the level for the next frame.
func (t *tuner) level() Level {
	if t.auto && t.mu.TryLock() {
		if now := time.Now(); now.After(t.next) {
			t.next = now.Add(tunePeriod)
			t.look(processorTimes())
		}
		t.mu.Unlock()
	}
	return Level(t.current.Load())
}

// look moves the level one step at most.
func (t *tuner) look(idle, busy time.Duration) {
	di, db := idle-t.idle, busy-t.busy
	t.idle, t.busy = idle, busy
	if di+db <= 0 {
		return // this system doesn't tell
	}
	l := Level(t.current.Load())
	switch part := float64(di) / float64(di+db); {
	case part > raiseAbove && l < Better:
		l++
	case part < lowerBelow && l > Fastest:
		l--
	}
	t.current.Store(int32(l))
}
