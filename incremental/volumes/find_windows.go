package volumes

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/windows"
)

// find lists the volumes that the roots are on. What is mounted in a directory of one is scanned as part of it.
func find(roots []string, _ bool) ([]*volume, error) {
	var found []*volume
	for _, r := range roots {
		path, err := filepath.EvalSymlinks(r)
		if err != nil {
			return nil, fmt.Errorf("looking at what is to be saved: %w", err)
		}
		letter := filepath.VolumeName(path)
		v := &volume{path: "/" + letter, device: letter + `\`}
		if v.system, err = systemOf(v.device); err != nil {
			return nil, fmt.Errorf("looking at the volume of %s: %w", r, err)
		}
		found = append(found, v)
	}
	slices.SortFunc(found, func(a, b *volume) int { return strings.Compare(a.path, b.path) })
	return slices.CompactFunc(found, func(a, b *volume) bool { return a.path == b.path }), nil
}

// systemOf is the name of a volume's file system.
func systemOf(root string) (string, error) {
	name, err := windows.UTF16PtrFromString(root)
	if err != nil {
		return "", err
	}
	var buf [windows.MAX_PATH + 1]uint16
	if err := windows.GetVolumeInformation(name, nil, 0, nil, nil, nil, &buf[0], uint32(len(buf))); err != nil {
		return "", err
	}
	return windows.UTF16ToString(buf[:]), nil
}
