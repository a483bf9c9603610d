package fanotify

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
	"waybill/internal/mountinfo"
)

// A watch is a file system that is, or was, watched. Its directory has
//
//	journal.json           the history
//	JOURNAL-POSITION.log   the segments of the log
//	alive                  an empty file, whose modification time tells when the agent was there last
type watch struct {
	o     *Options
	dir   string
	mount mountinfo.Mount
	boot  string

	group   int      // fanotify's descriptor; -1: the file system is not watched now
	busy    *os.File // in memory, one byte: 1 while events were taken out of the kernel's queue and aren't in the log yet
	history *history
	log     *log   // nil: no journal goes on
	failure string // why none could be begun
	payload []byte
	recent  map[[16]byte]struct{} // what was logged since the last sync, so that it needs not be again
	last    time.Time             // the clock when it was last looked at
	buf     []byte
}

const (
	maxRecent = 200_000 // 8 MB
	bufSize   = 256 << 10
)

func openWatch(o *Options, dir string, m mountinfo.Mount, boot string) (*watch, error) {
	w := &watch{o: o, dir: dir, mount: m, boot: boot, group: -1, recent: map[[16]byte]struct{}{}, buf: make([]byte, bufSize), last: o.Now()}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if w.history, err = readHistory(dir); err != nil {
		return nil, err
	}
	w.history.Volume, w.history.FileSystem = filepath.Base(dir), m.System
	fd, err := unix.MemfdCreate("waybill-busy", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	w.busy = os.NewFile(uintptr(fd), "busy")
	return w, nil
}

// newGroup returns a descriptor to be told of events by, and of which.
func newGroup(o *Options) (group int, mask uint64, err error) {
	flags := uint(unix.FAN_CLASS_NOTIF | unix.FAN_CLOEXEC | unix.FAN_NONBLOCK)
	if !o.Limited {
		flags |= unix.FAN_UNLIMITED_QUEUE
	}
	if !o.old {
		group, err = unix.FanotifyInit(flags|unix.FAN_REPORT_DFID_NAME_TARGET, unix.O_RDONLY)
		mask = interest
	}
	if o.old || err == unix.EINVAL {
		group, err = unix.FanotifyInit(flags|unix.FAN_REPORT_DFID_NAME|unix.FAN_REPORT_FID, unix.O_RDONLY)
		mask = oldInterest
	}
	switch err {
	case nil:
		return group, mask, nil
	case unix.EPERM:
		return -1, 0, fmt.Errorf("it needs root, to be told of whole file systems: fanotify_init: %w", err)
	case unix.ENOSYS, unix.EINVAL:
		return -1, 0, fmt.Errorf("it needs Linux 5.9 or newer, with fanotify: fanotify_init: %w", err)
	}
	return -1, 0, fmt.Errorf("fanotify_init: %w", err)
}

// mark has the kernel tell of the file system.
func (w *watch) mark() error {
	group, mask, err := newGroup(w.o)
	if err != nil {
		return err
	}
	if err := unix.FanotifyMark(group, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, mask, unix.AT_FDCWD, w.mount.Path); err != nil {
		unix.Close(group)
		if err == unix.EXDEV {
			return fmt.Errorf("watch %s: it is a subvolume; mount the file system's top and name that: %w", w.mount.Path, err)
		}
		return fmt.Errorf("watch %s: %w", w.mount.Path, err)
	}
	w.group = group
	return nil
}

// marked tells whether the kernel still tells of this file system and of all that is of interest. A mark goes with its file system: one that
// was unmounted and mounted again since has none.
func (w *watch) marked() bool { return markedOn(w.group, w.mount.Device) }

func markedOn(group int, device string) bool {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(group))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		var dev, flags, mask uint64
		if n, _ := fmt.Sscanf(line, "fanotify sdev:%x mflags:%x mask:%x", &dev, &flags, &mask); n != 3 {
			continue
		}
		const minorBits = 20 // of the kernel's own form of a device number
		name := fmt.Sprintf("%d:%d", dev>>minorBits, dev&(1<<minorBits-1))
		if name == device && (mask&interest == interest || mask&oldInterest == oldInterest) {
			return true
		}
	}
	return false
}

// begin begins a journal. The file system must be marked by then.
func (w *watch) begin() error {
	var id [16]byte
	rand.Read(id[:])
	name := hex.EncodeToString(id[:])
	w.history.Path = w.mount.Path
	w.history.Journals = append(w.history.Journals, chapter{ID: name, Boot: w.boot, Started: w.o.Now()})
	err := w.history.write(w.dir)
	if err == nil {
		w.log, err = newLog(w.dir, name, w.o.MaxLog)
	}
	if err != nil { // the next attempt has another id
		w.log, w.history.Journals = nil, w.history.Journals[:len(w.history.Journals)-1]
		return err
	}
	w.payload = append(w.payload[:0], payloadEvents)
	clear(w.recent)
	return nil
}

