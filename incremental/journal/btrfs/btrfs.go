// Package btrfs finds what changed on a btrfs file system by the generations that it stamps on all it writes. Nothing has to
// run in between, and nothing is lost: the file system itself is the journal, one for each subvolume.
//
//	v, err := btrfs.Open("/srv", btrfs.Options{})
//	dir, release, err := v.Hold(ctx)   // a read-only snapshot
//	now, err := v.Now(ctx)             // of the snapshot
//	err = v.Changes(ctx, from, now, &dirty)
//	...                                // what is dirty is read below dir
//	err = release()
//
// A [Volume] is one subvolume. Subvolumes nested in it are empty directories in its snapshot and have journals of their own; see [Subvolumes].
//
// A cursor's volume is the file system's UUID, its journal the subvolume's, its position the transaction that took the snapshot. Its
// time is also written into the volume, to a file beside the snapshots: a volume that was set back to an earlier
// state (an image, a virtual machine's snapshot) counts its transactions on from there, and only the missing moment tells.
//
// What comes late is told too: data that was written to memory before a snapshot, and to the disk after it, is in [journal.Dirty] as
// content to be read again, though the times in the snapshot were those of the write already.
//
// Reading a file or listing a directory changes its access time, which is a change like others here: entries are named that are then
// found to be as they were. Mounting with noatime spares that.
//
// It works on Linux, for root. On other systems Open fails with [errors.ErrUnsupported].
package btrfs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Options are of a volume that is opened.
type Options struct {
	// Place is the directory for snapshots, on the same file system. It is made when it isn't there. Empty: .waybill in the
	// subvolume's root. Subvolumes may share one. Whoever walks the volume leaves it out.
	Place string
}

// DefaultPlace is the name of the directory for snapshots in a subvolume's root.
const DefaultPlace = ".waybill"

// Kind is the kind of a cursor of this package.
const Kind = "btrfs"

// A Sub is a subvolume below another.
type Sub struct {
	Path     string // from the other's root directory on
	ID       uint64
	ReadOnly bool
}

// snapshotName begins the names of the snapshots that are taken here: the subvolume's id, the process's and the time follow.
const snapshotName = "waybill-"

func newName(subvolume uint64, pid int, now time.Time) string {
	return fmt.Sprintf("%s%d-%d-%s", snapshotName, subvolume, pid, now.UTC().Format(nameTime))
}

const nameTime = "20060102T150405.000000000"

// isOurs tells whether a subvolume, if it is read-only, is a snapshot that was taken here.
func isOurs(name string) bool {
	name, found := strings.CutPrefix(name, snapshotName)
	parts := strings.Split(name, "-")
	if !found || len(parts) != 3 {
		return false
	}
	_, notID := strconv.ParseUint(parts[0], 10, 64)
	_, notPID := strconv.Atoi(parts[1])
	_, notTime := time.Parse(nameTime, parts[2])
	return notID == nil && notPID == nil && notTime == nil
}
