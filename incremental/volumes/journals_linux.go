package volumes

import (
	"cmp"
	"path/filepath"
	"slices"

	"waybill/incremental/journal"
	"waybill/incremental/journal/btrfs"
	"waybill/incremental/journal/fanotify"
	"waybill/internal/mountinfo"
)

// openJournal opens the journal of the volume's file system.
func (v *volume) openJournal(o Options) (journal.Journal, error) {
	switch v.system {
	case "btrfs":
		return v.openBtrfs(o)
	case "ext4", "ext3", "ext2", "xfs", "f2fs", "tmpfs":
		return v.openFanotify(o)
	}
	return nil, &journal.Gap{Reason: "no change journal: " + v.system + " has none"}
}

// openFanotify asks this machine's agent.
func (v *volume) openFanotify(o Options) (journal.Journal, error) {
	if o.StateDir == "" {
		return nil, &journal.Gap{Reason: "no change journal"}
	}
	j, err := fanotify.Open(o.StateDir, v.path)
	if err != nil && v.inMemory() { // which the agent watches only when told to
		return nil, &journal.Gap{Reason: "no change journal: tmpfs has none", Hint: "`waybill agent PATH`, with a path on it, watches it"}
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

func (v *volume) openBtrfs(o Options) (journal.Journal, error) {
	place := filepath.Join(cmp.Or(v.home, v.path), btrfs.DefaultPlace)
	v.skip = append(v.skip, place)
	if o.StateDir != "" {
		v.ranges = btrfs.NewRanges(filepath.Join(o.StateDir, "extents"))
		if all, err := mounts(); err == nil && v.holds(all, o.StateDir) {
			place = filepath.Join(o.StateDir, "snapshots")
		}
	}
	j, err := btrfs.Open(v.path, btrfs.Options{Place: place})
	if err != nil {
		return nil, err
	}
	return j, nil
}

// holds tells whether a directory is on the volume's file system.
func (v *volume) holds(all []mountinfo.Mount, dir string) bool {
	at := innermost(all, dir)
	return slices.ContainsFunc(all, func(m mountinfo.Mount) bool { return m.Path == at && m.Device == v.device })
}

// nested are the subvolumes below a volume that hold a root or lie below one, and that nothing mounted hides.
func nested(v *volume, all []mountinfo.Mount, tops []string) (found []*volume) {
	subs, err := btrfs.Subvolumes(v.path)
	if err != nil {
		v.failed(err) // so it is read as it lives: in a snapshot they would be empty
		return nil
	}
	for _, s := range subs {
		path := filepath.Join(v.path, s.Path)
		if innermost(all, path) != v.path {
			continue
		}
		if slices.ContainsFunc(tops, func(top string) bool { return within(path, top) || within(top, path) }) {
			found = append(found, &volume{path: path, home: v.path, system: v.system, device: v.device})
		}
	}
	return found
}
