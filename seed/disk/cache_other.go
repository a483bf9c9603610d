//go:build !linux

package disk

import "os"

// dropCache can do nothing here: reading back may be answered by the system's cache.
func dropCache(*os.File) {}
