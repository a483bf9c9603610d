//go:build !linux && !windows

package volumes

// find knows of no volumes on this system: all is scanned.
func find([]string, bool) ([]*volume, error) { return nil, nil }
