//go:build !linux

package main

import (
	"context"
	"errors"
)

var errNoMounts = errors.New("bench incremental mounts btrfs and ext4, which only Linux does")

func mountable() error { return errNoMounts }

func makeFileSystem(context.Context, string, string, int64) error { return errNoMounts }

func mountImage(context.Context, string, string) (func() error, error) { return nil, errNoMounts }

func settle(string) error { return errNoMounts }

func spare(string) (disk, memory int64, err error) { return 0, 0, errNoMounts }

func resident(int) (int64, error) { return 0, errNoMounts }
