package fanotify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

// two returns a volume that an agent watches, and its journal.
func watched(t *testing.T, o Options) (v string, j *Journal, stop func()) {
	t.Helper()
	v = volume(t, "tmpfs")
	o.StateDir, o.Mounts = t.TempDir(), []string{v}
	stop = start(t, o)
	return v, open4(t, o.StateDir, v), stop
}

func changesGap(t *testing.T, j *Journal, from *journal.Cursor, reason string) {
	t.Helper()
	to, err := j.Now(t.Context())
	must(t, err)
	wantGap(t, j.Changes(t.Context(), from, to, &journal.Dirty{}), reason)
}

func TestGapNoAgent(t *testing.T) {
	v := volume(t, "tmpfs")
	_, err := Open(t.TempDir(), v)
	wantGap(t, err, "the agent does not run")

	s := t.TempDir()
	stop := start(t, Options{StateDir: s, Mounts: []string{v}})
	j := open4(t, s, v)
	stop()
	_, err = j.Now(t.Context())
	wantGap(t, err, "the agent does not run")
}

func TestGapNotWatched(t *testing.T) {
	s := t.TempDir()
	start(t, Options{StateDir: s, Mounts: []string{volume(t, "tmpfs")}})
	_, err := Open(s, volume(t, "tmpfs"))
	wantGap(t, err, "the agent does not watch this file system")
}

// An agent that stops and starts was not there in between, and says from when to when.
func TestGapRestart(t *testing.T) {
	v := volume(t, "tmpfs")
	o := Options{StateDir: t.TempDir(), Mounts: []string{v}}
	stop := start(t, o)
	j := open4(t, o.StateDir, v)
	from := now(t, j)
	stop()
	write(t, v+"/unheard", "x")
	start(t, o)
	changesGap(t, j, from, "agent was not running from "+moment(time.Now())[:10])

	from = now(t, j)
	write(t, v+"/heard", "x")
	if !names(t, changed(t, j, from), v+"/heard") {
		t.Error("the new journal does not hear")
	}
}

// A journal of another boot is over, however well it was left.
func TestGapReboot(t *testing.T) {
	v := volume(t, "tmpfs")
	o := Options{StateDir: t.TempDir(), Mounts: []string{v}}
	stop := start(t, o)
	j := open4(t, o.StateDir, v)
	from := now(t, j)
	stop()
	h, err := readHistory(j.dir)
	must(t, err)
	h.last().Boot = "another"
	must(t, h.write(j.dir))
	start(t, o)
	to := now(t, j)
	err = j.Changes(t.Context(), from, to, &journal.Dirty{})
	wantGap(t, err, "agent was not running from ")
	var gap *journal.Gap
	if errors.As(err, &gap); gap.Hint != "the machine was started anew meanwhile" {
		t.Errorf("the hint is %q", gap.Hint)
	}
}

// A limited queue overflows when nobody reads it, and what comes then is of another journal.
func TestGapOverflow(t *testing.T) {
	v, j, _ := watched(t, Options{Limited: true, Every: time.Hour})
	from := now(t, j)
	n := queueLength(t) + 100
	for i := range n { // directories are not merged
		must(t, os.Mkdir(fmt.Sprintf("%s/%d", v, i), 0o755))
	}
	changesGap(t, j, from, "events were lost: the queue overflowed at ")
	from = now(t, j)
	write(t, v+"/heard", "x")
	if !names(t, changed(t, j, from), v+"/heard") {
		t.Error("the journal after the overflow does not hear")
	}
}

func queueLength(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/fs/fanotify/max_queued_events")
	must(t, err)
	_, err = fmt.Sscan(string(b), &n)
	must(t, err)
	if n > 50_000 {
		t.Skipf("the queue takes %d events", n)
	}
	return n
}

// While a file system was mounted elsewhere, anything may have been done to it; also if it was mounted again before the agent looked.
func TestGapUnmount(t *testing.T) {
	for name, every := range map[string]time.Duration{"seen": time.Millisecond, "between two looks": time.Hour} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			top := memory(t)
			v := filepath.Join(top, "volume")
			must(t, os.Mkdir(v, 0o755))
			device := loop(t, image(t, top, "ext4"))
			mountHere(t, device, v, "ext4", "")
			s := t.TempDir()
			start(t, Options{StateDir: s, Mounts: []string{top}, Every: every}) // watched as it is below
			j, err := Open(s, v)
			must(t, err)
			from := now(t, j)
			must(t, j.Close())
			must(t, unix.Unmount(v, 0))
			if every < time.Minute {
				time.Sleep(50 * time.Millisecond)
			}
			must(t, unix.Mount(device, v, "ext4", 0, ""))
			write(t, v+"/unheard", "x")
			j = open4(t, s, v)
			changesGap(t, j, from, "the file system was unmounted from "+moment(time.Now())[:10])
			from = now(t, j)
			write(t, v+"/heard", "x")
			if !names(t, changed(t, j, from), v+"/heard") {
				t.Error("the new journal does not hear")
			}
		})
	}
}

