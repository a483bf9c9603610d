//go:build !windows

package restore

import "errors"

// attach is for Windows, which alone has streams, see streamOf.
func (h *handle) attach(_, _, _ string) error { return errors.ErrUnsupported }
