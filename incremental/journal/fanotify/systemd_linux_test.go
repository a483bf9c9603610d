package fanotify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

const agentEnv = "WAYBILL_TEST_AGENT" // options: the test binary is to be an agent

func TestMain(m *testing.M) {
	if s := os.Getenv(agentEnv); s != "" {
		os.Exit(beAgent(s))
	}
	os.Exit(m.Run())
}

// passed is what an agent in a process of its own is told.
type passed struct {
	StateDir string
	Mounts   []string
	Every    time.Duration
	User     int // to become first, if not 0
}

func beAgent(options string) int {
	var p passed
	if err := json.Unmarshal([]byte(options), &p); err != nil {
		panic(err)
	}
	o := Options{StateDir: p.StateDir, Mounts: p.Mounts, Every: p.Every, Systemd: FromSystemd(os.Getenv)}
	o.Log = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	if err := syscall.Setuid(p.User); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A service is an agent in a process of its own, run by a fake systemd.
type service struct {
	t      *testing.T
	o      Options
	notify string // the socket; empty: no systemd
	cmd    *exec.Cmd

	mu    sync.Mutex
	kept  map[string][]int // descriptors; guarded by mu
	ready chan struct{}
}

func newService(t *testing.T, o Options) *service {
	t.Helper()
	s := &service{t: t, o: o, kept: map[string][]int{}, ready: make(chan struct{}, 100)}
	s.notify = filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.notify, Net: "unixgram"})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.listen(c)
	}()
	t.Cleanup(func() {
		s.end(unix.SIGKILL)
		c.Close()
		<-done
		s.dropAll()
	})
	return s
}

// listen does what systemd does with notifications (sd_notify(3)).
func (s *service) listen(c *net.UnixConn) {
	b, oob := make([]byte, 4096), make([]byte, 4096)
	for {
		n, m, _, _, err := c.ReadMsgUnix(b, oob)
		if err != nil {
			return
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(b[:n])) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			fields[k] = v
		}
		var fds []int
		messages, _ := unix.ParseSocketControlMessage(oob[:m])
		for i := range messages {
			list, _ := unix.ParseUnixRights(&messages[i])
			fds = append(fds, list...)
		}
		s.notified(fields, fds)
	}
}

func (s *service) notified(fields map[string]string, fds []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fields["FDNAME"]
	if fields["FDSTORE"] == "1" {
		for _, fd := range fds {
			unix.CloseOnExec(fd)
		}
		s.kept[name] = append(s.kept[name], fds...)
	}
	if fields["FDSTOREREMOVE"] == "1" {
		for _, fd := range s.kept[name] {
			unix.Close(fd)
		}
		delete(s.kept, name)
	}
	if fields["READY"] == "1" {
		s.ready <- struct{}{}
	}
}

func (s *service) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.kept {
		for _, fd := range list {
			unix.Close(fd)
		}
	}
	clear(s.kept)
}

// start starts the agent with what is kept, and waits until it is ready.
func (s *service) start() {
	s.t.Helper()
	options, err := json.Marshal(passed{StateDir: s.o.StateDir, Mounts: s.o.Mounts, Every: s.o.Every})
	must(s.t, err)
	// LISTEN_PID must be the agent's, which only the process that becomes it knows.
	s.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	s.cmd.Stderr = os.Stderr
	names := s.pass()
	s.cmd.Env = append(os.Environ(), agentEnv+"="+string(options), "NOTIFY_SOCKET="+s.notify,
		fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	must(s.t, s.cmd.Start())
	for _, f := range s.cmd.ExtraFiles {
		f.Close()
	}
	select {
	case <-s.ready:
	case <-time.After(5 * time.Second):
		s.t.Fatal("the agent isn't ready")
	}
}

func (s *service) pass() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.kept)) {
		for _, fd := range s.kept[name] {
			fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
			must(s.t, err)
			s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, os.NewFile(uintptr(fd), name))
			names = append(names, name)
		}
	}
	return names
}

func (s *service) end(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Error(err)
	}
	err := s.cmd.Wait()
	if signal == unix.SIGTERM && err != nil {
		s.t.Error(err)
	}
	s.cmd = nil
}

