package usn

import (
	"context"
	"time"

	"waybill/incremental/journal"
)

// byLastUSN is how changes were found when the journal had lost records.
const byLastUSN = "journal wrapped: files found by their last USN"

// changesLost is changes for a journal that wrapped: records are lost that came after from. The file table still has, with each file, the USN of its last
// record: those that are not below the cursor's are of files that changed, and all of which anything may have changed. What is gone is not
// told, only what there is, and the base knows what that lacks.
func (j *Journal) changesLost(ctx context.Context, from, to *journal.Cursor, d *journal.Dirty) error {
	info, err := j.dev.Query()
	if err != nil {
		return err
	}
	if journalID(info.ID) != to.Journal {
		return recreated()
	}
	if info.Wide {
		return errWrapped // 128 bits don't tell a record's number
	}
	f := newFold(j.dev, info, d, to.Position, j.max)
	f.start(from)
	_, _, mark := splitMark(from.Mark)
	seen, same := readWitnesses(mark), 0
	alive := &journal.Alive{}
	d.Alive, d.Times, d.How = alive, j.times, byLastUSN
	err = j.dev.Each(ctx, func(id ID, usn uint64) error {
		if !alive.Add(id.Low) {
			return errWrapped
		}
		was, witness := seen[id]
		switch {
		case usn >= from.Position:
			f.addLost(id)
		case witness && usn != was:
			return setBack()
		case witness:
			same++
		}
		return nil
	})
	if err == nil && same == 0 {
		err = errWrapped // it may have been set back, for all that is known
	}
	if err != nil {
		return err
	}
	return j.fold(ctx, f, info, max(from.Position, info.First), to)
}

// times are a directory's.
func (j *Journal) times(id uint64) (modified, changed time.Time, err error) {
	var f File
	err = j.dev.Lookup(ID{Low: id}, &f)
	return f.Modified, f.Changed, err
}

// addLost takes note of a file that changed, in unknown ways.
func (f *fold) addLost(id ID) {
	if f.d.Overflow {
		return
	}
	f.change(id).lost = true
	if len(f.files) > f.most {
		*f.d = journal.Dirty{Overflow: true}
		f.shrink()
	}
}
