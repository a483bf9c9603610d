// Package fanotify is the change journal of Linux file systems that have none of their own: ext4, xfs, tmpfs and their like. An
// agent, [Run], has the kernel tell it what happens on whole file systems (fanotify(7)) and keeps a log of which names in which directories that was.
// A backup opens a file system's log with [Open] and asks it as it asks any journal.
//
// The log says nothing of what was done, only where, by file handles, which outlive renames. It vouches for what the agent
// was there to hear. So a journal begins, under a new random id, when the agent starts to watch a file system, and ends when the
// agent stops, the file system is unmounted, the kernel's queue overflows or the log can't be written. A cursor of a journal that
// ended meets a [journal.Gap] with the reason. An agent that systemd starts anew gets its descriptors back
// from it (see [Systemd]) with what happened meanwhile in their queues, and its journals go on.
//
// What the kernel doesn't tell, and how it is met:
//
//   - Writes to mapped memory are told when the last mapping and descriptor are gone, by one CLOSE_WRITE. So a
//     file that was closed after it was open for writing, and of which no write was told, is read again even if its times are what they were; and what
//     is mapped shared and writable at the time of a backup is read by each.
//   - Writes by Linux' own asynchronous calls (io_submit(2)) and by loop devices are told by CLOSE_WRITE only. So what is
//     open for writing at the time of a backup is looked at by each.
//   - chattr(1) and other ioctls that change flags only, or move blocks, are not told. A sweep finds their new change time.
//   - Files that a container has mapped through overlayfs are seen when they are closed.
//   - What is open is read from /proc, so a backup must run in the machine's own name space of processes, and with all of root's
//     capabilities: into a process that has more it can't look, and what only that has mapped is seen when it is closed.
//
// Only root can be told of whole file systems. Network file systems and FUSE have no such events; btrfs has a better journal.
package fanotify

import (
	"errors"
	"os"
	"time"

	"waybill/incremental/journal"
	"waybill/internal/catalog"
)

// Kind is the kind of these journals in a cursor.
const Kind = "fanotify"

// ErrRunning says that another agent keeps this state directory.
var ErrRunning = errors.New("an agent runs already")

// Options say what an agent does. StateDir is required.
type Options struct {
	StateDir string // where the machine's state is; the agent's is in agent/ there. Logs are readable by root only

	// Mounts are paths. Watched are the file systems they are on, and those mounted below them, now or later, if they are of a kind that is
	// watched without being named: tmpfs and btrfs are watched only when a path of theirs is named.
	Mounts []string

	MaxLog  int64         // bytes of log for each file system, the oldest part is dropped then; 0: 64 MiB
	Every   time.Duration // how often the kernel's queue is read; 0: 300 ms. More often costs more, as less is merged
	Limited bool          // have the kernel's queue limited (by fs.fanotify.max_queued_events): an overflow costs a scan, not memory

	Systemd *Systemd                         // nil: not run by systemd
	Now     func() time.Time                 // the clock; nil: time.Now
	Log     func(format string, args ...any) // told what befalls the agent; nil: nobody

	deaf int  // the process whose events are ignored; 0: this one, as its log would never end. Other values are for tests
	old  bool // as on a kernel before 5.17; for tests
}

func (o *Options) defaults() {
	if o.MaxLog == 0 {
		o.MaxLog = 64 << 20
	}
	if o.Every == 0 {
		o.Every = 300 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.deaf == 0 {
		o.deaf = os.Getpid()
	}
}

// Status is what an agent tells of itself.
type Status struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Volumes []Volume  `json:"volumes"` // by path
}

// A Volume is a file system that an agent watches.
type Volume struct {
	Path       string         `json:"path"` // where it is mounted; one of several places, perhaps
	FileSystem string         `json:"file_system"`
	Device     string         `json:"device"` // major:minor
	Status     journal.Status `json:"journal"`
	Bytes      int64          `json:"bytes"` // of its log
}

// cursor is the moment that a sync was answered with.
func (r *reply) cursor() *catalog.JournalCursor {
	return &catalog.JournalCursor{Kind: Kind, Volume: r.Volume, Journal: r.Journal, Position: r.Position, Taken: r.Taken}
}
