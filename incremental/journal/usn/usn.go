// Package usn is the change journal of NTFS and ReFS: the records that Windows writes of every change to a volume's files, each under a
// number (USN) that only grows. [OpenLive] opens that of a volume in use, on Windows; [OpenRaw] that of an NTFS volume
// which lies still on a disk or in an image. Both are the same [Journal] over two devices.
//
// # What a record means
//
// A record has the file's id, one of its names and its parent's id, and the reasons that have piled up since the file was opened. Records are
// folded into places to look at: the name in the parent; all names that the file has now, for a change through one hard link concerns
// each; and the file's streams, which are entries of the directory too. A deleted file may have had streams that no record tells of,
// so its directory is listed, unless it was also created in the interval.
//
// While a file is open, a second change of the same kind writes no record. So a cursor keeps the files whose last record was no CLOSE;
// they are read the next time, whatever the records say.
//
// # When it can't vouch
//
// The journal must have the same id, reach back to the cursor, and have the same records right before it as then: a volume that was set
// back to an earlier state goes on with the same id, and may have come past the cursor again.
//
// # When it wrapped
//
// A journal that has lost records from the cursor on, and is otherwise good, is made up for by the file table, which keeps each file's last USN: all of
// it is enumerated, and what has a USN from the cursor on is looked at, and read, for what befell it is not known. The records that are left
// tell which files are open. What was deleted is in no table, and a directory's times are no proof: in the file table and journal of a
// real Windows 7, 8 of 359 directories are older than what was last created or deleted in them, by up to twelve minutes. So the dirt
// has the ids of all files there are, and the engine looks where the base has others, without opening a file: it takes one walk over the base's
// catalogue, and a look at each directory's times, for what was created and deleted again is in neither. The ids take two bytes for each record of the
// table, up to 64 MiB; a table of more than 33 million records is a gap, as is ReFS, which has none.
//
// The records that would tell that the volume was set back are lost, too. So a cursor keeps some files with their last USNs: one that has an earlier one now
// was set back, and if none has the same the volume is scanned.
//
// # What it doesn't see
//
// Changes by another system (ntfs-3g, ntfs3) write no records. A file that was changed before the first record the journal still has, and
// was held open ever since, is not known to be open. Sweeps find both.
//
// Of a volume in use nothing is said to be what it was: what was only renamed when the journal was read may be written to before it is saved.
//
// BUG: what Windows is asked by OpenLive, Create and Resize was tested against its documentation and Wine, which has no journals.
package usn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"waybill/incremental/journal"
)

// Kind is what cursors of this journal call it.
const Kind = "usn"

// MaxOpen is how many open files a cursor keeps. With more it forgets them, and the next backup scans.
const MaxOpen = 8192

// A Journal is an opened USN journal.
type Journal struct {
	dev Device
	buf []byte
	now func() time.Time
	max int // changed files
}

var _ journal.Journal = (*Journal)(nil)

// New returns the journal that d finds, and owns d.
func New(d Device) *Journal {
	return &Journal{dev: d, buf: make([]byte, 256<<10), now: time.Now, max: maxFiles}
}

// Close closes the device.
func (j *Journal) Close() error { return j.dev.Close() }

// Now returns the cursor of this moment. In the image of a volume that was in use it is earlier: what changed shortly before the image was
// taken is looked at again.
func (j *Journal) Now(ctx context.Context) (*journal.Cursor, error) {
	info, err := j.dev.Query()
	if err != nil {
		return nil, gap(ctx, err)
	}
	if info.Limited {
		return nil, gapOf(errAccessDenied)
	}
	c := &journal.Cursor{Kind: Kind, Volume: info.Volume, Journal: journalID(info.ID), Position: info.Next, Taken: j.now().UTC()}
	if info.Unsettled {
		if c.Position, err = j.settled(ctx, info); err != nil {
			return nil, gap(ctx, err)
		}
	}
	if c.Mark, err = j.mark(ctx, info, c.Position); err != nil {
		return nil, gap(ctx, err)
	}
	c.Mark += j.witnesses(ctx, info, c.Position)
	return c, nil
}

// Changes adds what changed, and keeps in to which files were open. It does the latter even when it answers with a gap, and with a
// from that is nil, so it is to be called for first backups too.
func (j *Journal) Changes(ctx context.Context, from, to *journal.Cursor, d *journal.Dirty) error {
	info, err := j.dev.Query()
	if err != nil {
		return gap(ctx, err)
	}
	if journalID(info.ID) != to.Journal {
		return recreated()
	}
	why := j.check(ctx, info, from)
	if why == nil {
		why = j.changes(ctx, info, from, to, d)
	}
	if errors.Is(why, errWrapped) {
		why = j.changesLost(ctx, from, to, d)
	}
	if why != nil && j.surveyOpen(ctx, info, from, to) != nil {
		forgetOpen(to)
	}
	return gap(ctx, why)
}

