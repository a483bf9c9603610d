package fanotify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/internal/mountinfo"
)

// Run is the agent: it watches until ctx is done, and then returns nil. It needs root. While it runs, another with the same
// StateDir gets ErrRunning.
func Run(ctx context.Context, o Options) error {
	o.defaults()
	a, err := newAgent(&o)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	defer a.close()
	a.look()
	o.Systemd.closeInherited()
	if len(a.watches) == 0 {
		o.Log("nothing to watch yet in %q", o.Mounts)
	}
	if err := o.Systemd.send("READY=1"); err != nil {
		o.Log("%v", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.watch(ctx) })
	g.Go(func() error { return a.serve(ctx) })
	return g.Wait()
}

type agent struct {
	o       *Options
	dir     string
	boot    string
	started time.Time
	lock    *os.File
	socket  *net.UnixListener
	mounts  int // /proc/self/mountinfo, which says by poll(2) when it changes

	mu      sync.Mutex
	watches map[string]*watch // by volume; guarded by mu
	refused map[string]string // what couldn't be watched, by device, so that it is said once; guarded by mu
}

func newAgent(o *Options) (*agent, error) {
	a := &agent{o: o, dir: filepath.Join(o.StateDir, "agent"), started: o.Now(), mounts: -1, watches: map[string]*watch{}, refused: map[string]string{}}
	group, _, err := newGroup(o) // to learn now whether it may
	if err != nil {
		return nil, err
	}
	if err := unix.Close(group); err != nil {
		return nil, err
	}
	if a.boot, err = bootID(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, err
	}
	if err := a.takeLock(); err != nil {
		return nil, err
	}
	if err := a.listen(); err != nil {
		return nil, errors.Join(err, a.lock.Close())
	}
	a.mounts, err = unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, a.socket.Close(), a.lock.Close())
	}
	return a, nil
}

func (a *agent) takeLock() error {
	f, err := os.OpenFile(filepath.Join(a.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return ErrRunning
		}
		return err
	}
	a.lock = f
	return nil
}

// listen makes the socket. Only root gets at it: the directory is closed to others.
func (a *agent) listen() error {
	name := socketPath(a.o.StateDir)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return viaShortPath(name, func(short string) (err error) {
		a.socket, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		if err == nil {
			a.socket.SetUnlinkOnClose(false) // by its short path, perhaps
		}
		return err
	})
}

func socketPath(stateDir string) string { return filepath.Join(stateDir, "agent", "socket") }

// viaShortPath gives f another path of a socket if its own is too long for an address.
func viaShortPath(name string, f func(short string) error) error {
	if len(name) < len(unix.RawSockaddrUnix{}.Path) {
		return f(name)
	}
	dir, err := unix.Open(filepath.Dir(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: filepath.Dir(name), Err: err}
	}
	defer unix.Close(dir)
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir, filepath.Base(name)))
}

func (a *agent) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.watches {
		if err := w.close(); err != nil {
			a.o.Log("%s: %v", w.mount.Path, err)
		}
	}
	unix.Close(a.mounts)
	a.socket.Close()
	if err := os.Remove(socketPath(a.o.StateDir)); err != nil { // while nobody else can have made it
		a.o.Log("%v", err)
	}
	a.lock.Close()
}

const (
	heartbeatEvery = 30 * time.Second

	// The kernel looks for an event to merge a new one with among those that are waiting. When more than muchPerSecond come,
	// that costs whoever writes more than it costs to look more often. Measured with tar: 20 ms are best.
	muchPerSecond = 3000
	lookSooner    = 20 * time.Millisecond
)

// watch reads what the kernel has to tell.
func (a *agent) watch(ctx context.Context) error {
	every := a.o.Every
	tick := time.NewTimer(every)
	defer tick.Stop()
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			events := a.tick()
			if float64(events) > muchPerSecond*every.Seconds() {
				every = min(a.o.Every, lookSooner)
			} else {
				every = a.o.Every
			}
			tick.Reset(every)
		case <-heartbeat.C:
			a.heartbeat()
		}
	}
}

// tick does what is to be done every now and then, and returns how many events there were.
func (a *agent) tick() (events int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := []unix.PollFd{{Fd: int32(a.mounts), Events: unix.POLLPRI}}
	if n, err := unix.Poll(p, 0); err != nil || n > 0 {
		a.look()
	}
	for _, w := range a.watches {
		events += w.tick()
	}
	return events
}

