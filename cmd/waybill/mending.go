package main

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"waybill/internal/domain"
	"waybill/manifest"
	"waybill/seed/disk"
	"waybill/seed/disk/parity"
)

// A mending is what the parity of disks gives of their packs that are damaged or not there: the store to be asked last. It looks at the disks
// when it is asked first. What it reads is checked by who asked, as everything is.
type mending struct {
	machine manifest.ID
	sources []parity.Source
	once    sync.Once
	set     *parity.Set // nil when it could not be opened
}

// mendingOf is the store for those of the trees that are disks; nil when none is.
func mendingOf(trees []tree, id manifest.ID) domain.Store {
	m := &mending{machine: id}
	for _, t := range trees {
		if _, err := t.Size(context.Background(), disk.LabelName); err == nil {
			m.sources = append(m.sources, parity.Source{Name: t.Path(), Reader: t.Store})
		}
	}
	if len(m.sources) == 0 {
		return nil
	}
	return m
}

// covers tells whether the disks have parity of the file.
func (m *mending) covers(ctx context.Context, name string) bool {
	m.once.Do(func() { m.set, _ = parity.Open(context.WithoutCancel(ctx), m.machine, m.sources) })
	return m.set != nil && m.set.Covers(name)
}

func (m *mending) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if !m.covers(ctx, name) {
		return 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	n, err := m.set.ReadAt(ctx, name, p, off)
	if _, lost := errors.AsType[*parity.LostError](err); lost {
		err = &fs.PathError{Op: "mend", Path: name, Err: fs.ErrNotExist}
	}
	return n, err
}

func (m *mending) Size(ctx context.Context, name string) (int64, error) {
	if !m.covers(ctx, name) {
		return 0, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return m.set.Size(name), nil
}

func (m *mending) List(context.Context, string, func(string, int64) error) error { return nil }