// An agent that systemd starts anew goes on with the journal, and knows what was done while there was none.
func TestRestartBySystemd(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"stopped": unix.SIGTERM, "killed": unix.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			v := volume(t, "tmpfs")
			s := newService(t, Options{StateDir: t.TempDir(), Mounts: []string{v}, Every: 50 * time.Millisecond})
			s.start()
			j := open4(t, s.o.StateDir, v)
			from, before := now(t, j), scan(t, v)
			for i := range 5 {
				write(t, fmt.Sprintf("%s/before%d", v, i), "x")
				s.end(signal)
				write(t, fmt.Sprintf("%s/meanwhile%d", v, i), "x")
				s.start()
				write(t, fmt.Sprintf("%s/after%d", v, i), "x")
			}
			to := now(t, j)
			if to.Journal != from.Journal {
				changesGap(t, j, from, "agent was not running from ") // killed in the middle of a change to its log
				t.Skip("the agent was killed in an unlucky moment")
			}
			mustCover(t, before, scan(t, v), changed(t, j, from))
		})
	}
}

// Wherever an agent is killed while it has much to do, the next one knows all, or says that it doesn't.
func TestKilledAtWork(t *testing.T) {
	v := volume(t, "tmpfs")
	s := newService(t, Options{StateDir: t.TempDir(), Mounts: []string{v}, Every: time.Millisecond})
	s.start()
	j := open4(t, s.o.StateDir, v)
	went, ended := 0, 0
	for round := range 5 {
		for i := range 300 {
			must(t, os.RemoveAll(fmt.Sprintf("%s/%d-%d", v, round-1, i)))
		}
		from, before := now(t, j), scan(t, v)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 300 {
				os.WriteFile(fmt.Sprintf("%s/%d-%d", v, round, i), []byte("x"), 0o600)
			}
		}()
		time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
		s.end(unix.SIGKILL)
		<-done
		s.start()
		d := &journal.Dirty{}
		err := j.Changes(t.Context(), from, now(t, j), d)
		if err != nil {
			wantGap(t, err, "agent was not running from ")
			ended++
			continue
		}
		went++
		mustCover(t, before, scan(t, v), d)
	}
	t.Logf("the journal went on %d times and ended %d times", went, ended)
}

// An agent that was killed between taking events and logging them has lost them: the next one must not go on.
func TestKilledWithEventsInHand(t *testing.T) {
	v := volume(t, "tmpfs")
	s := newService(t, Options{StateDir: t.TempDir(), Mounts: []string{v}})
	s.start()
	j := open4(t, s.o.StateDir, v)
	from := now(t, j)
	s.end(unix.SIGKILL)
	s.mu.Lock()
	for _, fds := range s.kept {
		if _, err := unix.Pwrite(fds[1], []byte{1}, 0); err != nil {
			t.Error(err)
		}
	}
	s.mu.Unlock()
	s.start()
	changesGap(t, j, from, "agent was not running from ")
}

// What was passed on is of no use if the file system was unmounted, or the log is not what it was.
func TestRestartBySystemdInVain(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, v, device string, j *Journal){
		"remounted": func(t *testing.T, v, device string, j *Journal) {
			must(t, unix.Unmount(v, 0))
			must(t, unix.Mount(device, v, "ext4", 0, ""))
		},
		"log cut": func(t *testing.T, v, device string, j *Journal) {
			logs, _ := filepath.Glob(j.dir + "/*.log")
			must(t, os.Truncate(logs[0], 20))
		},
		"log gone": func(t *testing.T, v, device string, j *Journal) {
			logs, _ := filepath.Glob(j.dir + "/*.log")
			must(t, os.Remove(logs[0]))
		},
		"descriptors dropped": nil,
	} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			top := memory(t)
			v := filepath.Join(top, "volume")
			must(t, os.Mkdir(v, 0o755))
			device := loop(t, image(t, top, "ext4"))
			mountHere(t, device, v, "ext4", "")
			s := newService(t, Options{StateDir: t.TempDir(), Mounts: []string{v}})
			s.start()
			j, err := Open(s.o.StateDir, v)
			must(t, err)
			from := now(t, j)
			must(t, j.Close())
			s.end(unix.SIGKILL)
			if spoil == nil {
				s.dropAll()
			} else {
				spoil(t, v, device, j)
			}
			s.start()
			j = open4(t, s.o.StateDir, v)
			changesGap(t, j, from, "agent was not running from ")
			s.mu.Lock()
			defer s.mu.Unlock()
			for name, list := range s.kept {
				if len(list) != 2 {
					t.Errorf("%d descriptors are kept as %s", len(list), name)
				}
			}
		})
	}
}

// Without the right to, an agent says so at once.
func TestNoRight(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(os.Args[0])
	options, err := json.Marshal(passed{StateDir: t.TempDir(), Mounts: []string{"/"}, User: 65534})
	must(t, err)
	cmd.Env = append(os.Environ(), agentEnv+"="+string(options))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it needs root") {
		t.Errorf("%v: %s", err, out)
	}
}