func (a *agent) heartbeat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.watches {
		if err := w.heartbeat(); err != nil {
			a.o.Log("%s: %v", w.mount.Path, err)
		}
	}
}

// look looks at what is mounted: what is gone isn't watched any longer, what is new is.
func (a *agent) look() {
	for _, w := range a.watches {
		if w.group >= 0 && !w.marked() {
			w.unmounted()
		}
	}
	list, err := wanted(a.o.Mounts)
	if err != nil {
		a.o.Log("%v", err)
		return
	}
	for _, m := range list {
		if a.find(m.Device) != nil {
			continue
		}
		err := a.take(m)
		if err != nil && a.refused[m.Device] != err.Error() {
			a.o.Log("%s is not watched: %v", m.Path, err)
			a.refused[m.Device] = err.Error()
		}
	}
}

// find returns the watch of a file system that is watched now.
func (a *agent) find(device string) *watch {
	for _, w := range a.watches {
		if w.group >= 0 && w.mount.Device == device {
			return w
		}
	}
	return nil
}

// take has a file system watched.
func (a *agent) take(m mountinfo.Mount) error {
	id, err := volumeID(m)
	if err != nil {
		return err
	}
	w := a.watches[id]
	if w != nil && w.group >= 0 { // a copy of a file system that is watched, by its UUID
		id += "." + m.Device
		w = a.watches[id]
	}
	if w != nil {
		w.mount = m
		return w.start()
	}
	if w, err = openWatch(a.o, filepath.Join(a.dir, id), m, a.boot); err != nil {
		return err
	}
	if err := a.begin(w); err != nil {
		return errors.Join(err, w.busy.Close())
	}
	a.watches[id] = w
	a.o.Log("watching %s (%s)", m.Path, m.System)
	return nil
}

// begin has a file system watched for the first time by this agent: with the journal of a former one, if it can go on.
func (a *agent) begin(w *watch) error {
	if fds := a.o.Systemd.inherit(w.groupName()); len(fds) > 0 {
		err := w.adopt(fds)
		if err == nil {
			a.o.Log("%s: going on with the former agent's journal", w.mount.Path)
			return nil
		}
		a.o.Log("%s: the former agent's journal can't go on: %v", w.mount.Path, err)
		closeAll(fds)
	}
	w.orphaned()
	return w.start()
}

// serve answers on the socket.
func (a *agent) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return a.socket.SetDeadline(time.Unix(1, 0))
	})
	g.Go(func() error {
		for {
			c, err := a.socket.AcceptUnix()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("the agent's socket: %w", err)
			}
			g.Go(func() error { a.answer(c); return nil })
		}
	})
	return g.Wait()
}

const answerWithin = 10 * time.Second

// answer answers the one request of a connection. What is wrong with a client is its own affair.
func (a *agent) answer(c *net.UnixConn) {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return
	}
	line, err := bufio.NewReaderSize(c, 4<<10).ReadSlice('\n')
	if err != nil {
		return
	}
	var q request
	if json.Unmarshal(line, &q) != nil {
		return
	}
	_ = json.NewEncoder(c).Encode(a.reply(&q))
}

func (a *agent) reply(q *request) *reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch q.Op {
	case opSync:
		return a.sync(q.Device)
	case opStatus:
		return &reply{Status: a.status()}
	}
	return &reply{Gap: &journal.Gap{Reason: "the agent is of another version", Hint: "restart it"}}
}

func (a *agent) sync(device string) *reply {
	w := a.find(device)
	if w == nil || !w.marked() {
		a.look()
		if w = a.find(device); w == nil {
			return &reply{Gap: &journal.Gap{Reason: "the agent does not watch this file system", Hint: "name it: `waybill agent PATH...`"}}
		}
	}
	return w.sync()
}

func (a *agent) status() *Status {
	s := &Status{PID: os.Getpid(), Started: a.started}
	list := make([]*watch, 0, len(a.watches))
	for _, w := range a.watches {
		if w.group >= 0 {
			list = append(list, w)
		}
	}
	sortWatches(list)
	for _, w := range list {
		s.Volumes = append(s.Volumes, w.status())
	}
	return s
}
