//go:build !linux && !windows

package machine

import (
	"fmt"
	"os"
	"runtime"
)

func lock(*os.File) error { return fmt.Errorf("locking files is not supported on %s", runtime.GOOS) }
