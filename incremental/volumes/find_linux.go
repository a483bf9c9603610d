package volumes

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"waybill/internal/source"
)

// A mount is a line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type mount struct {
	path   string
	system string
	device string // "8:1"
}

// mounts lists what is mounted where it can be reached: of several at one place the last.
func mounts() ([]mount, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("looking for what is mounted: %w", err)
	}
	var all []mount
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		before, after, ok := strings.Cut(s.Text(), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(g) < 1 {
			return nil, fmt.Errorf("looking for what is mounted: %q is no line of mountinfo", s.Text())
		}
		m := mount{path: unescape(f[4]), system: g[0], device: f[2]}
		// What is mounted over hides what was mounted there and below.
		all = slices.DeleteFunc(all, func(x mount) bool { return within(x.path, m.path) })
		all = append(all, m)
	}
	return all, nil
}

// unescape undoes \040 and its like.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
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
		holds := slices.ContainsFunc(tops, func(top string) bool { return innermost(all, top) == m.path })
		below := slices.ContainsFunc(tops, func(top string) bool { return within(m.path, top) })
		if !holds && !below {
			continue
		}
		v := &volume{path: m.path, system: m.system, device: m.device}
		v.saving.Bound = !isElsewhere(m.path)
		v.pseudo = isPseudo(m.path) || oneFileSystem && !holds && !v.saving.Bound
		found = append(found, v)
		if m.system == "btrfs" && !v.pseudo {
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
func innermost(all []mount, path string) (found string) {
	for _, m := range all {
		if within(path, m.path) && len(m.path) > len(found) {
			found = m.path
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
