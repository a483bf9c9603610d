package fanotify

import (
	"crypto/rand"
	"crypto/sha256"
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
)

// A watch is a file system that is, or was, watched. Its directory has
//
//	journal.json           the history
//	JOURNAL-POSITION.log   the segments of the log
//	alive                  an empty file, whose modification time tells when the agent was there last
type watch struct {
	o     *Options
	dir   string
	mount mountpoint
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

func openWatch(o *Options, dir string, m mountpoint, boot string) (*watch, error) {
	w := &watch{o: o, dir: dir, mount: m, boot: boot, group: -1, recent: map[[16]byte]struct{}{}, buf: make([]byte, bufSize), last: o.Now()}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if w.history, err = readHistory(dir); err != nil {
		return nil, err
	}
	w.history.Volume, w.history.FileSystem = filepath.Base(dir), m.fileSystem
	fd, err := unix.MemfdCreate("waybill-busy", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	w.busy = os.NewFile(uintptr(fd), "busy")
	return w, nil
}

// mark has the kernel tell of the file system.
func (w *watch) mark() error {
	flags := uint(unix.FAN_CLASS_NOTIF | unix.FAN_CLOEXEC | unix.FAN_NONBLOCK)
	if !w.o.Limited {
		flags |= unix.FAN_UNLIMITED_QUEUE
	}
	mask := uint64(interest)
	group, err := unix.FanotifyInit(flags|unix.FAN_REPORT_DFID_NAME_TARGET, unix.O_RDONLY)
	if err == nil && w.o.old {
		err = errors.Join(unix.Close(group), unix.EINVAL)
	}
	if errors.Is(err, unix.EINVAL) {
		mask = oldInterest
		group, err = unix.FanotifyInit(flags|unix.FAN_REPORT_DFID_NAME|unix.FAN_REPORT_FID, unix.O_RDONLY)
	}
	if err != nil {
		return fmt.Errorf("fanotify_init: %w", err)
	}
	if err := unix.FanotifyMark(group, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, mask, unix.AT_FDCWD, w.mount.path); err != nil {
		unix.Close(group)
		if err == unix.EXDEV {
			return fmt.Errorf("watch %s: it is a subvolume; mount the file system's top and name that: %w", w.mount.path, err)
		}
		return fmt.Errorf("watch %s: %w", w.mount.path, err)
	}
	w.group = group
	return nil
}

// marked tells whether the kernel still tells of this file system and of all that is of interest. A mark goes with its file system: one that
// was unmounted and mounted again since has none.
func (w *watch) marked() bool { return markedOn(w.group, w.mount.device) }

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
	w.history.Path = w.mount.path
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
		w.o.Log("%s: %s", w.mount.path, reason)
		if err := w.history.write(w.dir); err != nil {
			w.o.Log("%s: %v", w.mount.path, err)
		}
	}
}

// drain logs what the kernel has to tell up to now, and returns how many events that was. Afterwards what was done before the call is in the log, or the journal has ended.
func (w *watch) drain() (events int) {
	size, err := unix.IoctlGetInt(w.group, unix.TIOCINQ)
	if err == nil && size == 0 {
		return 0
	}
	events = size / unix.FAN_EVENT_METADATA_LEN // of each, the size counts this part only
	if err == nil {
		err = w.setBusy(true)
	}
	if err == nil {
		err = w.take(events)
	}
	if err == nil && w.log != nil {
		err = w.setBusy(false)
	}
	if err != nil {
		w.fail(err)
	}
	return events
}

