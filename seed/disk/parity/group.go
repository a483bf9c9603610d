package parity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"waybill/manifest"
)

// A Source is a tree that holds some of the files of a set: a disk, or a vault. Name is for errors.
type Source struct {
	Name string
	manifest.Reader
}

// A Group is a group of which a source has the head of the table.
type Group struct {
	Head
	Name  string
	files []file // of the group, on all sources
	head  int    // bytes of the head
}

// A file is one of a group's, on one source.
type file struct {
	source Source
	name   string
	shard  int // its number, -1 for the table
	size   int64
}

// maxMembers is how many members the groups of a set may have together. They are all in memory.
const maxMembers = 1 << 20

// Groups finds the groups of a machine, ascending by name. What is wrong with some of them, or with a source, is in flaws, and
// leaves the others alone. It fails when ctx is done.
func Groups(ctx context.Context, machine manifest.ID, sources []Source) (groups []*Group, flaws []error, err error) {
	found := map[string][]file{}
	for _, s := range sources {
		err := s.List(ctx, manifest.ParityPrefix(machine), func(name string, size int64) error {
			if m, group, shard, ok := manifest.ParseParityName(name); ok && m == machine {
				found[group] = append(found[group], file{s, name, shard, size})
			}
			return nil
		})
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			flaws = append(flaws, fmt.Errorf("listing the parity of %s: %w", s.Name, err))
		}
	}
	members := 0
	for _, name := range slices.Sorted(maps.Keys(found)) {
		g, err := open(ctx, machine, name, found[name])
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err == nil && members+len(g.Members) > maxMembers {
			err = fmt.Errorf("parity group %s: %w: the groups have more than %d members", name, manifest.ErrFormat, maxMembers)
		}
		if err != nil {
			flaws = append(flaws, err)
			continue
		}
		members += len(g.Members)
		groups = append(groups, g)
	}
	return groups, flaws, nil
}

// open reads a group's head from the first of its files that has it.
func open(ctx context.Context, machine manifest.ID, name string, files []file) (*Group, error) {
	slices.SortStableFunc(files, func(a, b file) int { return a.shard - b.shard }) // tables first
	var errs error
	for _, f := range files {
		off, err := f.tableAt(ctx)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		b := make([]byte, min(maxHead, f.size-off))
		if n, err := f.source.ReadAt(ctx, f.name, b, off); n < len(b) {
			errs = errors.Join(errs, fmt.Errorf("reading %s of %s: %w", f.name, f.source.Name, err))
			b = b[:n] // may be enough
		}
		h, err := ParseHead(b, name)
		if err == nil && h.Machine != machine {
			err = fmt.Errorf("parity group %s: %w: it is of machine %s", name, manifest.ErrFormat, h.Machine)
		}
		if err == nil {
			return &Group{Head: *h, Name: name, files: files, head: bytes.IndexByte(b, '\n') + 1}, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, errs
}

// tableAt is where the table is in a file whose group is not known yet.
func (f file) tableAt(ctx context.Context) (int64, error) {
	if f.shard < 0 {
		return 0, nil
	}
	b := make([]byte, tailSize)
	if f.size >= tailSize {
		if n, err := f.source.ReadAt(ctx, f.name, b, f.size-tailSize); n < len(b) {
			return 0, fmt.Errorf("reading %s of %s: %w", f.name, f.source.Name, err)
		}
	}
	length, table := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if string(b[16:]) != tailMark || length > maxSize || table > maxSize || int64(length+table+tailSize) != f.size {
		return 0, fmt.Errorf("%s of %s: %w: it doesn't end as a shard does", f.name, f.source.Name, manifest.ErrFormat)
	}
	return int64(length), nil
}

// ReadTable reads the table from the first file that has it whole. It fails with manifest.ErrFormat when none has.
func (g *Group) ReadTable(ctx context.Context) (*Table, error) {
	size := g.tableSize(g.head)
	errs := fmt.Errorf("parity group %s: %w: no whole table", g.Name, manifest.ErrFormat)
	for _, f := range g.files {
		off := int64(0)
		if f.shard >= 0 {
			off = g.Length()
		}
		if f.size < off+size || f.shard < 0 && f.size != size {
			continue
		}
		b := make([]byte, size)
		n, err := f.source.ReadAt(ctx, f.name, b, off)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if n < len(b) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			errs = errors.Join(errs, fmt.Errorf("reading %s of %s: %w", f.name, f.source.Name, err))
			continue
		}
		t, err := ParseTable(b, g.Name)
		if err == nil {
			return t, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, errs
}

// Whole tells whether the group's table and shards are all there in their sizes, each on its disk; source names a disk's source.
func (g *Group) Whole(source func(disk int) string) bool {
	has := func(disk, shard int, size int64) bool {
		return slices.ContainsFunc(g.files, func(f file) bool {
			return f.source.Name == source(disk) && f.shard == shard && f.size == size
		})
	}
	table := g.tableSize(g.head)
	for _, s := range g.Shards {
		if !has(s.Disk, -1, table) || !has(s.Disk, s.Index, g.Length()+table+tailSize) {
			return false
		}
	}
	return true
}
