package source

import (
	"path/filepath"
	"strings"
)

// TreePath turns an absolute path of this system into the one that recovery points have: C:\Users into /C:/Users. Where paths begin with a
// slash anyway they stay as they are. It returns false for a path that is in no drive, as \\server\share.
func TreePath(path string) (string, bool) {
	volume := filepath.VolumeName(path)
	if volume == "" {
		return path, true
	}
	path = strings.TrimPrefix(path, `\\?\`)
	if len(path) < 2 || path[1] != ':' {
		return "", false
	}
	return "/" + strings.ToUpper(path[:1]) + strings.TrimSuffix(filepath.ToSlash(path[1:]), "/"), true
}

// SystemPath is the way back from TreePath.
func SystemPath(path string) string {
	rest := strings.TrimPrefix(path, "/")
	if filepath.VolumeName(rest) == "" {
		return path
	}
	if len(rest) == 2 {
		rest += "/"
	}
	return filepath.FromSlash(rest)
}
