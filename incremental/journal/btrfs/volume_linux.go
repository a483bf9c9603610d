package btrfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"waybill/incremental/journal"
)

// A Volume is a subvolume with its journal: a [journal.Journal] and a [journal.Holder]. It is not safe for concurrent use.
type Volume struct {
	root  *os.File // the subvolume's root directory
	place string
	fs    uuid
	sub   subvolume
	held  *snapshot // nil: the volume is read live
}

// Open opens the journal of the subvolume whose root directory is at path. Who isn't root gets a *journal.Gap; where there is no btrfs
// the error is [errors.ErrUnsupported].
func Open(path string, o Options) (*Volume, error) {
	root, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	v := &Volume{root: root, place: o.Place}
	if v.place == "" {
		v.place = filepath.Join(path, DefaultPlace)
	}
	if err := v.identify(); err != nil {
		root.Close()
		if _, ok := errors.AsType[*journal.Gap](err); !ok {
			err = fmt.Errorf("opening the journal of %s: %w", path, err)
		}
		return nil, err
	}
	return v, nil
}

// identify finds out what was opened, and whether its trees can be read.
func (v *Volume) identify() (err error) {
	if err := isRoot(v.root); err != nil {
		return err
	}
	if v.fs, err = fileSystemOf(v.root); err != nil {
		return err
	}
	if v.sub, err = subvolumeOf(v.root); err != nil {
		return err
	}
	_, err = v.tree().batch(key{id: firstInode}, key{id: firstInode, kind: inodeItem}, 0, 1)
	return err
}

// isRoot fails when f is not the root directory of a subvolume.
func isRoot(f descriptor) error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return err
	}
	if uint32(fs.Type) != unix.BTRFS_SUPER_MAGIC {
		return fmt.Errorf("there is no btrfs: %w", errors.ErrUnsupported)
	}
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Ino != firstInode {
		return fmt.Errorf("it is not the root of a subvolume")
	}
	return nil
}

// tree is the tree of what is read: the snapshot's while there is one.
func (v *Volume) tree() *tree {
	if v.held != nil {
		return &tree{f: v.held.dir}
	}
	return &tree{f: v.root}
}

// Now is [journal.Journal]. While the volume is held it is the snapshot's moment; else all that was changed before is
// written to disk first.
func (v *Volume) Now(ctx context.Context) (*journal.Cursor, error) {
	c := &journal.Cursor{Kind: Kind, Volume: v.fs.String(), Journal: v.journal()}
	if v.held != nil {
		c.Position, c.Taken = v.held.made, v.held.taken
		return c, nil
	}
	err := v.inPlace(ctx, func(*os.File) (err error) {
		c.Taken, err = v.remember()
		return err
	})
	if err != nil {
		return nil, err
	}
	c.Position, err = commit(v.root)
	return c, err
}

// journal is the id of the subvolume. The one that is made with a file system has no UUID where mkfs is old.
func (v *Volume) journal() string {
	if v.sub.uuid == (uuid{}) {
		return fmt.Sprintf("subvolume-%d", v.sub.id)
	}
	return v.sub.uuid.String()
}

// vouch returns a *journal.Gap when what changed between the cursors can't be told.
func (v *Volume) vouch(from, to *journal.Cursor) error {
	switch {
	case from == nil || from.Kind != to.Kind || from.Volume != to.Volume:
		return &journal.Gap{Reason: "journal re-created", Hint: "another file system is mounted here"}
	case from.Journal != to.Journal && v.sub.parent != (uuid{}):
		return setBack("a snapshot has taken the place of the subvolume")
	case from.Journal != to.Journal:
		return &journal.Gap{Reason: "journal re-created", Hint: "another subvolume has taken the place"}
	case from.Position > to.Position:
		return setBack("its count of transactions is lower than at the last backup")
	}
	return v.remembers(from.Taken)
}

func setBack(hint string) error {
	return &journal.Gap{Reason: "the volume was set back to an earlier state", Hint: hint}
}

func needsRoot() error {
	return &journal.Gap{Reason: "the generations of btrfs can't be read without privileges", Hint: "run it as root"}
}

// Status is [journal.Journal].
func (v *Volume) Status(context.Context) (journal.Status, error) {
	s := journal.Status{Kind: Kind, Volume: v.fs.String(), Journal: v.journal(), First: v.sub.made, Since: v.sub.madeAt}
	now, err := subvolumeOf(v.root)
	s.Next = now.changed + 1
	return s, err
}

// Close closes the journal. A snapshot that is held stays until it is released.
func (v *Volume) Close() error { return v.root.Close() }

// A snapshot is one that was taken here.
type snapshot struct {
	dir   *os.File // its root, locked
	made  uint64   // the transaction that took it
	taken time.Time
}
