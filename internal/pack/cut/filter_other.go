//go:build !amd64

package cut

// skim leaves everything to walk: there is no vector code for this processor.
func (f filter) skim([]byte) (int, bool) { return 0, false }
