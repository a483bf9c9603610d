package fanotify

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

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
		if markedOn(fd, w.mount.Device) {
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
