package fanotify

import (
	"crypto/sha256"
	"fmt"

	"golang.org/x/sys/unix"
)

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
		w.o.Log("%s: begin a journal: %v", w.mount.Path, err)
	}
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