// A log that is too small drops its oldest part.
func TestGapWrapped(t *testing.T) {
	v, j, _ := watched(t, Options{MaxLog: 16 << 10})
	from := now(t, j)
	for i := range 1000 {
		write(t, fmt.Sprintf("%s/file%d", v, i), "x")
		if i%10 == 0 {
			now(t, j)
		}
	}
	changesGap(t, j, from, "journal wrapped")
	s, err := j.Status(t.Context())
	must(t, err)
	if s.First <= from.Position || s.Next-s.First > 24<<10 || s.Size != 16<<10 || !s.Since.After(from.Taken) {
		t.Errorf("the journal is %+v", s)
	}
}

// A machine that was set back to an earlier state, its memory too, has the same journal with another past.
func TestGapSetBack(t *testing.T) {
	v, j, _ := watched(t, Options{})
	from := now(t, j)
	later := *from
	later.Position += 1000
	changesGap(t, j, &later, "the volume was set back to an earlier state")

	write(t, v+"/file", "x")
	to := now(t, j)
	for _, c := range []journal.Cursor{
		{Position: to.Position - 1, Taken: to.Taken},
		{Position: to.Position, Taken: to.Taken.Add(1)},
		{Position: 1, Taken: to.Taken},
	} {
		c.Kind, c.Volume, c.Journal = to.Kind, to.Volume, to.Journal
		err := j.Changes(t.Context(), &c, now(t, j), &journal.Dirty{})
		if gap := (*journal.Gap)(nil); !errors.As(err, &gap) {
			t.Errorf("%+v: %v, want a gap", c, err)
		}
	}
}

func TestGapUnknownJournal(t *testing.T) {
	_, j, _ := watched(t, Options{})
	c := *now(t, j)
	c.Journal = "other"
	changesGap(t, j, &c, "journal re-created")
	c.Volume = "other"
	changesGap(t, j, &c, "journal re-created")
	changesGap(t, j, nil, "journal re-created")
}

func TestGapDamagedLog(t *testing.T) {
	v, j, _ := watched(t, Options{})
	from := now(t, j)
	write(t, v+"/file", "x")
	to := now(t, j)
	logs, err := filepath.Glob(j.dir + "/*.log")
	must(t, err)
	b, err := os.ReadFile(logs[0])
	must(t, err)
	for at := from.Position; at < to.Position-syncFrame; at++ {
		b[at] ^= 1
		must(t, os.WriteFile(logs[0], b, 0o600))
		wantGap(t, j.Changes(t.Context(), from, to, &journal.Dirty{}), "the agent's log is damaged")
		b[at] ^= 1
	}
	must(t, os.Remove(logs[0]))
	wantGap(t, j.Changes(t.Context(), from, to, &journal.Dirty{}), "journal wrapped")
}

// When the log can't be written, the journal is over, and another begins as soon as it can be.
func TestGapLogFull(t *testing.T) {
	v := volume(t, "tmpfs")
	s := filepath.Join(memory(t), "state")
	must(t, os.Mkdir(s, 0o755))
	mountHere(t, "tmpfs", s, "tmpfs", "size=64k")
	start(t, Options{StateDir: s, Mounts: []string{v}})
	j := open4(t, s, v)
	from := now(t, j)
	must(t, os.WriteFile(s+"/filler", make([]byte, 30<<10), 0o600))
	for i := range 2000 {
		write(t, fmt.Sprintf("%s/file%d", v, i), "x")
	}
	_, err := j.Now(t.Context())
	wantGap(t, err, "the agent can't keep a log: ")
	must(t, os.Remove(s+"/filler"))
	changesGap(t, j, from, "the agent failed to log what it was told at ")
	from = now(t, j)
	write(t, v+"/heard", "x")
	if !names(t, changed(t, j, from), v+"/heard") {
		t.Error("the new journal does not hear")
	}
}

func TestTwoAgents(t *testing.T) {
	v := volume(t, "tmpfs")
	o := Options{StateDir: t.TempDir(), Mounts: []string{v}}
	start(t, o)
	if err := Run(t.Context(), o); !errors.Is(err, ErrRunning) {
		t.Errorf("a second agent: %v", err)
	}
}

// After the clock was set back equal times don't mean equal content.
func TestClockSetBack(t *testing.T) {
	var mu sync.Mutex
	back := time.Duration(0)
	v, j, _ := watched(t, Options{Every: time.Hour, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(-back)
	}})
	f, err := os.Create(v + "/file")
	must(t, err)
	defer f.Close()
	from := now(t, j)
	_, err = f.WriteString("x")
	must(t, err)
	id := inode(t, v+"/file")
	if d := changed(t, j, from); d.Files[id] != nil && d.Files[id].Read {
		t.Error("a file that was written is to be read whatever its times are")
	}
	mu.Lock()
	back = time.Hour
	mu.Unlock()
	from = now(t, j)
	_, err = f.WriteString("x")
	must(t, err)
	mu.Lock()
	back = 2 * time.Hour
	mu.Unlock()
	if d := changed(t, j, from); d.Files[id] == nil || !d.Files[id].Read {
		t.Error("a file that was written is not to be read, with the clock set back")
	}
}
