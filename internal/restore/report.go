package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"

	"waybill/manifest"
)

// A Report is what a run did. Of each kind of problem it lists MaxProblems at most, and counts all.
type Report struct {
	Files, Directories, Others int64 // restored by this run; Others are links, fifos, sockets, devices
	Linked                     int64 // of these, further names of a file that was restored
	Bytes                      int64 // of the files
	Kept                       int64 // were complete already, from an interrupted run
	Skipped                    int64 // existed, in mode Skip
	Unkept                     int64 // have Windows metadata (security descriptor, attributes, ...) that the target's file system can't hold

	Damaged, Failed, Warnings                []Problem // not restored: the backup's fault; the target's; restored, but not quite
	DamagedCount, FailedCount, WarningsCount int64
	Missing                                  []manifest.Digest // packs of the chain that no store has, or has without a readable table; needed or not
}

// A Problem is what is wrong with an entry. Its path is escaped as manifest.EscapePath does.
type Problem struct {
	Path    string `json:"path"`
	Problem string `json:"problem"`
}

// MaxProblems is how many problems of a kind a report lists.
const MaxProblems = 10_000

// A reporter fills a Report from many workers. The report itself is complete once they are done.
type reporter struct {
	Report
	mu    sync.Mutex // guards the lists
	files atomic.Int64
	dirs  atomic.Int64
	other atomic.Int64
	links atomic.Int64
	bytes atomic.Int64
	kept  atomic.Int64
	skips atomic.Int64
}

func (r *reporter) damaged(path []byte, problem string) {
	r.note(&r.Damaged, &r.DamagedCount, path, problem)
}

func (r *reporter) failed(path []byte, err error) {
	r.note(&r.Failed, &r.FailedCount, path, err.Error())
}

func (r *reporter) warn(path []byte, problem string) {
	r.note(&r.Warnings, &r.WarningsCount, path, problem)
}

func (r *reporter) note(list *[]Problem, count *int64, path []byte, problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*count++
	if len(*list) < MaxProblems {
		*list = append(*list, Problem{manifest.EscapePath(path), problem})
	}
}

// outcome completes the report and tells how the run ended.
func (r *reporter) outcome() error {
	r.settle()
	switch {
	case r.DamagedCount > 0:
		return fmt.Errorf("%w: %d entries are affected", ErrDamagedParts, r.DamagedCount)
	case r.FailedCount > 0:
		return fmt.Errorf("%w: %d of them, the first %s: %s", ErrNotAll, r.FailedCount, r.Failed[0].Path, r.Failed[0].Problem)
	}
	return nil
}

func (r *reporter) settle() {
	r.Files, r.Directories, r.Others = r.files.Load(), r.dirs.Load(), r.other.Load()
	r.Linked, r.Bytes, r.Kept, r.Skipped = r.links.Load(), r.bytes.Load(), r.kept.Load(), r.skips.Load()
}

// isMissing tells that no store has what was asked for.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// isBadMedium tells that the medium can't read a sector: that costs what is in it, not the run.
func isBadMedium(err error) bool { return errors.Is(err, syscall.EIO) }

// stops tells whether an error of the target ends the run, as opposed to failing one entry.
func stops(err error) bool {
	for _, fatal := range []error{ErrFull, ErrConflict, context.Canceled, context.DeadlineExceeded, syscall.EROFS, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}

// full marks the errors of a full file system as such.
func full(err error) error {
	if isFull(err) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