// take logs at least n events, if there are as many.
func (w *watch) take(n int) error {
	for n > 0 {
		size, err := unix.Read(w.group, w.buf)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			return fmt.Errorf("read the kernel's events: %w", err)
		}
		for b := w.buf[:size]; len(b) > 0; n-- {
			var e event
			if e, b, err = parseEvent(b); err != nil {
				return err
			}
			if err := w.note(&e); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

// note adds an event to what is to be logged.
func (w *watch) note(e *event) error {
	if e.mask&unix.FAN_Q_OVERFLOW != 0 {
		w.payload = w.payload[:0]
		w.end("events were lost: the queue overflowed at "+moment(w.o.Now()), "run the agent with an unlimited queue, or raise fs.fanotify.max_queued_events")
		return w.begin()
	}
	if int(e.pid) == w.o.deaf || w.log == nil {
		return nil
	}
	for _, r := range e.records[:e.n] {
		if err := w.add(&r); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) add(r *record) error {
	before := len(w.payload)
	w.payload = r.append(w.payload)
	hash := sha256.Sum256(w.payload[before:])
	key := [16]byte(hash[:])
	if _, ok := w.recent[key]; ok {
		w.payload = w.payload[:before]
		return nil
	}
	if len(w.recent) >= maxRecent {
		clear(w.recent)
	}
	w.recent[key] = struct{}{}
	if len(w.payload) < bufSize {
		return nil
	}
	return w.flush()
}

func (w *watch) flush() error {
	if w.log == nil || len(w.payload) <= 1 {
		return nil
	}
	err := w.log.append(w.payload)
	w.payload = append(w.payload[:0], payloadEvents)
	return err
}

// fail ends the journal because of an error of our own, and begins another if that can be.
func (w *watch) fail(err error) {
	_ = w.setBusy(true) // should the history not be written either, no other agent goes on with this journal
	w.end(fmt.Sprintf("the agent failed to log what it was told at %s: %v", moment(w.o.Now()), err), "")
	w.tryBegin()
}

func (w *watch) tryBegin() {
	err := w.begin()
	if err == nil {
		err = w.setBusy(false)
	}
	if err == nil {
		w.failure = ""
		return
	}
	w.end(fmt.Sprintf("the agent failed to begin a journal at %s: %v", moment(w.o.Now()), err), "")
	if w.failure != err.Error() {
		w.failure = err.Error()
		w.o.Log("%s: begin a journal: %v", w.mount.path, err)
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
		w.o.Log("%s: the clock was set back from %s to %s", w.mount.path, moment(w.last), moment(now))
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
	return &reply{Dir: w.dir, Volume: w.history.Volume, Journal: c.ID, First: w.log.first(), Position: w.log.next, Size: w.o.MaxLog, Since: c.Started, Taken: now}
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
		w.o.Log("%s: %v", w.mount.path, err)
	}
	if c := w.history.last(); c != nil && c.Unmounted {
		c.Reason, c.Unmounted = between("the file system was unmounted", c.Ended, w.o.Now()), false
	}
	w.tryBegin()
	return w.heartbeat()
}

// setBusy notes whether events may be lost if the agent is killed now.
func (w *watch) setBusy(busy bool) error {
	b := []byte{0}
	if busy {
		b[0] = 1
	}
	_, err := w.busy.WriteAt(b, 0)
	return err
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
	v := Volume{Path: w.mount.path, FileSystem: w.mount.fileSystem, Device: w.mount.device, Status: journal.Status{Kind: Kind, Volume: w.history.Volume}}
	if w.log != nil {
		c := w.history.last()
		v.Status.Journal, v.Status.Since, v.Status.First, v.Status.Next, v.Status.Size = c.ID, c.Started, w.log.first(), w.log.next, w.o.MaxLog
		v.Bytes = int64(w.log.next - w.log.first())
	}
	return v
}

// groupName is what the group's descriptor is called while systemd keeps it.
func (w *watch) groupName() string { return groupPrefix + w.history.Volume }

const groupPrefix = "waybill-"

// adopt goes on with the journal of an agent that is no more, by the descriptors that systemd kept, which are the watch's then. It returns an
// error if that can't be.
func (w *watch) adopt(fds []int) error {
	c := w.history.last()
	if c == nil || !c.Ended.IsZero() || c.Boot != w.boot {
		return errors.New("its journal has ended")
	}
	group, busy := -1, -1
	for _, fd := range fds {
		if markedOn(fd, w.mount.device) {
			group = fd
		} else if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err == nil { // only memory has seals
			busy = fd
		}
	}
	if group < 0 || busy < 0 || len(fds) != 2 {
		return errors.New("the file system is another")
	}
	b := make([]byte, 1)
	if _, err := unix.Pread(busy, b, 0); err != nil || b[0] != 0 {
		return errors.New("the agent was stopped in the middle of a change to its log")
	}
	l, err := resumeLog(w.dir, c.ID, w.o.MaxLog)
	if err != nil {
		return err
	}
	if err := w.busy.Close(); err != nil {
		return err
	}
	w.group, w.log, w.busy = group, l, os.NewFile(uintptr(busy), "busy")
	w.payload = append(w.payload[:0], payloadEvents)
	return nil
}

// orphaned ends the journal that a former agent left, if it did.
func (w *watch) orphaned() {
	c := w.history.last()
	if c == nil || !c.Ended.IsZero() {
		return
	}
	from := c.Started
	if info, err := os.Stat(w.alive()); err == nil {
		from = info.ModTime()
	}
	hint := ""
	if c.Boot != w.boot {
		hint = "the machine was started anew meanwhile"
	}
	w.end(between("agent was not running", from, w.o.Now()), hint)
}

// sortWatches orders by path.
func sortWatches(list []*watch) {
	slices.SortFunc(list, func(a, b *watch) int { return strings.Compare(a.mount.path, b.mount.path) })
}
