//go:build !linux && !windows

package hwtest

import (
	"errors"
	"os"
)

// Identity is not supported here.
func Identity(string) (Device, error) { return Device{}, errors.ErrUnsupported }

func identityOfDevice(string) (Device, error) { return Device{}, errors.ErrUnsupported }

func fileSystem(string) (FileSystem, error) { return FileSystem{}, errors.ErrUnsupported }

func openUncached(name string, _ int, _ bool) (*os.File, error) { return nil, errors.ErrUnsupported }

func writeOut(*os.File, int64, int64) error { return errors.ErrUnsupported }

func notDirect(error) bool { return false }

func isFull(error) bool { return false }

func reserve(string, int64, FileSystem) (int64, error) { return 0, errors.ErrUnsupported }

func claim(string) (func(), error) { return nil, errors.ErrUnsupported }

func hold(string) func() { return func() {} }

func abandoned(string) bool { return false }
