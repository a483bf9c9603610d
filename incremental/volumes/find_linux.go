package volumes

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"waybill/internal/mountinfo"
	"waybill/internal/source"
)

// mounts lists what is mounted where it can be reached: of several at one place the last.
func mounts() (all []mountinfo.Mount, err error) {
	list, err := mountinfo.Read()
	for _, m := range list {
		// What is mounted over hides what was mounted there and below.
		all = slices.DeleteFunc(all, func(x mountinfo.Mount) bool { return within(x.Path, m.Path) })
		all = append(all, m)
	}
	return all, err
}

// find lists the volumes that the roots are on, and those mounted below them.
func find(roots []string, oneFileSystem bool) ([]*volume, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	var tops []string
	for _, r := range roots {
		path, err := filepath.EvalSymlinks(r)
		if err != nil {
			return nil, fmt.Errorf("looking at what is to be saved: %w", err)
		}
		tops = append(tops, path)
	}
	var found []*volume
	for _, m := range all {
		holds := slices.ContainsFunc(tops, func(top string) bool { return innermost(all, top) == m.Path })
		below := slices.ContainsFunc(tops, func(top string) bool { return within(m.Path, top) })
		if !holds && !below {
			continue
		}
		v := &volume{path: m.Path, system: m.System, device: m.Device}
		v.saving.Bound = !isElsewhere(m.Path)
		v.pseudo = isPseudo(m.Path) || oneFileSystem && !holds && !v.saving.Bound
		found = append(found, v)
		if m.System == "btrfs" && !v.pseudo {
			found = append(found, nested(v, all, tops)...)
		}
	}
	slices.SortFunc(found, func(a, b *volume) int { return strings.Compare(a.path, b.path) })
	found = slices.CompactFunc(found, func(a, b *volume) bool { return a.path == b.path })
	return slices.DeleteFunc(slices.Clone(found), func(v *volume) bool { return !isWanted(v, found, tops) }), nil
}

// isWanted tells whether a volume has something of a root: not if the root is in a subvolume below it.
func isWanted(v *volume, found []*volume, tops []string) bool {
	return slices.ContainsFunc(tops, func(top string) bool {
		return within(v.path, top) || within(top, v.path) && !slices.ContainsFunc(found, func(x *volume) bool { return len(x.path) > len(v.path) && within(top, x.path) })
	})
}

// innermost is the mount that a path is on.
func innermost(all []mountinfo.Mount, path string) (found string) {
	for _, m := range all {
		if within(path, m.Path) && len(m.Path) > len(found) {
			found = m.Path
		}
	}
	return found
}

// isElsewhere tells whether what is mounted there is another file system than the one that it is mounted in.
func isElsewhere(path string) bool {
	var here, above unix.Stat_t
	return unix.Stat(path, &here) != nil || unix.Stat(filepath.Dir(path), &above) != nil || here.Dev != above.Dev
}

// isPseudo tells whether what is mounted there is the kernel's own, or a single file.
func isPseudo(path string) bool {
	d, err := source.OpenDir(path)
	if err != nil {
		return true
	}
	defer d.Close()
	fs, err := d.FileSystem()
	return err != nil || fs.Pseudo
}
