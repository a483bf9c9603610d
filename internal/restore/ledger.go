package restore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"waybill/internal/catalog"
	"waybill/manifest"
)

// A ledger is the file in the target that says a restore is not complete. It is text:
//
//	This directory is being restored from recovery point ... (two lines for people)
//	boot <what the system calls its current run>
//	begun <seconds> <nanoseconds>
//	safe <seconds> <nanoseconds>         again and again: the last one counts
//
// Times are by the target's own clock. What was born since begun, in the place of an entry and
// looking like it, was restored: nothing else gives a file its entry's old mtime. When the system was
// started anew since, power may have been lost, and with it content that a file's size and
// mtime promise; then only what was complete before safe, when all was synced to the medium, counts.
type ledger struct {
	name    string
	file    *os.File
	resumed bool
	begun   catalog.Time
	trusted bool         // the system has run since: nothing is lost
	synced  catalog.Time // the last safe; zero for none
}

const ledgerText = "This directory is being restored from recovery point %s.\n" +
	"The same restore, run again, goes on from here. Delete this file to give it up.\n"

// openLedger finds the ledger of an interrupted run, or begins one.
func openLedger(target *handle, point manifest.Digest) (*ledger, error) {
	l := &ledger{name: fmt.Sprintf(".waybill-restore-%.16s", point)}
	var err error
	l.file, err = target.root.OpenFile(l.name, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		l.resumed = true
		if st, err := target.lstat(l.name); err != nil || st.kind != catalog.File {
			return nil, fmt.Errorf("%s in the target is not the file of an interrupted restore; remove it: %w", l.name, fs.ErrExist)
		}
		l.file, err = target.root.OpenFile(l.name, os.O_RDWR|os.O_APPEND, 0)
	}
	if err == nil {
		err = lock(l.file)
	}
	if err == nil && l.resumed {
		l.resumed, err = l.read()
	}
	if err == nil && !l.resumed {
		err = l.begin(target, point)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("noting in the target that a restore begins: %w", full(err))
	}
	return l, nil
}

func (l *ledger) begin(target *handle, point manifest.Digest) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(l.file, ledgerText+"boot %s\n", point, bootID()); err != nil {
		return err
	}
	st, err := target.lstat(l.name)
	if err != nil {
		return err
	}
	l.begun, l.trusted = st.changed, true
	if _, err = fmt.Fprintf(l.file, "begun %d %d\n", l.begun.Sec, l.begun.Nsec); err != nil {
		return err
	}
	return l.file.Sync()
}

// read takes over what an interrupted run wrote; false when it didn't come far enough to have restored anything.
func (l *ledger) read() (ok bool, err error) {
	lines := bufio.NewScanner(l.file)
	for lines.Scan() {
		word, rest, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		var t catalog.Time
		switch string(word) {
		case "boot":
			l.trusted = string(rest) == bootID() && len(rest) > 0
		case "begun", "safe":
			if n, err := fmt.Sscanf(string(rest), "%d %d", &t.Sec, &t.Nsec); n != 2 || err != nil {
				continue // cut short as it was written
			}
			if string(word) == "begun" {
				l.begun, ok = t, true
			} else {
				l.synced = t
			}
		}
	}
	return ok, lines.Err()
}

// owns tells whether something in the target was made by an interrupted run, or since then.
func (l *ledger) owns(st *stat) bool { return l.resumed && !st.born.Before(l.begun) }

// safe tells whether what was made is there as it was written.
func (l *ledger) safe(st *stat) bool { return l.trusted || st.changed.Before(l.synced) }

// mark makes safe what was restored so far.
func (l *ledger) mark(target *handle) error {
	if _, err := l.file.WriteString("\n"); err != nil { // the target's clock tells the time by it
		return full(err)
	}
	st, err := target.lstat(l.name)
	if err == nil {
		err = target.sync()
	}
	if err == nil {
		_, err = fmt.Fprintf(l.file, "safe %d %d\n", st.changed.Sec, st.changed.Nsec)
	}
	if err != nil {
		return fmt.Errorf("making safe what was restored so far: %w", full(err))
	}
	return nil
}

// done makes all that was restored durable and removes the ledger.
func (l *ledger) done(target *handle) error {
	if err := target.sync(); err != nil {
		return fmt.Errorf("making durable what was restored: %w", full(err))
	}
	return l.remove(target)
}

// forget removes the ledger of a run that wrote nothing.
func (l *ledger) forget(target *handle) error {
	if l.resumed {
		return nil
	}
	return l.remove(target)
}

func (l *ledger) remove(target *handle) error {
	if err := target.root.Remove(l.name); err != nil {
		return fmt.Errorf("removing the mark of an unfinished restore: %w", err)
	}
	return nil
}

func (l *ledger) close() {
	if l.file != nil {
		l.file.Close() // what it says is checked when it is read
	}
}