// changes does it, with a from that was found good. The journal is followed on past to, to where it is when all was looked up: what was
// moved since, in the live tree or before a snapshot of it, would be sought in the wrong place.
func (j *Journal) changes(ctx context.Context, info Info, from, to *journal.Cursor, d *journal.Dirty) error {
	f := newFold(j.dev, info, d, to.Position, j.max)
	f.start(from)
	return j.fold(ctx, f, info, from.Position, to)
}

// fold adds the records from start on, and then looks up what they are of.
func (j *Journal) fold(ctx context.Context, f *fold, info Info, start uint64, to *journal.Cursor) error {
	if err := j.each(ctx, info, start, info.Next, f.add); err != nil {
		return err
	}
	if err := f.resolve(ctx); err != nil {
		return err
	}
	for at := info.Next; ; {
		again, err := j.dev.Query()
		if err != nil {
			return err
		}
		if again.ID != info.ID {
			return recreated()
		}
		f.moved = false
		if err := j.each(ctx, info, at, again.Next, f.addLate); err != nil {
			return err
		}
		if err := f.climb(ctx); err != nil {
			return err
		}
		if !f.moved {
			setOpen(to, f.open(), info.Wide)
			return nil
		}
		at = again.Next
	}
}

// surveyOpen keeps in to the files that are open as far as the journal tells, when there is no good cursor to go on from.
func (j *Journal) surveyOpen(ctx context.Context, info Info, from, to *journal.Cursor) error {
	const most = 512 << 20
	first := max(info.First, info.LowestValid)
	if to.Position > first+most {
		first = (to.Position - most) &^ (pageSize - 1)
	}
	open := map[ID]bool{}
	if from != nil && from.Kind == Kind && from.Volume == to.Volume && from.Journal == to.Journal {
		open = getOpen(from, info.Wide)
	}
	err := j.each(ctx, info, first, to.Position, func(r *Record) error {
		if r.Reason&closed != 0 {
			delete(open, r.File)
		} else if r.Major != 4 {
			open[r.File] = r.Reason&onStreams != 0
		}
		return nil
	})
	setOpen(to, open, info.Wide)
	return err
}

// each passes on the records from start on, in order, up to and without end.
func (j *Journal) each(ctx context.Context, info Info, start, end uint64, f func(*Record) error) error {
	for at := start; at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := j.dev.Read(info.ID, at, j.buf)
		if err != nil {
			return err
		}
		next, err := eachIn(j.buf[:n], at, end, f)
		if err != nil {
			return err
		}
		if next <= at {
			return fmt.Errorf("%w: no record at %d, where the next one should be", errDamaged, at)
		}
		at = next
	}
	return nil
}

// eachIn passes on the records in what Read read at a position, and returns the next one.
func eachIn(b []byte, at, end uint64, f func(*Record) error) (uint64, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("%w: nothing was read at %d", errDamaged, at)
	}
	next := le64(b)
	var r Record
	for b = b[8:]; len(b) > 0; {
		n, err := parse(b, &r)
		if err != nil {
			return 0, fmt.Errorf("at %d: %w", at, err)
		}
		if r.USN < at || r.USN >= next {
			return 0, fmt.Errorf("%w: the one at %d says it was at %d", errDamaged, at, r.USN)
		}
		if r.USN >= end {
			return end, nil
		}
		at, b = r.USN+1, b[n:]
		if err := f(&r); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// settled returns the position of what is surely in the image of a volume that was in use. Windows writes changed files and the file table
// within minutes of their records: in an image of a real one, files' records that were five minutes old had not come to the
// file table. The last hour, by the volume's own clock, is taken as unsettled.
func (j *Journal) settled(ctx context.Context, info Info) (uint64, error) {
	const step, unsettled = 64 << 10, uint64(time.Hour / 100)
	at, newest := info.Next, uint64(0)
	for at > info.First {
		start, oldest := max(info.First, (at-1)&^(step-1)), uint64(math.MaxUint64)
		err := j.each(ctx, info, start, at, func(r *Record) error {
			if r.Stamp != 0 {
				newest, oldest = max(newest, r.Stamp), min(oldest, r.Stamp)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		at = start
		if oldest < newest && newest-oldest > unsettled {
			break
		}
	}
	return at, nil
}

// Status tells how the journal does. Since is the time of the oldest record.
func (j *Journal) Status(ctx context.Context) (journal.Status, error) {
	info, err := j.dev.Query()
	if err != nil {
		return journal.Status{Kind: Kind}, gap(ctx, err)
	}
	s := journal.Status{Kind: Kind, Volume: info.Volume, Journal: journalID(info.ID), First: info.First, Next: info.Next, Size: info.Size}
	done := errors.New("seen")
	err = j.each(ctx, info, max(info.First, info.LowestValid), info.Next, func(r *Record) error {
		if r.Stamp == 0 {
			return nil
		}
		s.Since = r.Time()
		return done
	})
	if err != nil && err != done {
		return s, gap(ctx, err)
	}
	return s, nil
}