// end ends the journal that goes on, if one does: nothing it knows leads to now.
func (w *watch) end(reason, hint string) {
	if w.log != nil {
		w.log.file.Close()
		w.log = nil
	}
	if c := w.history.last(); c != nil && c.Ended.IsZero() {
		c.Ended, c.Reason, c.Hint = w.o.Now(), reason, hint
		w.o.Log("%s: %s", w.mount.Path, reason)
		if err := w.history.write(w.dir); err != nil {
			w.o.Log("%s: %v", w.mount.Path, err)
		}
	}
}

// tick does what is to be done now and then, and returns how many events there were.
func (w *watch) tick() (events int) {
	if w.group < 0 {
		return 0
	}
	if w.log == nil {
		w.tryBegin()
	}
	w.checkClock()
	return w.drain()
}

// checkClock logs when the clock was set back: from then on, equal times mean less.
func (w *watch) checkClock() {
	now := w.o.Now()
	if now.Round(0).Before(w.last.Round(0).Add(-time.Second)) && w.log != nil {
		w.o.Log("%s: the clock was set back from %s to %s", w.mount.Path, moment(w.last), moment(now))
		if err := w.log.append([]byte{payloadClock}); err != nil {
			w.fail(err)
		}
	}
	w.last = now
}

// sync answers a sync: the position behind all that was done before.
func (w *watch) sync() *reply {
	w.tick()
	if w.group < 0 || !w.marked() {
		return &reply{Gap: w.lost()}
	}
	now := w.o.Now().Round(0)
	if w.log != nil {
		if err := w.log.append(binary.LittleEndian.AppendUint64([]byte{payloadSync}, uint64(now.UnixNano()))); err != nil {
			w.fail(err)
		}
	}
	if w.log == nil {
		return &reply{Gap: &journal.Gap{Reason: "the agent can't keep a log: " + w.failure}}
	}
	clear(w.recent)
	c := w.history.last()
	return &reply{Dir: w.dir, Volume: w.history.Volume, Journal: c.ID, First: w.log.first(), Position: w.log.next, Size: w.o.MaxLog, Since: w.log.since(c.Started), Taken: now}
}

// lost says that a file system is not watched.
func (w *watch) lost() *journal.Gap {
	if c := w.history.last(); c != nil && c.Reason != "" {
		return &journal.Gap{Reason: c.Reason, Hint: c.Hint}
	}
	return &journal.Gap{Reason: "the file system was unmounted at " + moment(w.o.Now())}
}

// unmounted ends the journal of a file system that is gone.
func (w *watch) unmounted() {
	if w.log != nil {
		w.drain() // an overflow is worth knowing
	}
	if c := w.history.last(); c != nil && c.Ended.IsZero() {
		c.Unmounted = true
	}
	w.end("the file system was unmounted at "+moment(w.o.Now()), "")
	w.closeGroup()
}

func (w *watch) closeGroup() {
	if w.group >= 0 {
		w.o.Systemd.forget(w.groupName())
		unix.Close(w.group)
		w.group = -1
	}
}

// start has the file system watched, under a new journal. If the last one ended with the file system's unmounting, its reason is amended.
func (w *watch) start() error {
	if err := w.mark(); err != nil {
		return err
	}
	w.o.Systemd.forget(w.groupName())
	if err := w.o.Systemd.keep(w.groupName(), w.group, int(w.busy.Fd())); err != nil {
		w.o.Log("%s: %v", w.mount.Path, err)
	}
	if c := w.history.last(); c != nil && c.Unmounted {
		c.Reason, c.Unmounted = between("the file system was unmounted", c.Ended, w.o.Now()), false
	}
	w.tryBegin()
	return w.heartbeat()
}

// close leaves the journal so that it can go on, if the group's descriptor is with systemd.
func (w *watch) close() error {
	var err error
	if w.group >= 0 {
		w.drain()
		err = unix.Close(w.group)
	}
	if w.log != nil {
		err = errors.Join(err, w.log.close())
	}
	return errors.Join(err, w.heartbeat(), w.busy.Close())
}

func (w *watch) alive() string { return filepath.Join(w.dir, "alive") }

func (w *watch) heartbeat() error {
	now := w.o.Now()
	err := os.Chtimes(w.alive(), now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(w.alive(), nil, 0o600)
	}
	return err
}

func (w *watch) status() Volume {
	v := Volume{Path: w.mount.Path, FileSystem: w.mount.System, Device: w.mount.Device, Status: journal.Status{Kind: Kind, Volume: w.history.Volume}}
	if w.log != nil {
		c := w.history.last()
		v.Status.Journal, v.Status.Since, v.Status.First, v.Status.Next, v.Status.Size = c.ID, w.log.since(c.Started), w.log.first(), w.log.next, w.o.MaxLog
		v.Bytes = int64(w.log.next - w.log.first())
	}
	return v
}

// sortWatches orders by path.
func sortWatches(list []*watch) {
	slices.SortFunc(list, func(a, b *watch) int { return strings.Compare(a.mount.Path, b.mount.Path) })
}
