//go:build !linux

package databox

import "path/filepath"

// mountedFrom is the share that a path names itself, as in \\10.0.0.5\account_BlockBlob; which one a drive's letter stands for is not looked up.
func mountedFrom(dir string) []string {
	if filepath.Dir(dir) != dir {
		return nil
	}
	return []string{filepath.VolumeName(dir)}
}
