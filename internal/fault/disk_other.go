//go:build !linux

package fault

import (
	"errors"
	"fmt"
	"runtime"
)

// A Disk is a mounted directory with faults; on Linux only.
type Disk struct {
	control
	Dir     string
	Backing string
}

// Available tells whether a Disk can be mounted here: no.
func Available() bool { return false }

// Mount is not supported here.
func Mount(string, string, Faults) (*Disk, error) {
	return nil, fmt.Errorf("disks with faults on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// PowerCut does nothing here.
func (d *Disk) PowerCut() error { return errors.ErrUnsupported }

// Close does nothing here.
func (d *Disk) Close() error { return nil }
