package usn

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"waybill/incremental/journal"
)

func recreated() error { return &journal.Gap{Reason: "journal re-created"} }

func setBack() error {
	return &journal.Gap{Reason: "the volume was set back to an earlier state"}
}

// errWrapped says that there are no records any more of what came right after a cursor.
var errWrapped = &journal.Gap{Reason: "journal wrapped", Hint: "a larger journal reaches further back: waybill journal resize"}

// check tells whether the journal can vouch for all that came after a cursor.
func (j *Journal) check(ctx context.Context, info Info, from *journal.Cursor) error {
	switch {
	case from == nil:
		return &journal.Gap{Reason: "first backup"}
	case from.Kind != Kind:
		return &journal.Gap{Reason: "the last backup used another journal"}
	case from.Volume != info.Volume:
		return &journal.Gap{Reason: "another volume is in this place"}
	case from.Journal == "":
		return &journal.Gap{Reason: "which files were open at the last backup is not known"}
	case from.Journal != journalID(info.ID), from.Position < info.LowestValid:
		return recreated()
	case from.Position > info.Next:
		return setBack()
	case from.Position < info.First:
		return errWrapped
	}
	_, hash, _ := splitMark(from.Mark)
	if hash == "" {
		return nil
	}
	if pageBefore(from.Position) < info.First {
		return errWrapped
	}
	mark, err := j.mark(ctx, info, from.Position)
	if _, now, _ := splitMark(mark); err == nil && now != hash {
		return setBack()
	}
	return err
}

// mark returns what a cursor keeps to be known by: whether ranges were tracked, and a hash of the records before it, on its page.
func (j *Journal) mark(ctx context.Context, info Info, position uint64) (string, error) {
	mark := ""
	if info.Tracks {
		mark = tracked
	}
	page := pageBefore(position)
	if position == 0 || page < max(info.First, info.LowestValid) {
		return mark, nil
	}
	sum, some := sha256.New(), false
	err := j.each(ctx, info, page, position, func(r *Record) error {
		var b []byte
		for _, n := range []uint64{r.USN, r.File.Low, r.File.High, r.Parent.Low, r.Parent.High, r.Stamp, uint64(r.Reason), uint64(len(r.Name))} {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		sum.Write(append(b, r.Name...))
		some = true
		return nil
	})
	if err != nil || !some {
		return mark, err
	}
	return mark + fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}

// tracked begins the mark of a cursor since which ranges are tracked. It can't be ended without ending the journal.
const tracked = "r"

// splitMark returns what is in a mark; see witnesses for those.
func splitMark(mark string) (tracks bool, hash, witnesses string) {
	mark, tracks = strings.CutPrefix(mark, tracked)
	hash, witnesses, _ = strings.Cut(mark, ":")
	return tracks, hash, witnesses
}

func pageBefore(position uint64) uint64 { return (max(position, 1) - 1) &^ (pageSize - 1) }

// gap makes an error one: whatever keeps the journal from being read, the volume can be scanned.
func gap(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return nil
	}
	if g, ok := errors.AsType[*journal.Gap](err); ok {
		return g
	}
	if errors.Is(err, errDamaged) || errors.Is(err, errNewer) {
		return &journal.Gap{Reason: fmt.Sprintf("the journal can't be relied on: %v", err)}
	}
	return &journal.Gap{Reason: fmt.Sprintf("the journal can't be read: %v", err)}
}

// What Windows answers: WinError.h.
const (
	errInvalidFunction  = 1
	errFileNotFound     = 2
	errPathNotFound     = 3
	errAccessDenied     = 5
	errSharingViolation = 32
	errHandleEOF        = 38
	errNotSupported     = 50
	errInvalidParameter = 87
	errMoreData         = 234
	errDeletePending    = 303
	errNotFound         = 1168
	errDeleteInProgress = 1178
	errNotActive        = 1179
	errEntryDeleted     = 1181
)

const noJournal = "the volume has no change journal"

// gapOf returns the gap that an error number of Windows means, when it was asked for a journal or its records; else nil.
func gapOf(number uint32) error {
	switch number {
	case errInvalidFunction, errNotSupported:
		return &journal.Gap{Reason: "the file system keeps no change journal", Hint: "NTFS and ReFS do, on Windows"}
	case errAccessDenied:
		return &journal.Gap{Reason: "the journal may not be read", Hint: "run as administrator"}
	case errDeleteInProgress:
		return &journal.Gap{Reason: "the journal is being deleted", Hint: "Windows goes on with that in the background; then: waybill journal create"}
	case errNotActive:
		return &journal.Gap{Reason: noJournal} // a guest's can only be made in the guest, so who asks knows better what to do
	case errEntryDeleted:
		return errWrapped
	}
	return nil
}

func journalID(id uint64) string { return fmt.Sprintf("%016x", id) }

// setOpen keeps ids in a cursor: one number each, on volumes with wide ids two. Those whose streams changed since they were opened are
// there twice: their streams may come and go without a record.
func setOpen(to *journal.Cursor, open map[ID]bool, wide bool) {
	to.Open = nil
	if len(open) > MaxOpen {
		forgetOpen(to)
		return
	}
	for _, id := range sortedIDs(open) {
		n := []uint64{id.Low, id.High}
		if !wide {
			n = n[:1]
		}
		to.Open = append(to.Open, n...)
		if open[id] {
			to.Open = append(to.Open, n...)
		}
	}
}

// forgetOpen makes a cursor one that nothing can be vouched from.
func forgetOpen(to *journal.Cursor) { to.Journal, to.Open = "", nil }

func getOpen(from *journal.Cursor, wide bool) map[ID]bool {
	open := map[ID]bool{}
	for list := from.Open; len(list) > 0; {
		id := ID{Low: list[0]}
		list = list[1:]
		if wide && len(list) > 0 {
			id.High, list = list[0], list[1:]
		}
		_, twice := open[id]
		open[id] = twice
	}
	return open
}
