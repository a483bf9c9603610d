//go:build !windows

package usn

import "waybill/incremental/journal"

// unsupported is what other systems than Windows answer.
var unsupported = &journal.Gap{Reason: "change journals of volumes in use are read and made on Windows only"}

// OpenLive opens the journal of a volume in use, by its drive ("C:"), its path or its name of the form \\?\Volume{...}\. Without
// one the error is a *journal.Gap, as on other systems than Windows.
func OpenLive(volume string) (*Journal, error) { return nil, unsupported }

// Create makes a journal on a volume that has none. It grows to size bytes, and then loses delta at a time; a delta of 0 is chosen. Who may
// not do that, or is on another system than Windows, gets a *journal.Gap.
func Create(volume string, size, delta int64) error { return unsupported }

// Resize changes a journal's size: see Create. A smaller one loses its oldest records by and by.
func Resize(volume string, size, delta int64) error { return unsupported }
