//go:build !linux && !windows

package durable

import (
	"errors"
	"os"
)

const nonblock = 0

var errOther = errors.ErrUnsupported

func publish(*os.Root, string, string) error { return errOther }
func syncDir(*os.Root, string) error         { return errOther }
func settle(*os.File) error                  { return errOther }
func lock(*os.File) error                    { return errOther }
func tryLock(*os.File) (bool, error)         { return false, errOther }
func isFull(error) bool                      { return false }
func notDirectory(error) bool                { return false }
func startWriting(*os.File, int64, int64)    {}
func (d *Dir) free() (int64, error)          { return 0, errOther }
