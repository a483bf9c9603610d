//go:build !linux && !windows

package index

import (
	"errors"
	"os"
)

// mapFile isn't supported here: filters are read line by line.
func mapFile(*os.File, int64, int) ([]byte, func() error, error) {
	return nil, nil, errors.ErrUnsupported
}
