package main

import (
	"context"

	"waybill/cmd/internal/place"
	"waybill/seed/disk"
)

// medium opens what a seed is written to: a directory, or a container.
func (a *app) medium(path string) (disk.Medium, error) {
	if !place.Remote(path) {
		return disk.Directory(path)
	}
	s, err := place.Open(context.Background(), path, a.secrets)
	if err != nil {
		return nil, err
	}
	return disk.Container(s.(disk.Blobs)), nil
}

// openDisk opens a disk that was begun.
func (a *app) openDisk(path string) (*disk.Disk, error) {
	m, err := a.medium(path)
	if err != nil {
		return nil, err
	}
	return disk.OpenOn(m)
}
