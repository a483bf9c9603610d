// Package mountinfo lists what is mounted on Linux, as this process sees it. It looks at nothing itself: the kernel's list is
// all it reads, so a mount that hangs does no harm.
package mountinfo

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A Mount is a line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type Mount struct {
	ID     uint64 // as statx(2) gives it
	Device string // of the file system, major:minor; btrfs' files have others
	Root   string // what of the file system is mounted
	Path   string // where
	System string // the file system's name
	Source string // what it was made from: a device, a share, or any word; may be empty
}

// Read returns all mounts, in the order of the kernel's list: a later one may hide earlier ones.
func Read() ([]Mount, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("looking for what is mounted: %w", err)
	}
	return parse(string(b))
}

func parse(text string) (list []Mount, err error) {
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 1 {
			return nil, fmt.Errorf("looking for what is mounted: %q is no line of mountinfo", line)
		}
		id, err := strconv.ParseUint(l[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("looking for what is mounted: %q is no line of mountinfo", line)
		}
		m := Mount{ID: id, Device: l[2], Root: unescape(l[3]), Path: unescape(l[4]), System: r[0]}
		if len(r) > 2 {
			m.Source = unescape(r[1])
		}
		list = append(list, m)
	}
	return list, nil
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
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
